//! Every filter, from its line in a config to what becomes of requests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use futures_util::FutureExt;

use super::*;

/// The password of `anna` is `secret`.
const USERS: &str = "anna:$2y$04$0VNVvbCnHSd5PND0VAVVfuo2PY4H78YrAlzTg9GBvf71qJvNy0Tj2\n";

/// A server behind, which says what it was asked, as it was asked.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let begin = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", head.len());
            let _ = stream.write_all(&[begin.as_bytes(), &head].concat());
        }
    });
    address
}

/// A plan of one site with such a route, and such lines before it. `ECHO` is [`echo`].
fn planned(before: &str, route: &str) -> (Place, Plan) {
    let route = route.replace("ECHO", &format!("\"http://{}\"", echo()));
    let place = Place::with(&format!("{before}\nsite \"a.example\" {{ tls off; {route} }}"));
    place.0.write("users", USERS);
    place.0.write("sorry.html", "sorry");
    place.0.write("public/long.txt", "long ".repeat(500));
    place.0.write("public/long.css", "long ".repeat(500));
    let plan = place.plan(None);
    assert!(plan.broken.is_empty(), "{route}: {:?}", plan.broken);
    (place, plan)
}

/// A request as in `GET /path | name: value`. `| from ADDRESS` is who sends it, `| tls` that it comes by TLS,
/// and `| body TEXT` what it brings.
fn asked(text: &str) -> Request {
    let mut parts = text.split(" | ");
    let (method, target) = parts.next().and_then(|line| line.split_once(' ')).unwrap();
    let mut asked = http::Request::builder().method(method).uri(target).header("host", "a.example");
    let (mut address, mut speaks_tls, mut body) = (None, false, Body::empty());
    for part in parts {
        match part.split_once(' ') {
            Some(("from", from)) => address = Some(SocketAddr::new(from.parse().unwrap(), 1)),
            Some(("body", text)) => body = Body::from(text.to_owned()),
            Some((name, value)) => asked = asked.header(name.trim_end_matches(':'), value),
            None => speaks_tls = part == "tls",
        }
    }
    let peer = Peer::new(address, None);
    if speaks_tls {
        let (version, alpn) = (TlsVersion::Tls13, Alpn::Http1);
        let facts =
            TlsFacts { version, cipher: "", server_name: None, alpn, resumed: false, client: None, client_ca: None };
        peer.secured(facts);
    }
    asked.body(body.with_context(Context { peer: Some(peer.remote()), ..Context::default() })).unwrap()
}

/// What is said to it, where it fails as well.
async fn answer(plan: &Plan, request: &str) -> Response {
    plan.call(asked(request)).await.unwrap_or_else(|error| message::failure(&error))
}

/// Whether a reply is as in `200 | name: value`, with no other value of this field. `| no NAME` is that it has no such
/// field, `| says TEXT` and `| hides TEXT` what its content has in it, or not.
async fn fits(reply: Response, expected: &str) -> Result<(), String> {
    let (head, body) = reply.into_parts();
    let content = body.collect(1 << 16).await.unwrap();
    let content = String::from_utf8_lossy(&content).to_lowercase();
    let has = |text: &str| content.contains(&text.to_lowercase());
    let mut parts = expected.split(" | ");
    let mut fits = parts.next() == Some(head.status.as_str());
    for part in parts {
        let (name, value) = part.split_once(' ').unwrap();
        fits &= match name {
            "no" => !head.headers.contains_key(value),
            "says" => has(value),
            "hides" => !has(value),
            _ => head.headers.get_all(name.trim_end_matches(':')).iter().eq([value]),
        };
    }
    if fits { Ok(()) } else { Err(format!("{} {:?}\n{content}", head.status, head.headers)) }
}

/// These requests, one after the other, are answered like that.
#[track_caller]
fn check(route: &str, steps: &[(&str, &str)]) -> impl Future<Output = ()> {
    check_with("", route, steps)
}

/// The same with these lines before the site.
#[track_caller]
fn check_with(before: &str, route: &str, steps: &[(&str, &str)]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let (_place, plan) = planned(before, route);
        for (request, expected) in steps {
            let reply = answer(&plan, request).await;
            if let Err(found) = fits(reply, expected).await {
                panic!("{route}\n{request}\nis not {expected}\nbut {found}\nat {caller}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_come() {
    let steps = |inside, outside| {
        [("GET / | from 10.1.2.3", inside), ("GET / | from 192.0.2.1", outside), ("GET / | from 2001:db8::1", inside)]
    };
    let networks = r#""10.0.0.0/8" "2001:db8::/32""#;
    check(&format!("route {{ allow {networks}; respond \"in\" }}"), &steps("200 | says in", "403 | hides in")).await;
    check(&format!("route {{ deny {networks}; respond \"in\" }}"), &steps("403 | hides in", "200 | says in")).await;
    check(
        r#"route { basic-auth users="users" realm="Staff"; respond "in" }"#,
        &[
            ("GET /", "401 | www-authenticate: Basic realm=\"Staff\", charset=\"UTF-8\" | hides in"),
            ("GET / | authorization: Basic YW5uYTpzZWNyZXQ=", "200 | says in"),
            ("GET / | authorization: Basic YW5uYTpzZWNyZXU=", "401"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_comes_in() {
    check(
        r#"route { body-limit "4B"; respond "in" }"#,
        &[("POST / | body four", "200 | says in"), ("POST / | body five5", "413 | hides in")],
    )
    .await;
    check(
        "route { headers { request { set X-Site=shop; add X-More=b; remove X-Debug } }; proxy ECHO }",
        &[(
            "GET / | x-site: mine | x-more: a | x-debug: 1",
            "200 | says x-site: shop | hides mine | says x-more: a | says x-more: b | hides x-debug",
        )],
    )
    .await;
    check(
        r#"route { rewrite "/index.php?p={path}"; proxy ECHO }"#,
        &[("GET /a/b", "200 | says get /index.php?p=/a/b http")],
    )
    .await;
    check(
        r#"route { rewrite strip="/shop"; proxy ECHO }"#,
        &[("GET /shop/a?b", "200 | says get /a?b http"), ("GET /other", "200 | says get /other http")],
    )
    .await;
    check(r#"route { rewrite add="/v1"; proxy ECHO }"#, &[("GET /a", "200 | says get /v1/a http")]).await;
    check(
        r#"route { request-id header="X-Call" keep=#true; proxy ECHO }"#,
        &[("GET / | x-call: mine", "200 | x-call: mine | no x-request-id | says x-call: mine")],
    )
    .await;
    check(
        "route { request-id; headers { remove X-Nothing }; proxy ECHO }",
        &[("GET / | x-request-id: mine", "200 | says x-request-id: | hides mine")],
    )
    .await;
}

#[tokio::test]
async fn what_goes_out() {
    check(
        "route { headers { set X-Site=shop; add X-More=b; remove Content-Type }; respond \"here\" }",
        &[("GET /", "200 | x-site: shop | x-more: b | no content-type | says here")],
    )
    .await;
    check(
        r#"route { error-page 404 "5xx" file="sorry.html"; respond 502 }"#,
        &[("GET /", "502 | content-type: text/html; charset=utf-8 | says sorry")],
    )
    .await;
    check(r#"route { error-page 404 "5xx" file="sorry.html"; respond 410 }"#, &[("GET /", "410 | hides sorry")]).await;
    check(
        r#"route { redirect 301 "/new{uri}" from="/old/*"; respond "here" }"#,
        &[("GET /old/a?b", "301 | location: /new/old/a?b"), ("GET /a", "200 | no location | says here")],
    )
    .await;
    let hsts = |words: &str| format!("route {{ hsts {words}; respond \"here\" }}");
    let none = ("GET /", "200 | no strict-transport-security");
    let preloaded = "200 | strict-transport-security: max-age=63072000; includeSubDomains; preload";
    check(&hsts("subdomains=#true preload=#true"), &[("GET / | tls", preloaded), none]).await;
    let short = "200 | strict-transport-security: max-age=86400";
    check(&hsts("max-age=\"1d\""), &[("GET / | tls", short), none]).await;
}

#[tokio::test]
async fn what_browsers_may_do() {
    let cors = r#"route {
        cors "https://app.example" credentials=#true max-age="1h" {
            methods PUT DELETE; headers X-Mine; expose X-Total
        }
        respond "here"
    }"#;
    check(
        cors,
        &[
            (
                "GET / | origin: https://app.example",
                "200 | access-control-allow-origin: https://app.example | access-control-allow-credentials: true \
                 | access-control-expose-headers: x-total",
            ),
            (
                "OPTIONS / | origin: https://app.example | access-control-request-method: PUT",
                "204 | access-control-allow-methods: PUT, DELETE | access-control-allow-headers: x-mine \
                 | access-control-max-age: 3600 | no access-control-expose-headers",
            ),
            ("GET / | origin: https://b.example", "200 | no access-control-allow-origin"),
        ],
    )
    .await;
    check(
        r#"route { cors "*"; respond "here" }"#,
        &[(
            "GET / | origin: https://b.example",
            "200 | access-control-allow-origin: * | no access-control-allow-credentials",
        )],
    )
    .await;
}

#[tokio::test]
async fn what_is_compressed() {
    let all = "accept-encoding: gzip, br, zstd";
    let coding_of = async |words: &str, path: &str, expected: &str| {
        let (request, route) = (format!("GET {path} | {all}"), format!("route {{ {words}; files \"public\" }}"));
        check(&route, &[(&request, expected)]).await;
    };
    coding_of("compress", "/long.txt", "200 | content-encoding: zstd").await;
    coding_of("compress br gzip", "/long.txt", "200 | content-encoding: br").await;
    coding_of("compress gzip", "/long.css", "200 | content-encoding: gzip").await;
    coding_of("compress gzip { types \"text/css\" }", "/long.css", "200 | content-encoding: gzip").await;
    coding_of("compress gzip { types \"text/css\" }", "/long.txt", "200 | no content-encoding").await;
    coding_of("compress min=\"2500B\"", "/long.txt", "200 | content-encoding: zstd").await;
    coding_of("compress min=\"2501B\"", "/long.txt", "200 | no content-encoding").await;
}

#[tokio::test]
async fn how_often_somebody_may_come() {
    let limited = async |path: &str, words: &str, one: &str, other: &str| {
        let route = format!("route {path} {{ rate-limit \"1/h\" {words}; respond \"here\" }}");
        let refused = "429 | hides here";
        check(&route, &[(one, "200"), (one, refused), (other, "200"), (other, refused)]).await;
    };
    limited("", "", "GET / | from 192.0.2.1", "GET / | from 192.0.2.2").await;
    limited("", "by=client", "GET / | from 192.0.2.1", "GET / | from 192.0.2.2").await;
    limited("", "by=header:X-Key", "GET / | x-key: a", "GET / | x-key: b").await;
    limited("", "by=cookie:session keys=100", "GET / | cookie: session=a", "GET / | cookie: session=b").await;
    limited("\"/users/{user}/*\"", "by=param:user", "GET /users/a/x", "GET /users/b/x").await;
    check(
        r#"route { rate-limit "1/h" burst=3; respond "here" }"#,
        &[("GET /", "200"), ("GET /", "200"), ("GET /", "200"), ("GET /", "429 | retry-after: 3600")],
    )
    .await;
}

#[tokio::test]
async fn how_many_are_under_way_at_once() {
    let ask = |plan: &Arc<Plan>| {
        let plan = plan.clone();
        async move { answer(&plan, "GET /").await }.boxed()
    };
    let at_once = |reply: Option<Response>| reply.map(|reply| reply.status().as_u16());

    let (_place, plan) = planned("", "route { in-flight 2; respond \"here\" }");
    let plan = Arc::new(plan);
    let under_way = [ask(&plan).await, ask(&plan).await];
    assert_eq!(at_once(ask(&plan).now_or_never()), Some(503));
    drop(under_way);
    assert_eq!(at_once(ask(&plan).now_or_never()), Some(200));

    let (_place, plan) = planned("", "route { in-flight 1 queue=1 wait=\"1h\"; respond \"here\" }");
    let plan = Arc::new(plan);
    let under_way = ask(&plan).await;
    let mut waits = ask(&plan);
    assert_eq!(at_once((&mut waits).now_or_never()), None);
    assert_eq!(at_once(ask(&plan).now_or_never()), Some(503), "no more than one waits");
    drop(under_way);
    assert_eq!(waits.await.status(), 200);

    let (_place, plan) = planned("", "route { in-flight 1 queue=1 wait=\"20ms\"; respond \"here\" }");
    let plan = Arc::new(plan);
    let _under_way = ask(&plan).await;
    let waited = tokio::time::timeout(Duration::from_secs(60), ask(&plan)).await.unwrap();
    assert_eq!(waited.status(), 503);
}

#[tokio::test]
async fn filters_of_a_stack_are_those_of_each_route_that_uses_it() {
    check_with(
        r#"stack "inner" { headers { set X-Inner=yes } }
           stack "outer" { allow "10.0.0.0/8"; use "inner" }"#,
        r#"route "/open" { respond "open" }
           route { use "outer"; respond "in" }"#,
        &[
            ("GET / | from 10.0.0.1", "200 | x-inner: yes | says in"),
            ("GET / | from 192.0.2.1", "403 | no x-inner | hides in"),
            ("GET /open | from 192.0.2.1", "200 | no x-inner | says open"),
        ],
    )
    .await;
}
