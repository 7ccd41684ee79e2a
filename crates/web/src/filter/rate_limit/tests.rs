use std::sync::Arc;

use tokio::time::advance;
use unary_http::Body;
use unary_net::Peer;
use unary_service::{Compose, Context, service_fn};

use super::*;
use crate::router::Router;

async fn ok(_: Request) -> Result<Response, Error> {
    Ok(message::text("here"))
}

fn from(client: Option<&str>, path: &str, fields: &[(&str, &str)]) -> Request {
    let peer = Peer::new(client.map(|address| std::net::SocketAddr::new(address.parse().unwrap(), 9)), None);
    let context = Context { peer: Some(peer.remote()), ..Context::default() };
    let mut request = http::Request::get(path).body(Body::empty().with_context(context)).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    request
}

/// Whether a second request is counted with the first, where one is admitted.
async fn check(by: By, first: Request, second: Request, together: bool) {
    let limit = RateLimit::new("1/h".parse().unwrap(), by);
    let app = Router::new().any("/{user}", limit.clone().and_then(service_fn(ok)));
    let app = app.any("/plain/*", limit.and_then(service_fn(ok)));
    assert_eq!(app.call(first).await.unwrap().status(), StatusCode::OK);
    let expected = if together { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::OK };
    assert_eq!(app.call(second).await.unwrap().status(), expected);
}

const HERE: Option<&str> = Some("192.0.2.1");
const THERE: Option<&str> = Some("192.0.2.2");

#[tokio::test(start_paused = true)]
async fn clients_are_told_apart_by_address() {
    check(By::Client, from(HERE, "/plain/", &[]), from(HERE, "/plain/", &[]), true).await;
    check(By::Client, from(HERE, "/plain/", &[]), from(THERE, "/plain/", &[]), false).await;
    check(By::Client, from(HERE, "/plain/", &[]), from(Some("::ffff:192.0.2.1"), "/plain/", &[]), true).await;
    check(By::Client, from(Some("2001:db8::1"), "/plain/", &[]), from(Some("2001:db8::2"), "/plain/", &[]), true).await;
    check(By::Client, from(None, "/plain/", &[]), from(None, "/plain/", &[]), true).await;
    check(By::Client, from(None, "/plain/", &[]), from(Some("::"), "/plain/", &[]), false).await;
}

#[tokio::test(start_paused = true)]
async fn fields_are_told_apart_by_value() {
    let by = || By::Header(HeaderName::from_static("x-key"));
    let with = |client, key| from(client, "/plain/", &[("x-key", key)]);
    check(by(), with(HERE, "a"), with(THERE, "a"), true).await;
    check(by(), with(HERE, "a"), with(HERE, "b"), false).await;
    check(by(), with(HERE, "a"), from(HERE, "/plain/", &[]), false).await;
    check(by(), from(HERE, "/plain/", &[]), from(HERE, "/plain/", &[]), true).await;
}

#[tokio::test(start_paused = true)]
async fn cookies_are_told_apart_by_value() {
    let by = || By::Cookie("id".into());
    let with = |client, cookie| from(client, "/plain/", &[("cookie", cookie)]);
    check(by(), with(HERE, "id=a"), with(THERE, "x=1; id=a"), true).await;
    check(by(), with(HERE, "id=a"), with(HERE, "id=b"), false).await;
    check(by(), with(HERE, "id=a"), with(HERE, "idx=a; x=id=a"), false).await;
}

#[tokio::test(start_paused = true)]
async fn parameters_are_told_apart_by_value() {
    let by = || By::Parameter("user".into());
    check(by(), from(HERE, "/anna", &[]), from(THERE, "/anna", &[]), true).await;
    check(by(), from(HERE, "/anna", &[]), from(THERE, "/%61nna", &[]), true).await;
    check(by(), from(HERE, "/anna", &[]), from(HERE, "/bert", &[]), false).await;
}

fn told<'a>(reply: &'a Response, name: &str) -> Option<&'a str> {
    reply.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn replies_say_what_is_left_and_when_there_is_more() {
    let rate: Rate = "6/m".parse().unwrap();
    let limit = RateLimit::new(rate.burst(2.try_into().unwrap()), By::Client);
    let app = limit.and_then(service_fn(ok));
    let mut left = Vec::new();
    for _ in 0..3 {
        let reply = app.call(from(HERE, "/", &[])).await.unwrap();
        assert_eq!(told(&reply, "ratelimit-policy"), Some("\"default\";q=2;w=20"));
        let retry = told(&reply, "retry-after").map(ToOwned::to_owned);
        left.push((reply.status().as_u16(), told(&reply, "ratelimit").unwrap().to_owned(), retry));
        advance(Duration::from_millis(500)).await;
    }
    assert_eq!(left[0], (200, "\"default\";r=1;t=10".into(), None));
    assert_eq!(left[1], (200, "\"default\";r=0;t=10".into(), None));
    assert_eq!(left[2], (429, "\"default\";r=0;t=9".into(), Some("9".into())));
    advance(Duration::from_millis(8500)).await;
    assert_eq!(app.call(from(HERE, "/", &[])).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn several_limits_are_told_apart_by_name() {
    let outer = RateLimit::new("9/s".parse().unwrap(), By::Client).named("outer").unwrap();
    let inner = RateLimit::new("5/s".parse().unwrap(), By::Client);
    let reply = outer.and_then(inner.and_then(service_fn(ok))).call(from(HERE, "/", &[])).await.unwrap();
    let told: Vec<_> = reply.headers().get_all("ratelimit").iter().collect();
    assert_eq!(told, ["\"default\";r=4;t=1", "\"outer\";r=8;t=1"]);
    assert!(RateLimit::new("9/s".parse().unwrap(), By::Client).named("a\"b").is_err());
}

#[tokio::test(start_paused = true)]
async fn the_fields_can_be_kept_to_refusals() {
    let limit = RateLimit::new("1/s".parse().unwrap(), By::Client).fields(Fields::Refused);
    let app = limit.and_then(service_fn(ok));
    assert_eq!(told(&app.call(from(HERE, "/", &[])).await.unwrap(), "ratelimit"), None);
    assert!(told(&app.call(from(HERE, "/", &[])).await.unwrap(), "ratelimit").is_some());
}

#[tokio::test(start_paused = true)]
async fn two_limits_may_keep_one_count() {
    let store = Arc::new(Table::new(4096));
    let limit = || RateLimit::new("1/h".parse().unwrap(), By::Client).kept_in(store.clone());
    let (one, other) = (limit().and_then(service_fn(ok)), limit().and_then(service_fn(ok)));
    assert_eq!(one.call(from(HERE, "/", &[])).await.unwrap().status(), StatusCode::OK);
    assert_eq!(other.call(from(HERE, "/", &[])).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
}
