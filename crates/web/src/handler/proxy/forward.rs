//! Telling the server behind who asks: `Forwarded` (RFC 7239) and the `X-Forwarded-` fields.
//!
//! What is told is what [`filter::forwarded`](crate::filter::forwarded) believes, which is the
//! connection's own facts unless a trusted proxy says otherwise. What the client wrote is replaced.

use std::fmt::Arguments;
use std::io::Write;
use std::net::IpAddr;

use http::header::{FORWARDED, HOST, HeaderName};
use http::{HeaderMap, HeaderValue};
use unary_http::Request;

use super::Tell;
use crate::filter::forwarded::{self, Client};
use crate::scheme::Scheme;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const HOST_ASKED: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields that others tell the client by, or how it came. None of them is ours to tell.
const ALIKE: [HeaderName; 3] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
];

/// What the server is told.
pub(super) struct Told {
    client: Option<HeaderValue>,
    host: Option<HeaderValue>,
    scheme: HeaderValue,
    forwarded: Option<HeaderValue>,
    /// What a trusted proxy says of the port that was asked for.
    port: Option<HeaderValue>,
    tell: Tell,
}

impl Told {
    pub(super) fn of(request: &Request, tell: Tell) -> Self {
        let scheme = match Scheme::of(request) {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let scheme_value = HeaderValue::from_static(scheme);
        let mut told = Self { client: None, host: None, scheme: scheme_value, forwarded: None, port: None, tell };
        if tell == Tell::Nothing {
            return told;
        }
        let client = Client::of(request);
        let host = forwarded::host(request);
        if forwarded::is_through_proxy(request) {
            told.port = request.headers().get(PORT).cloned();
        }
        if tell != Tell::Forwarded {
            if let Client::Address(address) = client {
                told.client = text(format_args!("{address}"));
            }
            // As a rule it is the field's own value, which costs a reference and no copy.
            let field = request.headers().get(HOST).filter(|field| host.is_some_and(|host| *field == host));
            told.host = field.cloned().or_else(|| HeaderValue::from_str(host?).ok());
        }
        if tell != Tell::XForwarded {
            told.forwarded = element(client, host, scheme);
        }
        told
    }

    /// Replaces what is in the headers.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        remove_alike(headers);
        put(headers, FOR, self.client);
        put(headers, HOST_ASKED, self.host);
        put(headers, PROTO, matches!(self.tell, Tell::Both | Tell::XForwarded).then_some(self.scheme));
        put(headers, FORWARDED, self.forwarded);
        put(headers, PORT, self.port);
    }
}

/// What says the same in other words, and so would contradict: in fields that others go by, and in ours written with
/// `_`, which programs that are told of fields by variables take for `-`.
fn remove_alike(headers: &mut HeaderMap) {
    for name in ALIKE {
        headers.remove(name);
    }
    let is_disguised = |name: &&HeaderName| {
        let name = name.as_str();
        name.contains('_') && is_ours(&name.replace('_', "-"))
    };
    let disguised: Vec<HeaderName> = headers.keys().filter(is_disguised).cloned().collect();
    for name in disguised {
        headers.remove(name);
    }
}

fn is_ours(name: &str) -> bool {
    [FOR, PROTO, HOST_ASKED, FORWARDED, PORT].iter().chain(&ALIKE).any(|ours| ours == name)
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

/// `for=192.0.2.1;host="example.com";proto=http`.
fn element(client: Client, host: Option<&str>, scheme: &str) -> Option<HeaderValue> {
    let quotable = |host: &&str| !host.contains(['"', '\\']);
    let host = host.filter(quotable);
    let (before, host, after) = host.map_or(("", "", ""), |host| (";host=\"", host, "\""));
    match client {
        Client::Address(IpAddr::V4(v4)) => text(format_args!("for={v4}{before}{host}{after};proto={scheme}")),
        // RFC 7239 §6: brackets, and for their sake quotes.
        Client::Address(IpAddr::V6(v6)) => text(format_args!("for=\"[{v6}]\"{before}{host}{after};proto={scheme}")),
        Client::Local | Client::Unknown => text(format_args!("for=unknown{before}{host}{after};proto={scheme}")),
    }
}

/// What is usual fits here, and costs one allocation of its own length.
const USUAL_BYTES: usize = 256;

fn text(arguments: Arguments<'_>) -> Option<HeaderValue> {
    let mut usual = [0; USUAL_BYTES];
    let mut rest = &mut usual[..];
    if rest.write_fmt(arguments).is_err() {
        return HeaderValue::from_str(&arguments.to_string()).ok();
    }
    let length = USUAL_BYTES - rest.len();
    HeaderValue::from_bytes(&usual[..length]).ok()
}
