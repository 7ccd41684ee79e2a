//! Requests as HTTP/2 has them, made into what a service knows from HTTP/1.1.
//!
//! The `h2` crate has checked the frames, the pseudo-header fields and that no field belongs to a
//! connection (RFC 9113 §8.2.2); what it leaves is checked here. A request that makes no sense costs its
//! stream, as RFC 9113 §8.1.1 has it.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, Entry, HOST};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use super::counters::{Counters, count};
use crate::h1::head::HeadLimits;
use crate::h1::token::is_host;

/// Why a request does not get as far as the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It makes no sense.
    Malformed(&'static str),
    /// It is too large, and is told so.
    TooLarge(StatusCode),
    /// It wants what nobody here can do, and is told so.
    Unsupported(StatusCode),
}

impl Refusal {
    pub(super) fn count(self, counters: &Counters) {
        count(match self {
            Self::Malformed(_) => &counters.malformed,
            Self::TooLarge(_) => &counters.too_large,
            Self::Unsupported(_) => &counters.unsupported,
        });
    }
}

/// Checks a head and makes it look as if it had come by HTTP/1.1, its version aside.
pub(super) fn translate(head: &mut Parts, limits: &HeadLimits) -> Result<(), Refusal> {
    let crumbs = check_fields(&head.headers, limits)?;
    if crumbs > 1 {
        join_cookie(&mut head.headers);
    }
    if head.headers.contains_key(EXPECT) && !expects_continue(&head.headers) {
        return Err(Refusal::Unsupported(StatusCode::EXPECTATION_FAILED));
    }
    let uri = std::mem::take(&mut head.uri).into_parts();
    translate_host(uri.authority.as_ref(), &mut head.headers)?;
    head.uri = match (uri.path_and_query, uri.authority) {
        (None, Some(authority)) if head.method == Method::CONNECT => Uri::from(authority),
        (Some(path), _) => target(path, &head.method, limits)?,
        (None, _) => return Err(Refusal::Malformed("there is no target")),
    };
    Ok(())
}

/// The length a head announces for its body. The `h2` crate holds the body to it, and refuses what is
/// no number.
pub(super) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the peer waits for `100 Continue` before it sends the body, and expects nothing else.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    let mut expected = headers.get_all(EXPECT).iter().peekable();
    expected.peek().is_some() && expected.all(|what| what.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// How many `Cookie` fields there are, if all fields are in order.
fn check_fields(headers: &HeaderMap, limits: &HeadLimits) -> Result<usize, Refusal> {
    if headers.len() > limits.headers_max {
        return Err(Refusal::TooLarge(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    let mut crumbs = 0;
    for (name, value) in headers {
        // RFC 9113 §8.2.1. HTTP/1.1 would have trimmed it.
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if blank(value.as_bytes().first()) || blank(value.as_bytes().last()) {
            return Err(Refusal::Malformed("a field's value has white space around it"));
        }
        crumbs += usize::from(*name == COOKIE);
    }
    Ok(crumbs)
}

/// Joins what a peer cut into crumbs so that they compress better (RFC 9113 §8.2.3).
fn join_cookie(headers: &mut HeaderMap) {
    let Entry::Occupied(mut crumbs) = headers.entry(COOKIE) else { return };
    let mut joined = BytesMut::with_capacity(crumbs.iter().map(|crumb| crumb.len() + 2).sum());
    for crumb in crumbs.iter() {
        if !joined.is_empty() {
            joined.put_slice(b"; ");
        }
        joined.put_slice(crumb.as_bytes());
    }
    // What was valid in pieces is valid.
    if let Ok(cookie) = HeaderValue::from_maybe_shared(joined.freeze()) {
        crumbs.insert(cookie);
    }
}

/// Leaves one `Host`, which is the authority where the target has one (RFC 9113 §8.3.1).
fn translate_host(authority: Option<&Authority>, headers: &mut HeaderMap) -> Result<(), Refusal> {
    let host = match headers.entry(HOST) {
        Entry::Vacant(vacant) => {
            let authority = authority.ok_or(Refusal::Malformed("it names no host"))?;
            if !is_host(authority.as_str().as_bytes()) {
                return Err(Refusal::Malformed("its authority is no host"));
            }
            let host = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(authority.as_str().as_bytes()));
            vacant.insert(host.map_err(|_| Refusal::Malformed("its authority is no host"))?);
            return Ok(());
        }
        Entry::Occupied(host) => host,
    };
    if host.iter().count() > 1 {
        return Err(Refusal::Malformed("it has more than one Host"));
    }
    let host = host.get().as_bytes();
    if !is_host(host) {
        return Err(Refusal::Malformed("its Host is no host"));
    }
    match authority {
        Some(authority) if !authority.as_str().as_bytes().eq_ignore_ascii_case(host) => {
            Err(Refusal::Malformed("its Host is not its authority"))
        }
        _ => Ok(()),
    }
}

/// A target in origin-form, or `*`, as HTTP/1.1 has them.
fn target(path: PathAndQuery, method: &Method, limits: &HeadLimits) -> Result<Uri, Refusal> {
    if path.as_str().len() > limits.target_bytes_max {
        return Err(Refusal::TooLarge(StatusCode::URI_TOO_LONG));
    }
    // Where there was nothing but a fragment, the path says that it is "/", and only the URI that it is not.
    // Of any other fragment nothing is left to see.
    let target = Uri::from(path);
    let valid = target.path().starts_with('/') || (target.path() == "*" && *method == Method::OPTIONS);
    if valid { Ok(target) } else { Err(Refusal::Malformed("its path is none")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a service sees of `GET` for this URI with these fields: the target, `Host` and `Cookie`.
    #[track_caller]
    fn check(uri: &str, fields: &[(&str, &str)], expected: Result<[&str; 3], Refusal>) {
        let mut request = http::Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let limits = HeadLimits { headers_max: 4, target_bytes_max: 16, ..HeadLimits::default() };
        let translated = translate(&mut head, &limits).map(|()| {
            let field = |name| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
            [head.uri.to_string(), field(HOST).to_owned(), field(COOKIE).to_owned()]
        });
        assert_eq!(translated, expected.map(|seen| seen.map(str::to_owned)));
    }

    #[test]
    fn a_service_sees_what_it_would_of_http_1_1() {
        check("https://a.example:81/b?c", &[], Ok(["/b?c", "a.example:81", ""]));
        check("/b", &[("host", "a.example")], Ok(["/b", "a.example", ""]));
        check("http://A.example/", &[("host", "a.EXAMPLE")], Ok(["/", "a.EXAMPLE", ""]));
    }

    #[test]
    fn cookie_crumbs_are_joined() {
        check("http://a/", &[("cookie", "b=c")], Ok(["/", "a", "b=c"]));
        check("http://a/", &[("cookie", "b=c"), ("x", "y"), ("cookie", "d=e")], Ok(["/", "a", "b=c; d=e"]));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let malformed = |why| Err(Refusal::Malformed(why));
        check("/", &[], malformed("it names no host"));
        check("http://a/", &[("host", "b")], malformed("its Host is not its authority"));
        check("http://a/", &[("host", "a"), ("host", "a")], malformed("it has more than one Host"));
        check("/", &[("host", "")], malformed("its Host is no host"));
        check("http://user@a/", &[], malformed("its authority is no host"));
        check("http://a/", &[("x", " y")], malformed("a field's value has white space around it"));
        check("http://a/", &[("x", "y\t")], malformed("a field's value has white space around it"));
        check("*", &[("host", "a")], malformed("its path is none"));
    }

    #[test]
    fn what_is_expected_beyond_the_go_ahead_is_refused() {
        let refused = Err(Refusal::Unsupported(StatusCode::EXPECTATION_FAILED));
        check("http://a/", &[("expect", "100-Continue")], Ok(["/", "a", ""]));
        check("http://a/", &[("expect", "tea")], refused);
        check("http://a/", &[("expect", "100-continue"), ("expect", "tea")], refused);
    }

    #[test]
    fn a_fragment_is_no_path() {
        let fragment = PathAndQuery::from_maybe_shared(Bytes::from_static(b"#a")).unwrap();
        let refused = target(fragment, &Method::GET, &HeadLimits::default());
        assert_eq!(refused, Err(Refusal::Malformed("its path is none")));
    }

    #[test]
    fn what_is_too_large_is_told_so() {
        let too_large = |status| Err(Refusal::TooLarge(status));
        check("http://a/23456789abcdef", &[], Ok(["/23456789abcdef", "a", ""]));
        check("http://a/23456789abcdefgh", &[], too_large(StatusCode::URI_TOO_LONG));
        let fields = [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")];
        check("http://a/", &fields[..4], Ok(["/", "a", ""]));
        check("http://a/", &fields, too_large(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
}
