//! Local redirects (RFC 3875 §6.2.2): a program has the request answered as if it had been for another path.
//!
//! Only who chose the program can choose anew, so the request for that path travels outwards in the reply.
//! [`FollowLocal`] takes it there; where nobody does, the reply leads the client itself.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use unary_http::{Body, Request, Response};
use unary_service::{Context, Error, Filter, Kind, Service};

use crate::host::crew::Granted;

/// Redirects of one request that are followed.
pub const REDIRECTS_MAX: usize = 10;

const STEP: &str = "following a program's redirect";

/// What is about a body, which the request for the other path does not have.
const OF_THE_BODY: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::EXPECT,
];

/// A request that is to be answered in place of the one before: an extension of the reply to that.
#[derive(Clone, Debug)]
pub struct LocalRedirect(Arc<Mutex<Option<Request>>>);

/// Where a request has been already: an extension of those that redirects make.
#[derive(Clone, Debug, Default)]
struct Been(Vec<PathAndQuery>);

impl LocalRedirect {
    /// Takes it out of a reply that has one.
    pub fn of(reply: &mut Response) -> Option<Self> {
        reply.extensions_mut().remove()
    }

    /// The request; `None` the second time.
    pub fn request(&self) -> Option<Request> {
        self.0.lock().expect("no panic while the lock is held").take()
    }
}

/// The reply to a request whose program wants `target` to be answered for.
pub(crate) fn redirect(head: Parts, context: Context, target: &Bytes) -> Result<Response, Error> {
    let nonsense = |why: String| Error::new(Kind::Upstream, STEP).because(why);
    let shown = || String::from_utf8_lossy(target).into_owned();
    let path = PathAndQuery::from_maybe_shared(target.clone());
    let path = path.map_err(|cause| nonsense(format!("{:?} is no path: {cause}", shown())))?;
    let mut parts = head;
    let been = parts.extensions.get_or_insert_default::<Been>();
    been.0.extend(parts.uri.path_and_query().cloned());
    if been.0.len() > REDIRECTS_MAX || been.0.contains(&path) {
        return Err(nonsense(format!("{:?} leads to where it has been, after {} redirects", shown(), been.0.len())));
    }
    let location = HeaderValue::from_maybe_shared(target.clone()).map_err(|cause| nonsense(cause.to_string()))?;

    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(path);
    parts.uri = Uri::from_parts(uri).map_err(|cause| nonsense(cause.to_string()))?;
    if parts.method != Method::HEAD {
        parts.method = Method::GET;
    }
    parts.extensions.remove::<Granted>(); // For the path that was asked about.
    for name in OF_THE_BODY {
        parts.headers.remove(name);
    }
    let request = Request::from_parts(parts, Body::empty().with_context(context));

    let mut reply = Response::default();
    *reply.status_mut() = StatusCode::FOUND;
    reply.headers_mut().insert(header::LOCATION, location);
    reply.extensions_mut().insert(LocalRedirect(Arc::new(Mutex::new(Some(request)))));
    Ok(reply)
}

/// Follows redirects that programs give within the server: a filter around whatever chooses by path.
///
/// Ten at most are followed, and none back to where the request has been: that is answered with 502.
#[derive(Clone, Copy, Debug, Default)]
pub struct FollowLocal;

impl FollowLocal {
    /// What `next` answers in the end, once it has answered like this.
    ///
    /// # Errors
    ///
    /// Those of `next`, and if it leads nowhere.
    pub async fn follow<Next>(&self, mut reply: Response, next: &Next) -> Result<Response, Error>
    where
        Next: Service<Request, Reply = Response>,
    {
        // A request knows where it has been, unless something on its way makes another of it.
        let mut followed = 0;
        while let Some(request) = LocalRedirect::of(&mut reply).and_then(|redirect| redirect.request()) {
            if followed == REDIRECTS_MAX {
                return Err(Error::new(Kind::Upstream, STEP).because(format!("{followed} of them lead to another")));
            }
            followed += 1;
            reply = next.call(request).await?; // Which fails where it has been before.
        }
        Ok(reply)
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for FollowLocal {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        let reply = next.call(request).await?;
        self.follow(reply, next).await
    }
}

#[cfg(test)]
mod tests {
    use unary_http::message;
    use unary_service::service_fn;

    use super::*;

    /// A site where `/N` leads to `/N-1`, `/0` answers, and `/round` leads to `/trip` and back.
    async fn site(request: Request) -> Result<Response, Error> {
        assert!(!request.headers().contains_key("content-length"));
        let target = match request.uri().path().trim_start_matches('/') {
            "0" => return Ok(message::text(format!("{} {}", request.method(), request.uri()))),
            "round" => "/trip".to_owned(),
            "trip" => "/round".to_owned(),
            "self" => "/self".to_owned(),
            number => format!("/{}", number.parse::<u32>().unwrap() - 1),
        };
        let (mut head, body) = request.into_parts();
        head.headers.insert("content-length", HeaderValue::from_static("5"));
        let context = unary_service::HasContext::context(&body).cloned().unwrap_or_default();
        redirect(head, context, &Bytes::from(target))
    }

    async fn check(method: Method, path: &str, expected: Result<&str, &str>) {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        match (FollowLocal.apply(request, &service_fn(site)).await, expected) {
            (Ok(reply), Ok(text)) => assert_eq!(reply.into_body().collect(999).await.unwrap(), text),
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (seen, expected) => panic!("{path}: {seen:?} is not {expected:?}"),
        }
    }

    #[tokio::test]
    async fn follows_to_the_end() {
        check(Method::GET, "/1", Ok("GET /0")).await;
        check(Method::POST, "http://a.example/1", Ok("GET http://a.example/0")).await;
        check(Method::HEAD, "/10", Ok("HEAD /0")).await;
    }

    #[tokio::test]
    async fn follows_no_further_where_requests_forget_where_they_have_been() {
        let forgetful = service_fn(|request: Request| async move {
            let mut asked = Request::new(Body::empty());
            *asked.uri_mut() = request.uri().clone();
            site(asked).await
        });
        for (path, expected) in [("/10", Ok("GET /0")), ("/11", Err("10 of them lead to another"))] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            match (FollowLocal.apply(request, &forgetful).await, expected) {
                (Ok(reply), Ok(text)) => assert_eq!(reply.into_body().collect(999).await.unwrap(), text),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
                (seen, expected) => panic!("{path}: {seen:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_was_granted_for_a_path_is_not_for_the_next() {
        let (mut head, _) = Request::new(Body::empty()).into_parts();
        head.extensions.insert(Granted(vec![("USER".into(), "ann".into())]));
        let mut reply = redirect(head, Context::default(), &Bytes::from_static(b"/b")).unwrap();
        let request = LocalRedirect::of(&mut reply).unwrap().request().unwrap();
        assert_eq!(request.uri(), "/b");
        assert!(request.extensions().get::<Granted>().is_none());
    }

    #[tokio::test]
    async fn follows_no_circle() {
        check(Method::GET, "/11", Err("after 11 redirects")).await;
        check(Method::GET, "/round", Err("leads to where it has been")).await;
        check(Method::GET, "/self", Err("leads to where it has been, after 1 redirects")).await;
    }
}
