//! What the server behind is asked, and what of its reply comes back.

use http::header::{CONNECTION, HeaderName, UPGRADE};
use unary_http::Body;
use unary_net::Peer;
use unary_service::{Context, service_fn};

use super::*;
use crate::scheme::Scheme;

/// A request as it arrives from 192.0.2.7.
fn request(target: &str, fields: &[(&str, &str)]) -> Request {
    let peer = Peer::new(Some("192.0.2.7:1234".parse().unwrap()), None);
    let context = Context { peer: Some(peer.remote()), ..Context::default() };
    let mut request = Request::new(Body::empty().with_context(context));
    *request.uri_mut() = target.parse().unwrap();
    request.headers_mut().insert(HOST, HeaderValue::from_static("example.com"));
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    request
}

/// A server that tells what it was asked: the target and the fields, in order of their names.
async fn tell(request: Request) -> Result<Response, Error> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| format!("; {name}: {}", value.to_str().unwrap());
    let mut fields: Vec<String> = request.headers().iter().map(field).collect();
    fields.sort_unstable();
    Ok(Response::new(format!("{}{}", request.uri(), fields.concat()).into()))
}

/// A proxy that passes on to [`tell`] as if it were this endpoint, and tells nothing of its own.
fn proxy(endpoint: &str) -> Proxy<impl Service<Request, Reply = Response>> {
    Proxy::over(service_fn(tell), endpoint.parse().unwrap()).tell(Tell::Nothing).via(None)
}

async fn check(proxy: &Proxy<impl Service<Request, Reply = Response>>, request: Request, expected: &str) {
    let told = match proxy.call(request).await {
        Ok(reply) => String::from_utf8(reply.into_body().collect(4096).await.unwrap().to_vec()).unwrap(),
        Err(error) => error.to_string(),
    };
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_request_is_passed_on_as_it_is_but_for_its_hop() {
    let fields = [("accept", "a"), ("connection", "keep-alive, x-gone"), ("x-gone", "1"), ("keep-alive", "9")];
    check(&proxy("http://a"), request("/x?y=%20", &fields), "/x?y=%20; accept: a; host: example.com").await;
}

#[tokio::test]
async fn a_base_goes_before_every_target() {
    let based = proxy("http://a/base/");
    check(&based, request("/x/../y", &[]), CLIMBS).await;
    check(&based, request("/x/%2e%2E/y", &[]), CLIMBS).await;
    check(&based, request("/%2e%2e%2fy", &[]), CLIMBS).await;
    check(&based, request("/..%5cy", &[]), CLIMBS).await;
    check(&based, request("/x?a=../b", &[]), "/base/x?a=../b; host: example.com").await;
    check(&based, request("/x..y/...", &[]), "/base/x..y/...; host: example.com").await;
    check(&based, request("*", &[]), "*; host: example.com").await;
    check(&based, request("http://example.com/x", &[]), "/base/x; host: example.com").await;
    check(&proxy("http://a"), request("/x/../y", &[]), "/x/../y; host: example.com").await;
}

const CLIMBS: &str =
    "invalid while passing a request on: its path has dot segments, which could lead out of the endpoint's base";

#[tokio::test]
async fn the_endpoint_may_be_called_by_its_own_name() {
    check(&proxy("http://app:81").host(Host::Endpoint), request("/", &[]), "/; host: app:81").await;
    check(&proxy("unix:/a").host(Host::Endpoint), request("/", &[]), "/; host: localhost").await;
}

#[tokio::test]
async fn via_is_added_to_what_is_there() {
    let proxy = proxy("http://a").via(Some("me"));
    for (version, said) in [(Version::HTTP_10, "1.0"), (Version::HTTP_11, "1.1"), (Version::HTTP_2, "2.0")] {
        let mut request = request("/", &[("via", "0.9 you")]);
        *request.version_mut() = version;
        check(&proxy, request, &format!("/; host: example.com; via: 0.9 you; via: {said} me")).await;
    }
}

/// What a client may write to pass for somebody else.
const FORGED: [(&str, &str); 9] = [
    ("forwarded", "for=10.0.0.1;proto=https"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-for", "10.0.0.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "bank.example"),
    ("x-forwarded-port", "443"),
    ("x-real-ip", "10.0.0.1"),
    ("x_forwarded_for", "10.0.0.1"),
    ("x-real_ip", "10.0.0.1"),
];

#[tokio::test]
async fn who_asks_is_told_and_what_clients_say_of_it_is_not() {
    let forwarded = "; forwarded: for=192.0.2.7;host=\"example.com\";proto=http";
    let x = "; x-forwarded-for: 192.0.2.7; x-forwarded-host: example.com; x-forwarded-proto: http";
    let told = async |tell, expected: &str| check(&proxy("http://a").tell(tell), request("/", &FORGED), expected).await;
    told(Tell::Both, &format!("/{forwarded}; host: example.com{x}")).await;
    told(Tell::Forwarded, &format!("/{forwarded}; host: example.com")).await;
    told(Tell::XForwarded, &format!("/; host: example.com{x}")).await;
    told(Tell::Nothing, "/; host: example.com").await;
}

#[tokio::test]
async fn naming_a_field_of_ours_in_connection_does_not_remove_it() {
    let request = request("/", &[("connection", "x-forwarded-for, forwarded, host")]);
    let x = "; x-forwarded-for: 192.0.2.7; x-forwarded-host: example.com; x-forwarded-proto: http";
    check(&proxy("http://a").tell(Tell::XForwarded), request, &format!("/; host: example.com{x}")).await;
}

#[tokio::test]
async fn tls_and_other_addresses_are_told() {
    let mut secure = request("/", &[]);
    secure.extensions_mut().insert(Scheme::Https);
    let peer = Peer::new(Some("[2001:db8::1]:9".parse().unwrap()), None);
    *secure.body_mut() = Body::empty().with_context(Context { peer: Some(peer.remote()), ..Context::default() });
    let expected = "/; forwarded: for=\"[2001:db8::1]\";host=\"example.com\";proto=https; host: example.com";
    check(&proxy("http://a").tell(Tell::Forwarded), secure, expected).await;
    let mut local = request("/", &[]);
    *local.body_mut() = Body::empty();
    let expected = "/; forwarded: for=unknown;host=\"example.com\";proto=http; host: example.com";
    check(&proxy("http://a").tell(Tell::Forwarded), local, expected).await;
}

#[tokio::test]
async fn connect_is_not_passed_on() {
    let mut request = request("example.com:443", &[]);
    *request.method_mut() = Method::CONNECT;
    let refused = "unsupported while passing CONNECT on: only forward proxies do";
    check(&proxy("http://a"), request, refused).await;
}

#[tokio::test]
async fn an_upgrade_nobody_confirmed_is_none() {
    check(&proxy("http://a"), request("/", &[("upgrade", "websocket")]), "/; host: example.com").await;
}

#[tokio::test]
async fn a_reply_loses_what_is_about_its_hop() {
    let upstream = service_fn(async |_: Request| {
        let mut reply = Response::new("hi".into());
        for (name, value) in [(CONNECTION, "close, x-gone"), (UPGRADE, "h2c")] {
            reply.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        reply.headers_mut().insert("x-gone", HeaderValue::from_static("1"));
        reply.headers_mut().insert("x-kept", HeaderValue::from_static("1"));
        Ok(reply)
    });
    let reply = Proxy::over(upstream, "http://a".parse().unwrap()).call(request("/", &[])).await.unwrap();
    assert_eq!(reply.headers().keys().collect::<Vec<_>>(), ["x-kept"]);
}

#[tokio::test]
async fn a_switch_that_was_not_offered_is_the_servers_fault() {
    let upstream = service_fn(async |_: Request| {
        let mut reply = Response::default();
        *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        Ok(reply)
    });
    let proxy = Proxy::over(upstream, "http://a".parse().unwrap());
    let refused =
        "failed upstream while passing on the reply of http://a:80: it takes up a protocol that was not offered";
    check(&proxy, request("/", &[]), refused).await;
}

#[tokio::test]
async fn so_many_may_pass_a_request_on_as_it_says() {
    let counted = |method: Method, left: &'static str| {
        let mut request = request("/", &[("max-forwards", left)]);
        *request.method_mut() = method;
        request
    };
    let passed = |left: &str| format!("/; host: example.com; max-forwards: {left}");
    check(&proxy("http://a"), counted(Method::OPTIONS, "3"), &passed("2")).await;
    check(&proxy("http://a"), counted(Method::TRACE, "1"), &passed("0")).await;
    check(&proxy("http://a"), counted(Method::OPTIONS, "99999999999999999999"), &passed("18446744073709551614")).await;
    check(&proxy("http://a"), counted(Method::OPTIONS, "-1"), &passed("-1")).await;
    check(&proxy("http://a"), counted(Method::GET, "0"), &passed("0")).await;
    check(&proxy("http://a"), counted(Method::OPTIONS, "0"), "").await;
    check(&proxy("http://a"), counted(Method::TRACE, "00"), "501 Not Implemented\n").await;
}
