//! Leads some requests elsewhere and lets the others pass: [`Redirect`].

use std::fmt;
use std::sync::Arc;

use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use crate::handler;
use crate::scheme::Scheme;

/// Leads the requests that meet a condition elsewhere; the others pass. For all requests of a route
/// there is the handler, [`handler::Redirect`].
#[derive(Clone)]
pub struct Redirect {
    when: Arc<dyn Fn(&Request) -> bool + Send + Sync>,
    to: handler::Redirect,
}

impl Redirect {
    /// Leads the requests elsewhere of which `when` says so.
    pub fn when(when: impl Fn(&Request) -> bool + Send + Sync + 'static, to: handler::Redirect) -> Self {
        Self { when: Arc::new(when), to }
    }

    /// Leads those that did not come over TLS, as [`Scheme::of`] has it, elsewhere:
    /// `https://{host}{uri}`, say.
    pub fn insecure(to: handler::Redirect) -> Self {
        Self::when(|request| Scheme::of(request) == Scheme::Http, to)
    }

    /// Leads those for just this path elsewhere. It is compared as it was sent.
    pub fn path(path: impl Into<String>, to: handler::Redirect) -> Self {
        let path = path.into();
        Self::when(move |request| request.uri().path() == path, to)
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Redirect {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        match (self.when)(&request) {
            true => self.to.answer(&request),
            false => next.call(request).await,
        }
    }
}

impl fmt::Debug for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redirect").field("to", &self.to).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use unary_http::{Body, message};
    use unary_service::{Compose, service_fn};

    use super::*;

    async fn status(redirect: Redirect, path: &str, scheme: Scheme) -> u16 {
        let app = redirect.and_then(service_fn(async |_: Request| Ok(message::text("here"))));
        let mut request = http::Request::get(path).header("host", "example.com").body(Body::empty()).unwrap();
        request.extensions_mut().insert(scheme);
        app.call(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn only_those_that_meet_the_condition_are_led_elsewhere() {
        let to = handler::Redirect::new(StatusCode::PERMANENT_REDIRECT, "https://{host}{uri}").unwrap();
        let insecure = Redirect::insecure(to.clone());
        assert_eq!(status(insecure.clone(), "/", Scheme::Http).await, 308);
        assert_eq!(status(insecure, "/", Scheme::Https).await, 200);
        let path = Redirect::path("/old", to);
        assert_eq!(status(path.clone(), "/old?x", Scheme::Http).await, 308);
        assert_eq!(status(path, "/older", Scheme::Http).await, 200);
    }
}
