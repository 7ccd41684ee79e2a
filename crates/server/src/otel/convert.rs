//! A span as OpenTelemetry has it, in the words of its semantic conventions for HTTP servers.

use http::{HeaderValue, Method, StatusCode, Version};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use unary_web::filter::trace::Span;
use unary_web::scheme::Scheme;

/// Methods that are told apart: a client may make up others (`_OTHER`).
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::CONNECT,
    Method::TRACE,
];

pub(super) fn span(span: Span) -> SpanData {
    let context = &span.context;
    let (trace_id, span_id) = (TraceId::from(context.trace_number()), SpanId::from(context.span_number()));
    let state = span.state.as_ref().and_then(|state| state.to_str().ok()?.parse::<TraceState>().ok());
    let flags = TraceFlags::NOT_SAMPLED.with_sampled(context.is_sampled());
    let is_failure = span.failure.is_some() || span.status.is_some_and(|status| status.is_server_error());
    SpanData {
        span_context: SpanContext::new(trace_id, span_id, flags, false, state.unwrap_or_default()),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: SpanKind::Server,
        name: name(&span).into(),
        start_time: span.began,
        end_time: span.began + span.duration,
        attributes: attributes(&span),
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: if is_failure { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("unary").with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}

/// The method and the route: never the path, of which there may be any number.
fn name(span: &Span) -> String {
    let method = if METHODS.contains(&span.method) { span.method.as_str() } else { "HTTP" };
    match route(span) {
        Some(route) => format!("{method} {route}"),
        None => method.to_owned(),
    }
}

fn route(span: &Span) -> Option<&str> {
    span.place.as_ref().map(|place| &*place.route).filter(|route| !route.is_empty())
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let is_known = METHODS.contains(&span.method);
    let method = if is_known { span.method.as_str() } else { "_OTHER" };
    let scheme = match span.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let version = match span.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    let mut all = vec![
        KeyValue::new("http.request.method", method.to_owned()),
        KeyValue::new("url.scheme", scheme),
        KeyValue::new("url.path", span.path.to_string()),
        KeyValue::new("network.protocol.version", version),
    ];
    let mut say = |name: &'static str, value: Option<String>| all.extend(value.map(|value| KeyValue::new(name, value)));
    say("http.request.method_original", (!is_known).then(|| span.method.to_string()));
    say("url.query", span.query.as_deref().map(str::to_owned));
    say("http.route", route(span).map(str::to_owned));
    let (host, port) = span.host.as_deref().map(host_and_port).unwrap_or_default();
    say("server.address", host.map(str::to_owned));
    say("client.address", span.client.map(|client| client.ip().to_canonical().to_string()));
    say("user_agent.original", span.user_agent.as_ref().map(text));
    let failed = span.failure.map(|kind| kind.as_str().to_owned());
    let code = || span.status.filter(StatusCode::is_server_error).map(|status| status.as_u16().to_string());
    say("error.type", failed.or_else(code));
    all.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
    all.extend(span.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status.as_u16()))));
    all
}

fn host_and_port(host: &str) -> (Option<&str>, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (Some(name), port.parse().ok()),
        _ => (Some(host), None),
    }
}
