//! What is about one connection alone and must not be passed on (RFC 9110 §7.6.1), and how many
//! connections there may be (§7.6.2).

use http::header::{
    CONNECTION, HOST, HeaderName, MAX_FORWARDS, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use unary_http::{Request, Response, message};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What goes with the connection, named by `Connection` or not. `TE` is the client's to rewrite, and
/// the fields that frame a message the encoder's.
const OF_ONE_HOP: [HeaderName; 5] =
    [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, HTTP2_SETTINGS];

/// Counts a connection that `OPTIONS` or `TRACE` may still take; the reply if there is none left.
pub(super) fn count_down(request: &mut Request) -> Option<Response> {
    if !matches!(*request.method(), Method::OPTIONS | Method::TRACE) {
        return None;
    }
    let left = request.headers().get(MAX_FORWARDS)?.to_str().ok()?;
    if left.is_empty() || !left.bytes().all(|byte| byte.is_ascii_digit()) {
        return None; // It means nothing, and whoever answers may say so.
    }
    match left.parse().unwrap_or(u64::MAX).checked_sub(1) {
        Some(left) => {
            request.headers_mut().insert(MAX_FORWARDS, left.into());
            None
        }
        None if *request.method() == Method::OPTIONS => Some(Response::default()),
        None => Some(message::status(StatusCode::NOT_IMPLEMENTED)),
    }
}

/// Whether a message is about leaving HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrading {
    Yes,
    No,
}

/// Removes what is about the connection the message came on. The encoder says anew what the next
/// one has to know; `Upgrade` stays only if it is about to be.
pub(super) fn strip(headers: &mut HeaderMap, upgrading: Upgrading) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers.get_all(CONNECTION).iter().flat_map(names).collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in OF_ONE_HOP {
        headers.remove(name);
    }
    if upgrading == Upgrading::No {
        headers.remove(UPGRADE);
    }
}

/// The fields a `Connection` value names, but for those that have rules of their own: whoever asks
/// must not make a request lose its `Host`, nor the framing look other than it is.
fn names(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let options = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    // The two that are usual name no field.
    let unusual =
        |option: &&[u8]| !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close");
    let names = options.filter(unusual).filter_map(|option| HeaderName::from_bytes(option).ok());
    names.filter(|name| ![HOST, TE, UPGRADE, TRANSFER_ENCODING].contains(name))
}

/// Whether it is HTTP/2 in the clear that is offered: a tunnel of it would carry requests past every
/// filter here.
pub(super) fn offers_h2c(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    protocols.map(<[u8]>::trim_ascii).any(|protocol| protocol.eq_ignore_ascii_case(b"h2c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fields: &[(&'static str, &'static str)], upgrading: Upgrading, left: &[&str]) {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers, upgrading);
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, left);
    }

    #[test]
    fn removes_what_connection_names() {
        let fields = [("connection", "close, A"), ("connection", "b,, c d"), ("a", "1"), ("b", "2"), ("c", "3")];
        check(&fields, Upgrading::No, &["c"]);
    }

    #[test]
    fn removes_what_is_of_one_hop_named_or_not() {
        let fields = [("keep-alive", "9"), ("proxy-connection", "x"), ("proxy-authorization", "x"), ("upgrade", "x")];
        check(&fields, Upgrading::No, &[]);
        check(&fields, Upgrading::Yes, &["upgrade"]);
    }

    #[test]
    fn keeps_what_nobody_may_take_away() {
        check(
            &[("connection", "host, te, upgrade"), ("host", "a"), ("te", "trailers")],
            Upgrading::No,
            &["host", "te"],
        );
    }

    #[test]
    fn knows_http2_in_the_clear() {
        let offers = |value| offers_h2c(&HeaderMap::from_iter([(UPGRADE, HeaderValue::from_static(value))]));
        assert!(offers("websocket, H2C") && !offers("websocket"));
    }
}
