//! Leads every request elsewhere: [`Redirect`].

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use unary_http::{Request, Response, message};
use unary_service::{Available, Error, Service};

use crate::setting::BadSetting;
use crate::template::Template;

/// Leads every request to another target, which may be made of the request.
///
/// | written | is |
/// |---|---|
/// | `{path}` | the path, as it was sent, or as filters before this made it |
/// | `{query}` | the query, as it was sent and without its `?`; only behind a `?` |
/// | `{uri}` | path and query |
/// | `{host}` | the name of the host that was asked for, without its port |
///
/// What clients send fills these places and cannot leave them. A path begins with exactly one slash
/// here, whatever was sent, as two would name a host: so `{path}` leads nobody to
/// `//evil.example`. Behind a `?` all but a `{query}` that begins the query, or follows an `&`, is
/// escaped to be one value: `/login?next={uri}`. What may not stand in a URI is escaped. Where
/// there is no query, the `?` or `&` before it goes, too.
///
/// `{host}` is whatever host the client named: use it where only hosts of yours are served.
///
/// ```
/// use http::StatusCode;
/// use unary_web::handler::Redirect;
///
/// let to_tls = Redirect::new(StatusCode::PERMANENT_REDIRECT, "https://{host}{uri}")?;
/// let moved = Redirect::new(StatusCode::MOVED_PERMANENTLY, "/new{path}?{query}")?;
/// # Ok::<_, unary_web::setting::BadSetting>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redirect {
    status: StatusCode,
    target: Template,
}

impl Redirect {
    /// Answers with this status: 301 or 308 for good, 302 or 307 for now, 303 to a page that is to
    /// be got. 307 and 308 keep the method.
    ///
    /// # Errors
    ///
    /// If it is another status, or the target is neither a path nor a URL or has unknown places.
    pub fn new(status: StatusCode, target: &str) -> Result<Self, BadSetting> {
        if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Err(BadSetting::new(format!(
                "{} redirects nobody: use 301, 302, 303, 307 or 308",
                status.as_u16()
            )));
        }
        Ok(Self { status, target: Template::parse(target)? })
    }

    /// The reply to this request.
    pub(crate) fn answer(&self, request: &Request) -> Result<Response, Error> {
        let location = HeaderValue::try_from(self.target.fill(request)?)
            .map_err(|cause| Error::internal("making a redirect").because(cause))?;
        let mut reply = message::status(self.status);
        reply.headers_mut().insert(LOCATION, location);
        Ok(reply)
    }
}

impl Available for Redirect {}

impl Service<Request> for Redirect {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        self.answer(&request)
    }
}

#[cfg(test)]
mod tests {
    use unary_http::Body;
    use unary_service::Kind;

    use super::*;

    #[tokio::test]
    async fn leads_elsewhere_with_the_status_given() {
        for status in [301, 302, 303, 307, 308] {
            let redirect = Redirect::new(StatusCode::from_u16(status).unwrap(), "/new{uri}").unwrap();
            let request = http::Request::post("/a?b").body(Body::empty()).unwrap();
            let reply = redirect.call(request).await.unwrap();
            assert_eq!(reply.status(), status);
            assert_eq!(reply.headers()[LOCATION], "/new/a?b");
        }
    }

    #[tokio::test]
    async fn a_request_without_a_host_is_led_to_none() {
        let redirect = Redirect::new(StatusCode::FOUND, "https://{host}{uri}").unwrap();
        let failed = redirect.call(Request::default()).await.unwrap_err();
        assert_eq!(failed.kind(), Kind::Invalid);
    }

    #[test]
    fn other_statuses_redirect_nobody() {
        for status in [StatusCode::OK, StatusCode::NOT_MODIFIED, StatusCode::NOT_FOUND, StatusCode::USE_PROXY] {
            assert!(Redirect::new(status, "/").is_err(), "{status}");
        }
    }
}
