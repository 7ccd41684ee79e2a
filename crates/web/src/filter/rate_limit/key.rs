//! What requests are counted under: [`By`].

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderName, header};
use unary_http::Request;
use unary_service::filter::rate_limit::Key;

use crate::choose::{Path, When};
use crate::filter::forwarded::Client;
use crate::router::params;

/// What requests are counted under.
///
/// A request without the field, cookie or parameter counts under its client's address, so that
/// nobody escapes a limit by leaving it out. Its value is what the client says: whoever makes up a
/// new one each time is counted anew each time. Check it first, or limit by client too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The client's address, as trusted proxies tell it; those of an IPv6 network together. All
    /// that come over Unix sockets are one client, and so are all of whom nothing is known.
    Client,
    /// The first value of this field.
    Header(HeaderName),
    /// The value of the cookie of this name.
    Cookie(Box<str>),
    /// The value of the path's parameter of this name, of a [`Router`](crate::router::Router).
    Parameter(Box<str>),
    /// What the path has in place of `{name}` in the pattern that takes it.
    Place(Arc<When>, Box<str>),
}

/// Keys of clients without an address. No address is that: these are of IPv6's discard-only block
/// (RFC 6666), whose packets no router lets through.
const LOCAL: u128 = 0x0100 << 112;
const UNKNOWN: u128 = LOCAL | 1;

impl By {
    pub(super) fn key<'a>(&self, request: &'a Request, ipv6_bits: u8) -> Key<'a> {
        let value = match self {
            Self::Client => None,
            Self::Header(name) => request.headers().get(name).map(|value| Cow::Borrowed(value.as_bytes())),
            Self::Cookie(name) => cookie(request, name).map(Cow::Borrowed),
            Self::Parameter(name) => params(request).get(name).map(|value| match value {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
            Self::Place(when, name) => place(request, when, name).map(Cow::Owned),
        };
        value.map_or_else(|| client(request, ipv6_bits), Key::Text)
    }
}

fn place(request: &Request, when: &When, name: &str) -> Option<Vec<u8>> {
    let path = Path::parse(request.uri().path()).ok()?;
    when.parameter(&path, name).map(<[u8]>::to_vec)
}

fn client(request: &Request, ipv6_bits: u8) -> Key<'static> {
    match Client::of(request) {
        Client::Address(address) => Key::network(address, ipv6_bits),
        Client::Local => Key::Number(LOCAL),
        Client::Unknown => Key::Number(UNKNOWN),
    }
}

/// The value of the first cookie of this name (RFC 6265 §4.2.1), as it was sent.
fn cookie<'a>(request: &'a Request, name: &str) -> Option<&'a [u8]> {
    let lines = request.headers().get_all(header::COOKIE).into_iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}
