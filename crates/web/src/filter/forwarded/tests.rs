use http::HeaderValue;
use unary_http::{Body, message};
use unary_service::{Compose, service_fn};

use super::*;

/// What a service sees behind the filter, as `client scheme host`, and which of the fields are left.
async fn seen(forwarded: Forwarded, peer: Option<&str>, fields: &[(&str, &str)]) -> (String, String) {
    let peer = Peer::new(peer.map(|address| SocketAddr::new(address.parse().unwrap(), 9)), None);
    let context = Context { peer: Some(peer.remote()), ..Context::default() };
    let mut request = http::Request::get("/").body(Body::empty().with_context(context)).unwrap();
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("inner.test"));
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let app = forwarded.and_then(service_fn(async |request: Request| {
        let client = match Client::of(&request) {
            Client::Address(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        assert!(connection(&request).is_some(), "the connection is still known");
        let told = format!("{client} {:?} {}", Scheme::of(&request), host(&request).unwrap_or("-"));
        let mut left: Vec<_> =
            request.headers().keys().map(HeaderName::as_str).filter(|name| *name != "host").collect();
        left.sort_unstable();
        Ok(message::text(format!("{told}|{}", left.join(" "))))
    }));
    let reply = app.call(request).await.unwrap();
    let text = String::from_utf8(reply.into_body().collect(9999).await.unwrap().to_vec()).unwrap();
    let (told, left) = text.split_once('|').unwrap();
    (told.to_owned(), left.to_owned())
}

fn trusting() -> Forwarded {
    Forwarded::trusting(Networks::parse(["10.0.0.0/8", "fd00::/8"]).unwrap()).host_from(HostFrom::Proxy)
}

/// Through the proxy at 10.0.0.1.
#[track_caller]
fn check_x(addresses: &[&str], client: &str) {
    let fields: Vec<_> = addresses.iter().map(|line| ("x-forwarded-for", *line)).collect();
    let told = now(seen(trusting(), Some("10.0.0.1"), &fields)).0;
    assert_eq!(told, format!("{client} Http inner.test"), "{addresses:?}");
}

#[track_caller]
fn check_forwarded(lines: &[&str], expected: &str) {
    let fields: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
    let told = now(seen(trusting().in_fields(Fields::Forwarded), Some("10.0.0.1"), &fields)).0;
    assert_eq!(told, expected, "{lines:?}");
}

fn now<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn the_client_is_the_first_from_the_right_that_is_not_trusted() {
    check_x(&["203.0.113.9"], "203.0.113.9");
    check_x(&["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9");
    check_x(&["1.1.1.1", "203.0.113.9,10.0.0.2 , fd00::3"], "203.0.113.9");
    check_x(&["1.1.1.1, [2001:db8::1]:99"], "2001:db8::1");
    check_x(&["::ffff:203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9");
}

#[test]
fn where_all_are_trusted_it_is_the_outermost() {
    check_x(&["10.9.9.9, 10.0.0.2"], "10.9.9.9");
    check_x(&[], "10.0.0.1");
    check_x(&["", " , "], "10.0.0.1");
}

#[test]
fn what_makes_no_sense_is_nobody_and_not_the_proxy() {
    check_x(&["203.0.113.9, unknown"], "Unknown");
    check_x(&["203.0.113.9, 10.0.0.2, x"], "Unknown");
    check_x(&["10.0.0.2, 1.2.3"], "Unknown");
    check_forwarded(&["for=203.0.113.9, for=_hidden"], "Unknown Http inner.test");
    check_forwarded(&["for=203.0.113.9", "for="], "Unknown Http inner.test");
    check_forwarded(&["proto=https"], "Unknown Https inner.test");
}

#[test]
fn what_a_client_writes_itself_is_not_looked_at() {
    check_x(&["x, 10.0.0.2, 203.0.113.9"], "203.0.113.9");
    check_forwarded(&["for=10.0.0.2;proto=https, for=203.0.113.9"], "203.0.113.9 Http inner.test");
    check_forwarded(&["for=\"", "for=203.0.113.9"], "203.0.113.9 Http inner.test");
    // On the same line nobody can tell where a quotation that is never closed ends.
    check_forwarded(&["for=\", for=203.0.113.9"], "Unknown Http inner.test");
}

#[test]
fn a_line_of_proxies_without_end_is_not_believed() {
    check_x(&[&format!("203.0.113.9{}", ", 10.0.0.2".repeat(31))], "203.0.113.9");
    check_x(&[&format!("203.0.113.9{}", ", 10.0.0.2".repeat(32))], "Unknown");
    check_x(&[&"10.0.0.2,".repeat(5000)], "Unknown");
    let lines = "for=203.0.113.9, ".to_owned() + &"for=10.0.0.2,".repeat(31);
    check_forwarded(&[&lines], "203.0.113.9 Http inner.test");
    let lines = "for=203.0.113.9, ".to_owned() + &"for=10.0.0.2,".repeat(32);
    check_forwarded(&[&lines], "Unknown Http inner.test");
}

#[test]
fn scheme_and_host_are_those_of_the_clients_element() {
    let outer = "for=203.0.113.9;proto=https;host=outer.test";
    check_forwarded(&[outer, "for=10.0.0.2;proto=http;host=middle.test"], "203.0.113.9 Https outer.test");
    check_forwarded(&["for=203.0.113.9;proto=ftp;host=\"a/b\""], "203.0.113.9 Http inner.test");
}

#[track_caller]
fn check_beside(proto: &str, host: &str, expected: &str) {
    let fields = [("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2"), ("x-forwarded-proto", proto)];
    let fields = [fields[0], fields[1], ("x-forwarded-host", host)];
    let told = now(seen(trusting(), Some("10.0.0.1"), &fields)).0;
    assert_eq!(told, format!("203.0.113.9 {expected}"));
}

#[test]
fn the_host_is_the_requests_own_unless_told() {
    let fields = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-host", "outer.test")];
    let (told, left) = now(seen(trusting().host_from(HostFrom::Request), Some("10.0.0.1"), &fields));
    assert_eq!((&*told, &*left), ("203.0.113.9 Http inner.test", "x-forwarded-for"));
    let forwarded = trusting().in_fields(Fields::Forwarded).host_from(HostFrom::Request);
    let (told, _) = now(seen(forwarded, Some("10.0.0.1"), &[("forwarded", "for=203.0.113.9;host=outer.test")]));
    assert_eq!(told, "203.0.113.9 Http inner.test");
}

#[test]
fn scheme_and_host_stand_where_the_client_does() {
    check_beside("http, https, http", "evil.test, outer.test:8443, middle.test", "Https outer.test:8443");
    check_beside("HTTPS", "outer.test", "Https outer.test");
    check_beside("http, https", "evil.test, outer.test", "Https outer.test");
    assert_eq!(
        now(seen(trusting(), Some("10.0.0.1"), &[("x-forwarded-proto", "https")])).0,
        "10.0.0.1 Https inner.test"
    );
    check_beside("ftp", "a b", "Http inner.test");
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let fields = [
        ("x-forwarded-for", "10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outer.test"),
        ("x-real-ip", "10.1.1.1"),
        ("forwarded", "for=10.1.1.1"),
        ("accept", "x"),
    ];
    let expected = ("203.0.113.7 Http inner.test".to_owned(), "accept".to_owned());
    assert_eq!(seen(trusting(), Some("203.0.113.7"), &fields).await, expected);
    let nobody = Forwarded::trusting(Networks::none());
    assert_eq!(seen(nobody, Some("203.0.113.7"), &fields).await, expected);
}

#[tokio::test]
async fn only_the_fields_that_count_are_left() {
    let fields = [("x-forwarded-for", "203.0.113.9"), ("x-real-ip", "10.1.1.1"), ("forwarded", "for=10.1.1.1")];
    let (told, left) = seen(trusting(), Some("10.0.0.1"), &fields).await;
    assert_eq!((&*told, &*left), ("203.0.113.9 Http inner.test", "x-forwarded-for"));
    let (told, left) = seen(trusting().in_fields(Fields::Forwarded), Some("10.0.0.1"), &fields).await;
    assert_eq!((&*told, &*left), ("10.1.1.1 Http inner.test", "forwarded"));
}

#[tokio::test]
async fn a_unix_socket_is_believed_if_it_is_trusted() {
    let fields = [("x-forwarded-for", "203.0.113.9")];
    assert_eq!(seen(trusting(), None, &fields).await.0, "Local Http inner.test");
    let local = Forwarded::trusting(Networks::none().and_local());
    assert_eq!(seen(local, None, &fields).await.0, "203.0.113.9 Http inner.test");
}
