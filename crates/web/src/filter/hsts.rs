//! HTTP Strict Transport Security: [`Hsts`].

use std::time::Duration;

use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderMap, HeaderValue};
use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use super::headers::shared;
use crate::scheme::Scheme;
use crate::setting::BadSetting;

/// What the preload lists of browsers ask for at least: a year.
const PRELOAD_AGE_MIN: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long browsers remember unless told otherwise: two years, as is customary.
const AGE: Duration = Duration::from_secs(2 * 365 * 24 * 60 * 60);

/// Tells browsers to come by TLS only, from now on (RFC 6797).
///
/// Said only in reply to requests that came over TLS, as [`Scheme::of`] has it (RFC 6797 §7.2).
/// A `Strict-Transport-Security` that a reply has already stays as it is.
///
/// A call that fails gets none: it has no reply yet. `ErrorPage` within gives it one.
#[derive(Clone, Debug)]
pub struct Hsts {
    value: HeaderValue,
}

/// What [`Hsts`] says. The default: two years, for this host alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// How long browsers are to remember it; they count in whole seconds. 0 makes them forget.
    pub max_age: Duration,
    /// Whether it is for all hosts below this one, too.
    pub subdomains: bool,
    /// Whether browsers may be shipped with it. That is hard to take back, so they ask for a year
    /// at least, and for `subdomains`.
    pub preload: bool,
}

impl Default for Promise {
    fn default() -> Self {
        Self { max_age: AGE, subdomains: false, preload: false }
    }
}

impl Hsts {
    /// Says so.
    ///
    /// # Errors
    ///
    /// If it is to be preloaded and is not for subdomains, or for less than a year.
    pub fn new(promise: Promise) -> Result<Self, BadSetting> {
        if promise.preload && !(promise.subdomains && promise.max_age >= PRELOAD_AGE_MIN) {
            return Err(BadSetting::new(
                "browsers preload a host only with its subdomains and for a year at least: \
                 set both, or leave `preload` out",
            ));
        }
        let subdomains = if promise.subdomains { "; includeSubDomains" } else { "" };
        let preload = if promise.preload { "; preload" } else { "" };
        let text = format!("max-age={}{subdomains}{preload}", promise.max_age.as_secs());
        Ok(Self { value: shared(&text)? })
    }

    fn say(&self, headers: &mut HeaderMap) {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert_with(|| self.value.clone());
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Hsts {
    type Reply = Response;

    fn apply(&self, request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        let scheme = Scheme::of(&request);
        let answer = next.call(request);
        async move {
            let mut outcome = answer.await;
            if scheme == Scheme::Https
                && let Ok(reply) = &mut outcome
            {
                self.say(reply.headers_mut());
            }
            outcome
        }
    }
}

#[cfg(test)]
mod tests {
    use unary_http::{Body, message};
    use unary_service::{Compose, service_fn};

    use super::*;

    async fn said(promise: Promise, scheme: Option<Scheme>, own: Option<&'static str>) -> Option<String> {
        let app = Hsts::new(promise).unwrap().and_then(service_fn(move |_: Request| {
            let mut reply = message::text("hello");
            if let Some(own) = own {
                reply.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(own));
            }
            std::future::ready(Ok(reply))
        }));
        let mut request = http::Request::get("https://example.com/").body(Body::empty()).unwrap();
        if let Some(scheme) = scheme {
            request.extensions_mut().insert(scheme);
        }
        let reply = app.call(request).await.unwrap();
        let mut values = reply.headers().get_all(STRICT_TRANSPORT_SECURITY).iter();
        let value = values.next().map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(values.next(), None, "it is said once");
        value
    }

    #[tokio::test]
    async fn is_said_over_tls_only() {
        let promise = Promise::default();
        assert_eq!(said(promise, Some(Scheme::Https), None).await.as_deref(), Some("max-age=63072000"));
        assert_eq!(said(promise, Some(Scheme::Http), None).await, None);
        assert_eq!(said(promise, None, None).await, None, "a client's word for it is no proof");
    }

    #[tokio::test]
    async fn an_applications_own_stays() {
        let said = said(Promise::default(), Some(Scheme::Https), Some("max-age=0")).await;
        assert_eq!(said.as_deref(), Some("max-age=0"));
    }

    #[tokio::test]
    async fn says_all_that_was_promised() {
        let promise = Promise { subdomains: true, preload: true, ..Promise::default() };
        let all = "max-age=63072000; includeSubDomains; preload";
        assert_eq!(said(promise, Some(Scheme::Https), None).await.as_deref(), Some(all));
    }

    #[test]
    fn preloading_needs_what_browsers_ask_for() {
        for (subdomains, seconds) in [(false, 63_072_000), (true, 31_535_999)] {
            let promise = Promise { max_age: Duration::from_secs(seconds), subdomains, preload: true };
            assert!(Hsts::new(promise).is_err(), "{promise:?}");
        }
    }
}
