//! FastCGI's authorizers: workers that say whether a request may be answered (§6.3).

use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};
use unary_http::{Body, Request, Response};
use unary_net::{Address, Connection, Dial, Socket, Transport};
use unary_service::{Error, Filter, HasContext, Kind, Service};

use super::{Authorize, Mount, Settings};
use crate::host::crew::{Crew, Granted};
use crate::local_redirect::LocalRedirect;

/// What the variables that an authorizer grants begin with, as fields of its reply.
const PREFIX: &str = "variable-";

/// The longest page that is read of an authorizer that lets a request pass, and thrown away.
const PAGE_BYTES_MAX: usize = 64 * 1024;

/// A filter that asks a FastCGI worker, in the role of an authorizer, whether a request may go on.
///
/// With status 200 it may, and what the worker says in fields named `Variable-NAME` are variables of the program that
/// answers, if there is one behind this. Any other reply is the client's, but for a redirect within the server: 502. The worker is told of the request's head,
/// not of its body.
pub struct Authorizer<D = Dial, S = Socket> {
    crew: Crew<D, Authorize, S>,
    mount: Mount,
}

impl Authorizer {
    /// Asks the workers at these addresses.
    pub fn at(addresses: impl IntoIterator<Item = Address>, mount: Mount, settings: Settings) -> Self {
        Self::over(addresses, &Dial::new(), mount, settings)
    }
}

impl<D, S> Authorizer<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    /// The same, reached through `dial`.
    pub fn over(addresses: impl IntoIterator<Item = Address>, dial: &D, mount: Mount, settings: Settings) -> Self {
        Self { crew: Crew::at(addresses, dial, settings), mount }
    }

    /// What the worker is asked: the request without its body.
    fn question(request: &Request) -> Request {
        let context = request.context().cloned().unwrap_or_default();
        let mut question = Request::new(Body::empty().with_context(context));
        *question.method_mut() = request.method().clone();
        *question.uri_mut() = request.uri().clone();
        *question.version_mut() = request.version();
        *question.headers_mut() = request.headers().clone();
        question.headers_mut().remove(http::header::CONTENT_LENGTH);
        question
    }
}

impl<D, S, Next> Filter<Request, Next> for Authorizer<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
    Next: Service<Request, Reply = Response>,
{
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        let (question, asked) = (Self::question(&request), (self.mount.ask)(&request));
        let script = self.mount.script("", b"");
        let mut verdict = self.crew.answer(question, asked, &script, &self.mount.variables).await?;
        if LocalRedirect::of(&mut verdict).is_some() {
            let error = Error::new(Kind::Upstream, "asking whether a request may go on");
            return Err(error.because("what is asked answers with a path of this server, which is for those who serve"));
        }
        let granted = take_variables(verdict.headers_mut());
        if verdict.status() != StatusCode::OK {
            return Ok(verdict);
        }
        verdict.into_body().collect(PAGE_BYTES_MAX).await?;
        request.extensions_mut().insert(granted);
        next.call(request).await
    }
}

/// The variables that are granted. They are not the client's to see, whatever the verdict.
fn take_variables(headers: &mut HeaderMap) -> Granted {
    let is_variable = |name: &&HeaderName| name.as_str().starts_with(PREFIX);
    let names: Vec<HeaderName> = headers.keys().filter(is_variable).cloned().collect();
    let variable = |name: HeaderName| {
        let value = headers.remove(&name)?;
        let name = name.as_str()[PREFIX.len()..].to_ascii_uppercase();
        Some((name.into(), String::from_utf8_lossy(value.as_bytes()).into()))
    };
    Granted(names.into_iter().filter_map(variable).collect())
}

impl<D, S> fmt::Debug for Authorizer<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("mount", &self.mount).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::{Bytes, BytesMut};
    use tokio::time::Duration;
    use unary_gateway::fastcgi::pairs::Params;
    use unary_gateway::fastcgi::record::{self, Outcome, Record, Role, Stream};
    use unary_http::message;
    use unary_service::{Compose, service_fn};
    use unary_testkit::{FarEnd, settle};

    use super::*;
    use crate::host::tests::dialling;

    /// All that has come, in records.
    async fn records(worker: &mut FarEnd) -> Vec<Record> {
        settle().await;
        let mut input = BytesMut::from(&worker.take(1 << 20, Duration::from_millis(9)).await[..]);
        std::iter::from_fn(|| record::decode(&mut input).unwrap()).collect()
    }

    /// What the client gets if the worker says this: what comes behind it tells which variables were granted.
    async fn check(said: &'static str, status: u16, body: &str) {
        let reply = verdict(said).await.unwrap();
        assert!(!reply.headers().contains_key("variable-user"));
        assert_eq!(reply.status(), status);
        assert_eq!(reply.into_body().collect(999).await.unwrap(), body);
    }

    async fn verdict(said: &'static str) -> Result<Response, Error> {
        let (dial, mut workers) = dialling();
        let address = "127.0.0.1:9".parse().unwrap();
        let authorizer = Authorizer::over([address], &dial, Mount::default(), Settings::default());
        let behind = service_fn(|request: Request| async move {
            Ok::<_, Error>(message::text(format!(
                "{:?}",
                request.extensions().get::<Granted>().map(|granted| &granted.0)
            )))
        });
        let service = Arc::new(authorizer.and_then(behind));
        let call = tokio::spawn(async move { service.call(Request::new("a body".into())).await });
        let mut worker = workers.recv().await.unwrap();
        let asked = records(&mut worker).await;
        assert!(matches!(asked[0], Record::Begin { role: Role::Authorizer, .. }), "{asked:?}");
        let mut params = Params::default();
        for record in &asked {
            match record {
                Record::Stream { stream: Stream::Params, content, .. } => params.add(content).unwrap(),
                Record::Stream { stream: Stream::Stdin, content, .. } => assert!(content.is_empty(), "no body"),
                _ => {}
            }
        }
        let names: Vec<Bytes> = params.end().unwrap().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().any(|name| name == "REQUEST_METHOD"));
        assert!(!names.iter().any(|name| name == "CONTENT_LENGTH" || name == "SCRIPT_NAME" || name == "PATH_INFO"));
        let mut reply = BytesMut::new();
        Record::Stream { request: 1, stream: Stream::Stdout, content: said.into() }.encode(&mut reply);
        Record::End { request: 1, exit_status: 0, outcome: Outcome::Complete }.encode(&mut reply);
        worker.send(reply).await;
        call.await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_sends_nobody_elsewhere_within_the_server() {
        let error = verdict("Location: /elsewhere\n\n").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Upstream, "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_granted_goes_on_and_what_is_not_is_answered() {
        check("Status: 200\nVariable-USER: ann\n\nignored", 200, r#"Some([("USER", "ann")])"#).await;
        check("Status: 403 No\nVariable-USER: ann\n\nnot you", 403, "not you").await;
        check("Status: 401\nWWW-Authenticate: Basic\n\n", 401, "").await;
    }
}
