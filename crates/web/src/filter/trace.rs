//! The trace a request is part of, over all the programs it passes: [`Trace`] (W3C Trace Context).

mod parent;
mod span;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use tracing::Instrument;
use unary_http::{Request, Response, failed};
use unary_service::{Error, Filter, Service};

use super::access_log::Place;
use super::forwarded::Client;
use crate::networks::Trust;
pub use parent::TraceContext;
use span::Running;
pub use span::{Span, Spans};

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
    /// They are to keep so many of a hundred.
    Percent(u8),
    /// They are to keep them where spans are [reported](Trace::reporting) to somebody.
    Reported,
}

/// Continues the trace that a request is part of, or begins one.
///
/// What is further in finds the [`TraceContext`] among the request's extensions, and a `traceparent`
/// in its fields for the next program. While the request is served a span `request` of `tracing` is
/// entered, with `trace_id` and `span_id`; and an error that comes out names the trace when it is
/// [logged](unary_http::failed).
#[derive(Clone, Debug)]
pub struct Trace {
    whose: Trust,
    sampling: Sampling,
    spans: Spans,
}

impl Trace {
    /// Continues everybody's traces.
    pub fn new() -> Self {
        Self { whose: Trust::Everybody, sampling: Sampling::Off, spans: Spans::default() }
    }

    /// Continues those that these peers send; for others one is begun.
    pub fn continuing(self, whose: Trust) -> Self {
        Self { whose, ..self }
    }

    /// What those who collect traces are told of the ones that begin here.
    pub fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// Reports a [`Span`] of each request whose trace is to be kept, when its reply's body has ended.
    pub fn reporting(self, spans: Spans) -> Self {
        Self { spans, ..self }
    }

    /// Passes a request on as [`Filter::apply`] does, for whoever knows which part of a config serves it.
    ///
    /// # Errors
    ///
    /// What `next` fails with.
    pub async fn apply_at<Next>(
        &self,
        place: Option<&Arc<Place>>,
        mut request: Request,
        next: &Next,
    ) -> Result<Response, Error>
    where
        Next: Service<Request, Reply = Response>,
    {
        let (context, parent) = self.context(&mut request);
        let field = HeaderValue::try_from(context.to_string()).expect("digits and hyphens are visible ASCII");
        request.headers_mut().insert(TRACEPARENT, field);
        request.extensions_mut().insert(context);
        let is_reported = context.is_sampled() && self.spans.are_wanted();
        let running = is_reported.then(|| Running::begin(&self.spans, (context, parent), place, &request));
        // Of the highest level, so that every line has it.
        let span = tracing::error_span!("request", trace_id = %context.trace_id(), span_id = %context.span_id());
        match (next.call(request).instrument(span).await, running) {
            (Ok(reply), Some(running)) => Ok(running.answered(reply)),
            (Ok(reply), None) => Ok(reply),
            (Err(error), running) => {
                if let Some(running) = running {
                    running.failed(&error);
                }
                Err(failed::traced(error, context.trace_id()))
            }
        }
    }

    /// The part of a trace that the request is here, and the number of the part before it.
    fn context(&self, request: &mut Request) -> (TraceContext, Option<u64>) {
        if let Some(parent) = self.parent(request) {
            return (parent.child(), Some(parent.span_number()));
        }
        request.headers_mut().remove(TRACESTATE); // It says more of the trace that is not continued.
        let percent = match self.sampling {
            Sampling::Off => 0,
            Sampling::On => 100,
            Sampling::Percent(percent) => percent,
            Sampling::Reported => {
                if self.spans.are_wanted() {
                    100
                } else {
                    0
                }
            }
        };
        (TraceContext::begin(percent), None)
    }

    fn parent(&self, request: &Request) -> Option<TraceContext> {
        let is_continued = self.whose.covers(Client::nearest(request));
        let mut fields = request.headers().get_all(TRACEPARENT).into_iter();
        let (Some(parent), None, true) = (fields.next(), fields.next(), is_continued) else { return None };
        TraceContext::parse(parent.as_bytes())
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Trace {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        self.apply_at(None, request, next).await
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use unary_http::{Body, message};
    use unary_net::Peer;
    use unary_service::flow::{events, sink};
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
        assert!(seen(Trace::new().sampling(Sampling::Reported), &[]).await.0.ends_with("-02"), "nobody is told");
    }

    /// What is told of a request with this `traceparent`.
    async fn told(trace: Trace, parent: &str, path: &str) -> Vec<Span> {
        let (emitter, source) = events(9);
        let spans = Spans::default();
        spans.send_to(Some(emitter));
        let app =
            trace.reporting(spans.clone()).and_then(service_fn(async |request: Request| match request.uri().path() {
                "/fails" => Err(Error::internal("testing").because("it is a test")),
                _ => Ok(message::text("12345")),
            }));
        let request = http::Request::get(path).header(TRACEPARENT, parent).header("host", "a.test:8080");
        match app.call(request.body(Body::empty()).unwrap()).await {
            Ok(reply) => drop(reply.into_body().collect(9).await),
            Err(error) => assert!(error.to_string().contains("in trace 4bf92f3577b34da6a3ce929d0e0e4736"), "{error}"),
        }
        drop(app);
        spans.send_to(None);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let keep = seen.clone();
        let keep = sink(move |batch: Vec<Span>| {
            keep.lock().unwrap().extend(batch);
            std::future::ready(Ok(()))
        });
        (source >> keep).drive().await.unwrap();
        std::mem::take(&mut *seen.lock().unwrap())
    }

    #[tokio::test]
    async fn what_is_to_be_kept_is_told_when_it_is_over() {
        let spans = told(Trace::new(), PARENT, "/a?b=c").await;
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(
            (&*span.path, span.query.as_deref(), span.host.as_deref()),
            ("/a", Some("b=c"), Some("a.test:8080"))
        );
        assert_eq!((span.status.unwrap().as_u16(), span.failure), (200, None));
        assert_eq!(span.context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span.parent, Some(0x00f0_67aa_0ba9_02b7));
        let failed = told(Trace::new(), PARENT, "/fails").await;
        let status = failed[0].status.unwrap().as_u16();
        assert_eq!((status, failed[0].failure), (500, Some(unary_service::Kind::Internal)));
    }

    #[tokio::test]
    async fn what_others_do_not_keep_is_not_told() {
        assert!(told(Trace::new(), &PARENT.replace("-01", "-00"), "/").await.is_empty());
        assert!(told(Trace::new(), "nonsense", "/").await.is_empty());
        assert_eq!(told(Trace::new().sampling(Sampling::Reported), "nonsense", "/").await.len(), 1);
        assert_eq!(told(Trace::new().sampling(Sampling::Reported), "nonsense", "/").await[0].parent, None);
    }

    #[tokio::test]
    async fn only_trusted_peers_traces_are_continued_if_that_is_asked_for() {
        let of = |network: &str| Trace::new().continuing(Trust::Of(Networks::parse([network]).unwrap()));
        check(of("10.0.0.0/8"), &[PARENT], true).await;
        check(of("192.0.2.0/24"), &[PARENT], false).await;
    }
}
