//! The trace a request is part of, over all the programs it passes: [`Trace`] (W3C Trace Context).

mod parent;

use http::{HeaderName, HeaderValue};
use tracing::Instrument;
use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use super::forwarded::Client;
use crate::networks::Trust;
pub use parent::TraceContext;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whether those who collect traces are told to keep the ones that begin here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// They decide.
    #[default]
    Off,
    /// They are to keep them.
    On,
}

/// Continues the trace that a request is part of, or begins one.
///
/// What is further in finds the [`TraceContext`] among the request's extensions, and a `traceparent`
/// in its fields for the next program. While the request is served a span `request` of `tracing` is
/// entered, with `trace_id` and `span_id`, if a subscriber wants it: at level `INFO`.
#[derive(Clone, Debug)]
pub struct Trace {
    whose: Trust,
    sampling: Sampling,
}

impl Trace {
    /// Continues everybody's traces.
    pub fn new() -> Self {
        Self { whose: Trust::Everybody, sampling: Sampling::Off }
    }

    /// Continues those that these peers send; for others one is begun.
    pub fn continuing(self, whose: Trust) -> Self {
        Self { whose, ..self }
    }

    /// What those who collect traces are told of the ones that begin here.
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    fn context(&self, request: &Request) -> Option<TraceContext> {
        let is_continued = self.whose.covers(Client::nearest(request));
        let mut fields = request.headers().get_all(TRACEPARENT).into_iter();
        let (Some(parent), None, true) = (fields.next(), fields.next(), is_continued) else { return None };
        TraceContext::parse(parent.as_bytes()).map(TraceContext::child)
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Trace {
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        let context = self.context(&request).unwrap_or_else(|| {
            request.headers_mut().remove(TRACESTATE); // It says more of the trace that is not continued.
            TraceContext::begin(self.sampling == Sampling::On)
        });
        let parent = HeaderValue::try_from(context.to_string()).expect("digits and hyphens are visible ASCII");
        request.headers_mut().insert(TRACEPARENT, parent);
        let span = tracing::info_span!("request", trace_id = %context.trace_id(), span_id = %context.span_id());
        request.extensions_mut().insert(context);
        next.call(request).instrument(span).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use unary_http::{Body, message};
    use unary_net::Peer;
    use unary_service::{Compose, Context, service_fn};

    use super::*;
    use crate::networks::Networks;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// `traceparent` and `tracestate` as a service gets them from a peer at 10.0.0.1.
    async fn seen(trace: Trace, parents: &[&str]) -> (String, String) {
        let app = trace.and_then(service_fn(async |request: Request| {
            let field = |name| request.headers().get(name).map_or("", |value| value.to_str().unwrap());
            let context = TraceContext::of(request.extensions()).unwrap();
            assert_eq!(context.to_string(), field("traceparent"));
            Ok(message::text(format!("{} {}", field("traceparent"), field("tracestate"))))
        }));
        let peer = Peer::new(Some(SocketAddr::from(([10, 0, 0, 1], 9))), None).remote();
        let context = Context { peer: Some(peer), ..Context::default() };
        let request =
            parents.iter().fold(http::Request::get("/"), |request, parent| request.header(TRACEPARENT, *parent));
        let request = request.header(TRACESTATE, "a=1").body(Body::empty().with_context(context)).unwrap();
        let seen = app.call(request).await.unwrap().into_body().collect(999).await.unwrap();
        let (parent, state) = std::str::from_utf8(&seen).unwrap().split_once(' ').unwrap();
        (parent.to_owned(), state.to_owned())
    }

    async fn check(trace: Trace, parents: &[&str], is_continued: bool) {
        let (parent, state) = seen(trace, parents).await;
        assert_eq!(parent.starts_with(&PARENT[..36]), is_continued, "{parent}");
        assert_eq!(state == "a=1", is_continued, "{parents:?}");
        assert!(!parent.contains("00f067aa0ba902b7"), "a span of its own: {parent}");
    }

    #[tokio::test]
    async fn a_trace_is_continued_with_a_span_of_its_own() {
        check(Trace::new(), &[PARENT], true).await;
        assert!(seen(Trace::new(), &[PARENT]).await.0.ends_with("-01"));
    }

    #[tokio::test]
    async fn a_trace_is_begun_where_there_is_none_that_makes_sense() {
        for parents in [&[][..], &["x"], &[PARENT, PARENT], &[""]] {
            check(Trace::new(), parents, false).await;
        }
        assert!(seen(Trace::new(), &[]).await.0.ends_with("-02"));
        assert!(seen(Trace::new().sampling(Sampling::On), &[]).await.0.ends_with("-03"));
    }

    #[tokio::test]
    async fn only_trusted_peers_traces_are_continued_if_that_is_asked_for() {
        let of = |network: &str| Trace::new().continuing(Trust::Of(Networks::parse([network]).unwrap()));
        check(of("10.0.0.0/8"), &[PARENT], true).await;
        check(of("192.0.2.0/24"), &[PARENT], false).await;
    }
}
