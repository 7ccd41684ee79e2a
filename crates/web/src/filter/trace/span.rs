//! What is told of a request to whoever collects traces: [`Span`], and [`Spans`], the way there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::Instant;
use unary_http::{Request, Response, message};
use unary_service::flow::Emitter;
use unary_service::{Error, HasContext, Kind, Lasting};

use super::{TRACESTATE, TraceContext};
use crate::filter::access_log::{Place, TEXT_BYTES_MAX};
use crate::filter::forwarded::host;
use crate::scheme::Scheme;

/// The part of a trace that a request was here: what OpenTelemetry calls a server's span.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace, and the number of this part.
    pub context: TraceContext,
    /// The number of the part before it, another program's.
    pub parent: Option<u64>,
    /// What other collectors say of the trace, as it came.
    pub state: Option<HeaderValue>,
    /// When the request came.
    pub began: SystemTime,
    /// From its head's arrival to its reply's last byte, or to the peer's going away.
    pub duration: Duration,
    /// Its method.
    pub method: Method,
    /// How it came.
    pub scheme: Scheme,
    /// The host it named, with its port if it named one.
    pub host: Option<Box<str>>,
    /// Its path.
    pub path: Box<str>,
    /// Its query.
    pub query: Option<Box<str>>,
    /// Its version.
    pub version: Version,
    /// Who asked, as trusted proxies tell it.
    pub client: Option<SocketAddr>,
    /// What the client is, as it says.
    pub user_agent: Option<HeaderValue>,
    /// The part of a config that served it.
    pub place: Option<Arc<Place>>,
    /// How it was answered. `None` if the peer went away before that.
    pub status: Option<StatusCode>,
    /// How it failed, if it did.
    pub failure: Option<Kind>,
}

/// Where spans go, if anywhere. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Spans(Arc<ArcSwapOption<Emitter<Span>>>);

impl Spans {
    /// Sends them there from now on.
    pub fn send_to(&self, emitter: Option<Emitter<Span>>) {
        self.0.store(emitter.map(Arc::new));
    }

    /// Whether anybody wants them.
    pub fn are_wanted(&self) -> bool {
        self.0.load().is_some()
    }

    fn emit(&self, span: Span) {
        if let Some(emitter) = &*self.0.load() {
            emitter.emit(span);
        }
    }
}

impl std::fmt::Debug for Spans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spans").field("are_wanted", &self.are_wanted()).finish()
    }
}

/// A span under way. Dropping it ends it, however that comes about.
pub(super) struct Running {
    span: Option<Box<Span>>,
    began: Instant,
    spans: Spans,
}

impl Running {
    pub(super) fn begin(
        spans: &Spans,
        (context, parent): (TraceContext, Option<u64>),
        place: Option<&Arc<Place>>,
        request: &Request,
    ) -> Self {
        let (uri, field) = (request.uri(), |name: HeaderName| request.headers().get(name).and_then(short));
        let span = Span {
            context,
            parent,
            state: field(TRACESTATE),
            began: SystemTime::now(),
            duration: Duration::ZERO,
            method: request.method().clone(),
            scheme: Scheme::of(request),
            host: host(request).map(cut),
            path: cut(uri.path()),
            query: uri.query().map(cut),
            version: request.version(),
            client: request.context().and_then(|context| context.peer.as_ref()?.address()),
            user_agent: field(header::USER_AGENT),
            place: place.cloned(),
            status: None,
            failure: None,
        };
        Self { span: Some(Box::new(span)), began: Instant::now(), spans: spans.clone() }
    }

    /// Goes on until the reply's body has ended.
    pub(super) fn answered(mut self, reply: Response) -> Response {
        if let Some(span) = &mut self.span {
            span.status = Some(reply.status());
        }
        reply.holding(self)
    }

    /// What the peer sees then is the engine's own reply.
    pub(super) fn failed(mut self, error: &Error) {
        if let Some(span) = &mut self.span {
            (span.status, span.failure) = (Some(message::status_of(error.kind())), Some(error.kind()));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut span) = self.span.take() else { return };
        span.duration = self.began.elapsed();
        if std::thread::panicking() {
            span.status = span.status.or(Some(StatusCode::INTERNAL_SERVER_ERROR));
        }
        self.spans.emit(*span);
    }
}

// Copies, cut short: spans wait in memory, and what they are part of holds the whole head.

fn cut(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].into()
}

fn short(value: &HeaderValue) -> Option<HeaderValue> {
    let bytes = value.as_bytes();
    HeaderValue::from_bytes(&bytes[..bytes.len().min(TEXT_BYTES_MAX)]).ok()
}
