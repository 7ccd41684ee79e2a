//! Encodes heads: the mirror of [`super::decode`].
//!
//! Names are written in lower case, as they are stored. What frames the message or steers the
//! connection is written here and nowhere else: a service's own `Transfer-Encoding`, `Keep-Alive` and
//! the like are left out, its `Content-Length` counts only where the body does not know better, and of
//! its `Connection` only `close` is honoured.

mod framing;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

pub use framing::{Announced, BodyPlan};

use super::decode::may_trail;
use super::head::Framing;

/// Whether the connection goes on after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Another message may follow.
    KeepAlive,
    /// This one is the last.
    Close,
}

/// An HTTP date, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub type Date = [u8; 29];

/// A response head to encode.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingResponse<'a> {
    /// The status; 101 needs an `Upgrade` field in `headers`.
    pub status: StatusCode,
    /// The service's fields.
    pub headers: &'a HeaderMap,
    /// How the body is sent: see [`BodyPlan::of_response`].
    pub body: BodyPlan,
    /// The version of the request, which an HTTP/1.0 peer needs `keep-alive` told for.
    pub version: Version,
    /// Whether the connection is to go on, as far as it and the request are concerned.
    pub persistence: Persistence,
    /// The date, if the service gave none. `None`: this machine has no clock.
    pub date: Option<&'a Date>,
}

/// Appends a response head, its empty line included. The result is what the head says of the
/// connection: [`Persistence::Close`] also if the service asked for it or only the connection's end
/// ends the body.
pub fn encode_response(response: &OutgoingResponse<'_>, out: &mut Vec<u8>) -> Persistence {
    match response.status {
        StatusCode::OK => out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        status => status_line(status, out),
    }
    let mut written = fields(response.headers, out);
    length(response.body.announced, out);
    if let Some(date) = response.date.filter(|_| !written.date) {
        // In pieces of known length, which are copied without a call.
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(date.as_slice());
        out.extend_from_slice(b"\r\n");
    }
    let until_close = response.body.framing == Framing::UntilClose;
    written.close |= response.persistence == Persistence::Close || until_close;
    connection(&written, response.version, out);
    out.extend_from_slice(b"\r\n");
    match written.close {
        true => Persistence::Close,
        false => Persistence::KeepAlive,
    }
}

/// Appends an interim response (1xx but 101), such as `100 Continue`.
pub fn encode_interim(status: StatusCode, headers: &HeaderMap, out: &mut Vec<u8>) {
    status_line(status, out);
    fields(headers, out);
    out.extend_from_slice(b"\r\n");
}

/// How a request names its target (RFC 9112 §3.2), but for `CONNECT` and `OPTIONS *`, which have
/// forms of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// Path and query, to the server itself.
    Origin,
    /// The whole URI, to a proxy.
    Absolute,
}

/// A request head to encode. The version is 1.1.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'a> {
    /// The method. `CONNECT` needs an authority in `uri`.
    pub method: &'a Method,
    /// The target. Its authority is the `Host`, unless `headers` has one.
    pub uri: &'a Uri,
    /// How the target is written.
    pub form: TargetForm,
    /// The fields. An `Upgrade` among them is confirmed in `Connection`.
    pub headers: &'a HeaderMap,
    /// How the body is sent: see [`BodyPlan::of_request`].
    pub body: BodyPlan,
    /// Whether the connection is to go on.
    pub persistence: Persistence,
}

/// Appends a request head, its empty line included. The result is what the head says of the
/// connection.
pub fn encode_request(request: &OutgoingRequest<'_>, out: &mut Vec<u8>) -> Persistence {
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    target(request, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !request.headers.contains_key(HOST) {
        field(b"host", host(request.uri).as_bytes(), out);
    }
    let mut written = fields(request.headers, out);
    length(request.body.announced, out);
    written.close |= request.persistence == Persistence::Close;
    connection(&written, Version::HTTP_11, out);
    out.extend_from_slice(b"\r\n");
    match written.close {
        true => Persistence::Close,
        false => Persistence::KeepAlive,
    }
}

/// Appends trailer fields and the empty line after them, leaving out those that may not trail.
pub(super) fn encode_trailers(trailers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in trailers {
        if may_trail(name) {
            field(name.as_str().as_bytes(), value.as_bytes(), out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn target(request: &OutgoingRequest<'_>, out: &mut Vec<u8>) {
    let uri = request.uri;
    if *request.method == Method::CONNECT {
        out.extend_from_slice(host(uri).as_bytes());
        return;
    }
    if let (TargetForm::Absolute, Some(scheme)) = (request.form, uri.scheme_str()) {
        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(host(uri).as_bytes());
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with('?') {
        out.push(b'/'); // RFC 9112 §3.2.1: an empty path is sent as "/".
    }
    out.extend_from_slice(path.as_bytes());
}

/// The authority without a user name, which must not leave the client (RFC 9110 §4.2.4).
fn host(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// What the fields of a service say that the rest of the head depends on.
#[derive(Default)]
struct Written {
    date: bool,
    upgrade: bool,
    close: bool,
}

#[inline]
fn fields(headers: &HeaderMap, out: &mut Vec<u8>) -> Written {
    let mut written = Written::default();
    for (name, value) in headers {
        let name = name.as_str().as_bytes();
        match name {
            b"content-length" | b"transfer-encoding" | b"keep-alive" | b"proxy-connection" => continue,
            b"connection" => {
                written.close |= asks_to_close(value);
                continue;
            }
            b"date" => written.date = true,
            b"upgrade" => written.upgrade = true,
            _ => {}
        }
        field(name, value.as_bytes(), out);
    }
    written
}

fn asks_to_close(connection: &HeaderValue) -> bool {
    let mut options = connection.as_bytes().split(|&byte| byte == b',');
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
}

#[inline]
fn length(announced: Announced, out: &mut Vec<u8>) {
    match announced {
        Announced::Nothing => {}
        Announced::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Announced::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
}

#[inline]
fn connection(written: &Written, version: Version, out: &mut Vec<u8>) {
    let field: &[u8] = match (written.close, written.upgrade) {
        (true, true) => b"connection: close, upgrade\r\n",
        (true, false) => b"connection: close\r\n",
        (false, true) => b"connection: upgrade\r\n",
        (false, false) if version == Version::HTTP_10 => b"connection: keep-alive\r\n",
        (false, false) => return,
    };
    out.extend_from_slice(field);
}

#[inline]
fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

macro_rules! status_lines {
    ($($code:literal $reason:literal,)+) => {
        /// Appends the status line. The version is ours, not the peer's (RFC 9110 §6.2).
        #[inline]
        fn status_line(status: StatusCode, out: &mut Vec<u8>) {
            let line: &[u8] = match status.as_u16() {
                $($code => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n").as_bytes(),)+
                _ => return unnamed_status_line(status, out),
            };
            out.extend_from_slice(line);
        }
    };
}

status_lines! {
    100 "Continue",
    101 "Switching Protocols",
    102 "Processing",
    103 "Early Hints",
    200 "OK",
    201 "Created",
    202 "Accepted",
    203 "Non-Authoritative Information",
    204 "No Content",
    205 "Reset Content",
    206 "Partial Content",
    207 "Multi-Status",
    208 "Already Reported",
    226 "IM Used",
    300 "Multiple Choices",
    301 "Moved Permanently",
    302 "Found",
    303 "See Other",
    304 "Not Modified",
    305 "Use Proxy",
    307 "Temporary Redirect",
    308 "Permanent Redirect",
    400 "Bad Request",
    401 "Unauthorized",
    402 "Payment Required",
    403 "Forbidden",
    404 "Not Found",
    405 "Method Not Allowed",
    406 "Not Acceptable",
    407 "Proxy Authentication Required",
    408 "Request Timeout",
    409 "Conflict",
    410 "Gone",
    411 "Length Required",
    412 "Precondition Failed",
    413 "Content Too Large",
    414 "URI Too Long",
    415 "Unsupported Media Type",
    416 "Range Not Satisfiable",
    417 "Expectation Failed",
    418 "I'm a teapot",
    421 "Misdirected Request",
    422 "Unprocessable Content",
    423 "Locked",
    424 "Failed Dependency",
    425 "Too Early",
    426 "Upgrade Required",
    428 "Precondition Required",
    429 "Too Many Requests",
    431 "Request Header Fields Too Large",
    451 "Unavailable For Legal Reasons",
    500 "Internal Server Error",
    501 "Not Implemented",
    502 "Bad Gateway",
    503 "Service Unavailable",
    504 "Gateway Timeout",
    505 "HTTP Version Not Supported",
    506 "Variant Also Negotiates",
    507 "Insufficient Storage",
    508 "Loop Detected",
    510 "Not Extended",
    511 "Network Authentication Required",
}

/// A status without a registered reason: the space before the missing reason stays.
#[cold]
fn unnamed_status_line(status: StatusCode, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" \r\n");
}

#[cfg(test)]
mod tests;
