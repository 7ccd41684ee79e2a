//! The walk along what proxies say, from the nearest outwards, past those that are trusted.

use std::net::SocketAddr;

use http::header::GetAll;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::element::{Element, elements, node};
use super::{X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::networks::Networks;
use crate::scheme::Scheme;

/// How many proxies are walked past. Nobody has so many, and a client that is behind more of them is
/// unknown.
const ENTRIES_MAX: usize = 32;

/// The longest host, port included: DNS's bound and some (RFC 1035 §3.1).
const HOST_BYTES_MAX: usize = 255 + 6;

/// What the trusted proxies say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) client: Told,
    pub(super) scheme: Option<Scheme>,
    pub(super) host: Option<Box<str>>,
}

/// What they say of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: the nearest proxy speaks for itself.
    Nothing,
    /// That this is its address.
    Address(SocketAddr),
    /// Something that is no address, or no end of addresses.
    Nonsense,
}

/// Walks entries, the nearest first: which one is the client's, and what it says.
fn walk(entries: impl Iterator<Item = Option<SocketAddr>>, trusted: &Networks) -> (usize, Told) {
    let mut end = (0, Told::Nothing);
    for (index, entry) in entries.enumerate() {
        match entry {
            Some(_) if index == ENTRIES_MAX => return (index, Told::Nonsense),
            Some(address) => end = (index, Told::Address(address)),
            None => return (index, Told::Nonsense),
        }
        if !entry.is_some_and(|address| trusted.contains_address(address.ip())) {
            break;
        }
    }
    end
}

/// What `X-Forwarded-*` say.
///
/// The scheme and the host are those that stand where the client does, if as many are listed as
/// there are addresses. Else they are the last: what the nearest proxy wrote, or left alone.
pub(super) fn x_forwarded(headers: &HeaderMap, trusted: &Networks) -> Claim {
    let entries = || from_the_right(headers.get_all(X_FORWARDED_FOR));
    let (index, client) = walk(entries().map(|entry| entry.and_then(node)), trusted);
    let addresses = entries().take(ENTRIES_MAX + 1).count();
    let beside = |name: HeaderName| {
        let listed = || from_the_right(headers.get_all(&name));
        let is_parallel = listed().take(ENTRIES_MAX + 1).count() == addresses;
        listed().nth(if is_parallel { index } else { 0 }).flatten()
    };
    let scheme = beside(X_FORWARDED_PROTO).and_then(scheme);
    let host = beside(X_FORWARDED_HOST).and_then(host);
    Claim { client, scheme, host }
}

/// The members of a list over all its lines, the last first; `None` for one that is no text. Empty
/// ones are no members.
fn from_the_right(lines: GetAll<'_, HeaderValue>) -> impl Iterator<Item = Option<&str>> {
    let members = lines.into_iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    let members = members.map(|member| std::str::from_utf8(member).ok().map(str::trim));
    members.filter(|member| *member != Some(""))
}

/// What `Forwarded` says.
pub(super) fn forwarded(headers: &HeaderMap, trusted: &Networks) -> Claim {
    let lines = headers.get_all(header::FORWARDED).into_iter().rev();
    let said: Vec<_> = lines.flat_map(said).take(ENTRIES_MAX + 1).collect();
    let (index, client) = walk(said.iter().map(|element| element.node.and_then(node)), trusted);
    let of_client = said.get(index).copied().unwrap_or_default();
    let (scheme, host) = (of_client.proto.and_then(scheme), of_client.host.and_then(host));
    Claim { client, scheme, host }
}

/// What a line says, the nearest first. One that cannot be read stands for a proxy that says nothing:
/// the walk ends there.
fn said(line: &HeaderValue) -> impl Iterator<Item = Element<'_>> {
    let elements = line.to_str().ok().and_then(|text| elements(text, ENTRIES_MAX + 1).ok());
    elements.unwrap_or_else(|| vec![Element::default()]).into_iter().rev()
}

fn scheme(text: &str) -> Option<Scheme> {
    match text {
        _ if text.eq_ignore_ascii_case("https") => Some(Scheme::Https),
        _ if text.eq_ignore_ascii_case("http") => Some(Scheme::Http),
        _ => None,
    }
}

/// A host as a `Host` field may have it (RFC 9110 §7.2).
fn host(text: &str) -> Option<Box<str>> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+,;=".contains(&byte);
    let sound = !text.is_empty() && text.len() <= HOST_BYTES_MAX && text.bytes().all(is_part);
    sound.then(|| text.into())
}
