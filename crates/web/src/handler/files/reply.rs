//! The reply for a file: what of it the client wants, if anything.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use unary_http::{Body, Response, message};

use super::Asked;
use super::condition::{self, Validators, Verdict};
use super::entry::{Entry, Form};
use super::multipart::multipart;
use super::range::{Selection, Span, select};
use crate::encoding::Accepted;

/// What a 304 says of the representation (RFC 9110 §15.4.5).
const KEPT: [HeaderName; 4] = [header::ETAG, header::LAST_MODIFIED, header::CACHE_CONTROL, header::VARY];

/// The representation that suits a request.
pub(super) fn choose<'a>(asked: Asked<'_>, entry: &'a Entry) -> &'a Form {
    if entry.compressed.is_empty() {
        return &entry.plain;
    }
    entry.form(Accepted::of(asked.headers).best(entry.compressed.iter().map(|(coding, _)| *coding)))
}

/// The reply to a GET or HEAD.
pub(super) fn reply(asked: Asked<'_>, form: &Form, clock: fn() -> SystemTime) -> Response {
    if !condition::is_particular(asked.headers) {
        return whole(asked, form);
    }
    let modified = form.tag.is_some().then_some(form.modified);
    let validators = Validators { tag: form.tag.as_ref(), modified };
    match condition::evaluate(asked.headers, validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => return not_modified(form),
        Verdict::Failed => return message::status(StatusCode::PRECONDITION_FAILED),
    }
    // RFC 9110 §14.2: on any method but GET a range is to be ignored.
    let is_ranged = *asked.method == Method::GET && asked.headers.contains_key(header::RANGE);
    if !is_ranged || !condition::range_holds(asked.headers, validators, clock()) {
        return whole(asked, form);
    }
    match select(asked.headers, form.length) {
        Selection::Whole => whole(asked, form),
        Selection::One(span) => part(form, span),
        // The parts of a compressed file cannot be named within a body that is not itself compressed.
        Selection::Many(_) if form.headers.contains_key(header::CONTENT_ENCODING) => whole(asked, form),
        Selection::Many(spans) => parts(form, &spans),
        Selection::Nothing => unsatisfiable(form),
    }
}

/// The content under another status, as a page of the site's own for errors. Nothing is said that
/// would make a cache take it for the file it is made of.
pub(super) fn page(asked: Asked<'_>, form: &Form, status: StatusCode) -> Response {
    let mut response = whole(asked, form);
    for name in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
        response.headers_mut().remove(name);
    }
    *response.status_mut() = status;
    response
}

fn whole(asked: Asked<'_>, form: &Form) -> Response {
    let mut headers = form.headers.clone();
    if *asked.method == Method::HEAD {
        headers.insert(header::CONTENT_LENGTH, form.length.into());
        return with(StatusCode::OK, headers, Body::empty());
    }
    with(StatusCode::OK, headers, form.body())
}

fn part(form: &Form, span: Span) -> Response {
    let mut headers = form.headers.clone();
    headers.insert(header::CONTENT_RANGE, content_range(span.content_range(form.length)));
    with(StatusCode::PARTIAL_CONTENT, headers, form.part(span.start, span.length()))
}

fn parts(form: &Form, spans: &[Span]) -> Response {
    let mut headers = form.headers.clone();
    let media_type = form.headers.get(header::CONTENT_TYPE).expect("every file has a type");
    let made = multipart(spans, form.length, media_type, |span| form.part(span.start, span.length()));
    headers.insert(header::CONTENT_TYPE, made.media_type);
    with(StatusCode::PARTIAL_CONTENT, headers, made.body)
}

fn unsatisfiable(form: &Form) -> Response {
    let mut response = message::status(StatusCode::RANGE_NOT_SATISFIABLE);
    response.headers_mut().insert(header::CONTENT_RANGE, content_range(format!("bytes */{}", form.length)));
    response
}

fn not_modified(form: &Form) -> Response {
    let mut headers = HeaderMap::with_capacity(KEPT.len());
    for name in KEPT {
        if let Some(value) = form.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    with(StatusCode::NOT_MODIFIED, headers, Body::empty())
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn content_range(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("a range is digits and signs")
}
