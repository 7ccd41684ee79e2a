use unary_http::Body;
use unary_service::{Compose, service_fn};

use super::*;

/// The fields of this that a reply has, as `name: value` without the part all names begin with.
async fn told(cors: Cors, method: Method, fields: &[(&str, &str)]) -> (u16, Vec<String>) {
    let app = cors.and_then(service_fn(async |_: Request| {
        let mut reply = message::text("here");
        reply.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://app.says"));
        Ok(reply)
    }));
    let mut request = http::Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
    for (name, value) in fields {
        request.headers_mut().append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let reply = app.call(request).await.unwrap();
    let mut told: Vec<_> = reply
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("access-control-").or((name == "vary").then_some("vary"))?;
            Some(format!("{name}: {}", value.to_str().unwrap()))
        })
        .collect();
    told.sort();
    (reply.status().as_u16(), told)
}

async fn check(cors: Cors, fields: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(told(cors, Method::GET, fields).await, (200, expected.iter().map(ToString::to_string).collect()));
}

async fn check_preflight(cors: Cors, fields: &[(&str, &str)], expected: &[&str]) {
    assert_eq!(told(cors, Method::OPTIONS, fields).await, (204, expected.iter().map(ToString::to_string).collect()));
}

fn listed() -> Cors {
    Cors::of(["https://a.test", "http://b.test:8080"]).unwrap()
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_see_the_reply() {
    check(listed(), &[("origin", "https://a.test")], &["allow-origin: https://a.test", "vary: origin"]).await;
    check(listed(), &[("origin", "http://b.test:8080")], &["allow-origin: http://b.test:8080", "vary: origin"]).await;
    let expected = ["allow-credentials: true", "allow-origin: https://a.test", "vary: origin"];
    check(listed().with_credentials().unwrap(), &[("origin", "https://a.test")], &expected).await;
    let expected = ["allow-origin: https://a.test", "expose-headers: etag, x-b", "vary: origin"];
    check(listed().exposed(["ETag", "x-b"]).unwrap(), &[("origin", "https://a.test")], &expected).await;
}

#[tokio::test]
async fn others_may_not_whatever_the_service_says() {
    let cors = || listed().with_credentials().unwrap().exposed(["etag"]).unwrap();
    for other in ["https://a.test.evil", "https://a.tes", "http://a.test", "https://a.test:1", "null", "*", ""] {
        check(cors(), &[("origin", other)], &["vary: origin"]).await;
    }
    check(cors(), &[], &["vary: origin"]).await;
}

#[tokio::test]
async fn where_any_origin_may_the_reply_is_the_same_for_all() {
    check(Cors::of_any(), &[("origin", "https://x.test")], &["allow-origin: *"]).await;
    check(Cors::of_any(), &[], &["allow-origin: *"]).await;
}

#[tokio::test]
async fn a_question_beforehand_is_answered_here() {
    let cors = || listed().methods([Method::GET, Method::PUT]).headers(["X-Token", "content-type"]).unwrap();
    let asked = [("origin", "https://a.test"), ("access-control-request-method", "PUT")];
    let expected = [
        "allow-headers: x-token, content-type",
        "allow-methods: GET, PUT",
        "allow-origin: https://a.test",
        "max-age: 600",
        "vary: origin",
    ];
    check_preflight(cors().max_age(Duration::from_secs(600)), &asked, &expected).await;
    let other = [("origin", "https://x.test"), ("access-control-request-method", "PUT")];
    check_preflight(cors(), &other, &["vary: origin"]).await;
    let any = ["allow-methods: GET, HEAD, POST", "allow-origin: *"];
    check_preflight(Cors::of_any(), &other, &any).await;
}

#[tokio::test]
async fn another_options_goes_on_to_the_service() {
    assert_eq!(told(listed(), Method::OPTIONS, &[("origin", "https://a.test")]).await.0, 200);
    assert_eq!(told(listed(), Method::OPTIONS, &[("access-control-request-method", "PUT")]).await.0, 200);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    assert!(Cors::of_any().with_credentials().is_err());
    for text in [
        "*",
        "a.test",
        "https://",
        "https://a.test/",
        "https://A.test",
        "https://*.a.test",
        "null",
        "https://a.test:443",
    ] {
        assert!(Cors::of([text]).is_err(), "{text}");
    }
    for name in ["*", "a b", ""] {
        assert!(listed().headers([name]).is_err(), "{name}");
    }
}
