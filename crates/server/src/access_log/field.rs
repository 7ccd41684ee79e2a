//! What a line may say of a request, by the names that a config has for it.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::{StatusCode, Version};
use unary_net::tls::TlsVersion;
use unary_web::filter::access_log::{Access, Text};
use unary_web::scheme::Scheme;
use unary_web::user::User;

/// What a line may say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Time,
    Client,
    User,
    Method,
    Scheme,
    Host,
    Path,
    Query,
    Protocol,
    Status,
    Bytes,
    Duration,
    Site,
    Route,
    Referer,
    UserAgent,
    RequestId,
    TraceId,
    Tls,
    TlsCipher,
    TlsResumed,
}

/// What is logged as the status if the client went away before there was one. No such status exists,
/// so it cannot be mistaken; other servers have made it known.
const CLIENT_WENT_AWAY: u16 = 499;

/// What a field says of one request.
pub(super) enum Value<'a> {
    /// When the request came.
    Time,
    Text(&'a [u8]),
    Owned(String),
    Address(IpAddr),
    Number(u64),
    Switch(bool),
    Milliseconds(Duration),
}

impl Field {
    /// All of them, in the order in which a JSON line has them, by name.
    pub(crate) const ALL: [(&str, Self); 21] = [
        ("time", Self::Time),
        ("client", Self::Client),
        ("user", Self::User),
        ("method", Self::Method),
        ("scheme", Self::Scheme),
        ("host", Self::Host),
        ("path", Self::Path),
        ("query", Self::Query),
        ("protocol", Self::Protocol),
        ("status", Self::Status),
        ("bytes", Self::Bytes),
        ("duration", Self::Duration),
        ("site", Self::Site),
        ("route", Self::Route),
        ("referer", Self::Referer),
        ("user-agent", Self::UserAgent),
        ("request-id", Self::RequestId),
        ("trace-id", Self::TraceId),
        ("tls", Self::Tls),
        ("tls-cipher", Self::TlsCipher),
        ("tls-resumed", Self::TlsResumed),
    ];

    /// Their names.
    pub(crate) const NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::ALL[at].0;
            at += 1;
        }
        names
    };

    /// Its name. They are declared in the order of the table, which a test sees to.
    pub(super) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The field of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    /// Whether it is kept of a request only if that is asked for.
    pub(super) fn is_detail(self) -> bool {
        use Field::{Host, RequestId, Route, Scheme, Site, Tls, TlsCipher, TlsResumed, TraceId};
        matches!(self, Scheme | Host | Site | Route | RequestId | TraceId | Tls | TlsCipher | TlsResumed)
    }

    /// What it says of a request; `None` if there is nothing to say.
    pub(super) fn of(self, access: &Access) -> Option<Value<'_>> {
        let word = |word: &'static str| Some(Value::Text(word.as_bytes()));
        let text = |which: Text| access.texts.get(which);
        let tls = || access.connection.as_ref()?.tls();
        match self {
            Self::Time => Some(Value::Time),
            Self::Client => access.peer.map(|peer| Value::Address(peer.ip().to_canonical())),
            Self::User => access.user.as_ref().map(|user| Value::Text(User::name(user).as_bytes())),
            Self::Method => Some(Value::Text(access.method.as_str().as_bytes())),
            Self::Scheme => match access.scheme {
                Scheme::Http => word("http"),
                Scheme::Https => word("https"),
            },
            Self::Host => text(Text::Host).map(Value::Text),
            Self::Path => Some(Value::Text(split(text(Text::Target)?).0)),
            Self::Query => split(text(Text::Target)?).1.map(Value::Text),
            Self::Protocol => word(protocol(access.version)),
            Self::Status => Some(Value::Number(status(access).into())),
            Self::Bytes => Some(Value::Number(access.sent_bytes)),
            Self::Duration => Some(Value::Milliseconds(access.duration)),
            Self::Site => access.place.as_ref().map(|place| Value::Text(place.site.as_bytes())),
            Self::Route => {
                let route = access.place.as_ref()?.route.as_bytes();
                Some(Value::Text(route)).filter(|_| !route.is_empty())
            }
            Self::Referer => text(Text::Referer).map(Value::Text),
            Self::UserAgent => text(Text::UserAgent).map(Value::Text),
            Self::RequestId => text(Text::RequestId).map(Value::Text),
            Self::TraceId => access.trace.map(|trace| Value::Owned(trace.trace_id().to_string())),
            Self::Tls => tls().map(|tls| version(tls.version)),
            Self::TlsCipher => tls().map(|tls| Value::Text(tls.cipher.as_bytes())),
            Self::TlsResumed => tls().map(|tls| Value::Switch(tls.resumed)),
        }
    }
}

fn version(version: TlsVersion) -> Value<'static> {
    Value::Text(match version {
        TlsVersion::Tls12 => b"TLSv1.2",
        TlsVersion::Tls13 => b"TLSv1.3",
    })
}

/// Path and query.
fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// Writes an address, as `Display` does. Most are of IPv4, and those are quick.
pub(super) fn address(address: IpAddr, line: &mut String) {
    let IpAddr::V4(address) = address else {
        let _ = write!(line, "{address}"); // Writing to a `String` cannot fail.
        return;
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        line.push_str(if at == 0 { "" } else { "." });
        line.push_str(itoa::Buffer::new().format(octet));
    }
}

/// As a request line has it.
pub(super) fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

pub(super) fn status(access: &Access) -> u16 {
    access.status.map_or(CLIENT_WENT_AWAY, |status| StatusCode::as_u16(&status))
}

/// What else may not stand in a text as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spaces {
    Kept,
    /// They would end it.
    Escaped,
}

/// Writes what a client sent so that it can neither end its field or line nor reach a terminal: as
/// Apache does, `\"`, `\\`, and `\xhh` for what is no visible ASCII.
pub(super) fn escape(bytes: &[u8], spaces: Spaces, line: &mut String) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(byte)]),
            b' ' if spaces == Spaces::Escaped => line.push_str("\\x20"),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => drop(write!(line, "\\x{byte:02x}")), // Writing to a `String` cannot fail.
        }
    }
}
