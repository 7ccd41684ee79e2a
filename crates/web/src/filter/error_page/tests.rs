//! Failures, of applications and of our own, with pages in place of them.

use http::HeaderValue;
use unary_http::Body;
use unary_service::{Compose, Kind, service_fn};
use unary_testkit::TempDir;

use super::*;

fn page(text: &'static str) -> Page {
    Page::content("text/html", text).unwrap()
}

fn pages() -> ErrorPage {
    ErrorPage::new().on("404".parse().unwrap(), page("missing")).on("5xx".parse().unwrap(), page("broken"))
}

/// A site on which many things go wrong.
async fn site(request: Request) -> Result<Response, Error> {
    match request.uri().path() {
        "/missing" => Ok(with(message::status(StatusCode::NOT_FOUND), "x-kept", "yes")),
        "/empty" => Ok(with_status(Body::empty(), 404)),
        "/own" => {
            let own = with(with_status("their own words".into(), 404), "content-type", "text/html");
            Ok(with(with(own, "etag", "\"own\""), "content-language", "en"))
        }
        "/forbidden" => Ok(message::status(StatusCode::FORBIDDEN)),
        "/fails" => Err(Error::overloaded("testing")),
        "/invalid" => Err(Error::invalid("testing")),
        "/page" => {
            assert_eq!((request.method(), request.headers()["host"].to_str().unwrap()), (&Method::GET, "example.com"));
            assert_eq!((request.context().unwrap().attempt, Scheme::of(&request)), (7, Scheme::Https));
            Ok(with(message::html("a page"), "vary", "accept-language"))
        }
        "/long" => Ok(message::html("x".repeat(PAGE_BYTES_MAX + 1))),
        "/slow" => std::future::pending().await,
        _ => Ok(message::text("fine")),
    }
}

fn with_status(body: Body, status: u16) -> Response {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply
}

fn with(mut reply: Response, name: &'static str, value: &'static str) -> Response {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}

async fn got(pages: ErrorPage, path: &str) -> Result<Response, Kind> {
    let context = Context { attempt: 7, ..Context::default() };
    let request = http::Request::post(path).header("host", "example.com").header("if-none-match", "*");
    let request = request.extension(Scheme::Https).body(Body::empty().with_context(context)).unwrap();
    pages.and_then(service_fn(site)).call(request).await.map_err(|error| error.kind())
}

async fn check(pages: ErrorPage, path: &str, status: u16, content: &str) -> HeaderMap {
    let (head, body) = got(pages, path).await.unwrap().into_parts();
    assert_eq!(head.status, status, "{path}");
    assert_eq!(body.collect(1 << 20).await.unwrap(), content, "{path}");
    head.headers
}

#[tokio::test]
async fn bare_failures_get_a_page_and_keep_their_status() {
    let headers = check(pages(), "/missing", 404, "missing").await;
    assert_eq!((headers["content-type"].to_str().unwrap(), headers["x-kept"].to_str().unwrap()), ("text/html", "yes"));
    check(pages(), "/empty", 404, "missing").await;
}

#[tokio::test]
async fn what_has_no_page_stays() {
    check(pages(), "/", 200, "fine").await;
    check(pages(), "/forbidden", 403, "403 Forbidden\n").await;
    assert_eq!(got(pages(), "/invalid").await.err(), Some(Kind::Invalid));
}

#[tokio::test]
async fn a_failed_call_gets_a_page() {
    let headers = check(pages(), "/fails", 503, "broken").await;
    assert_eq!(headers["retry-after"], "1");
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_applications_page_stays_unless_told_otherwise() {
    let headers = check(pages(), "/own", 404, "their own words").await;
    assert_eq!(headers["etag"], "\"own\"");
    let headers = check(pages().replace_all(), "/own", 404, "missing").await;
    assert!(!headers.contains_key("etag") && !headers.contains_key("content-language"));
}

#[tokio::test]
async fn the_first_rule_counts() {
    let pages = pages().on("4xx".parse().unwrap(), page("another"));
    check(pages.clone(), "/missing", 404, "missing").await;
    check(pages, "/forbidden", 403, "another").await;
}

#[tokio::test]
async fn a_page_can_be_what_the_site_has() {
    let pages = ErrorPage::new().on("404".parse().unwrap(), Page::path("/page").unwrap());
    let headers = check(pages, "/missing", 404, "a page").await;
    assert_eq!(headers["vary"], "accept-language");
    let other = service_fn(async |request: Request| Ok(message::html(request.uri().to_string())));
    let pages = ErrorPage::new().on("404".parse().unwrap(), Page::of(other, "/x?y").unwrap());
    check(pages, "/missing", 404, "/x?y").await;
}

#[tokio::test]
async fn a_page_can_be_a_file() {
    let folder = TempDir::new();
    let path = folder.path().join("not found.html");
    std::fs::write(&path, "from a file").unwrap();
    let pages = ErrorPage::new().on("404".parse().unwrap(), Page::file(&path).unwrap());
    let headers = check(pages, "/missing", 404, "from a file").await;
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(!headers.contains_key("etag") && !headers.contains_key("last-modified"));
    assert!(Page::file(folder.path().join("none.html")).is_err());
    assert!(Page::file(folder.path()).is_err());
}

#[tokio::test(start_paused = true)]
async fn without_its_page_a_reply_stays_as_it_was() {
    for path in ["/missing", "/fails", "/long", "/slow", "/own"] {
        let pages = ErrorPage::new().on("404".parse().unwrap(), Page::path(path).unwrap());
        check(pages, "/missing", 404, "404 Not Found\n").await;
    }
}

#[tokio::test]
async fn a_head_is_judged_by_what_get_would_say() {
    let ask = async |reply: Response| {
        let reply = std::sync::Mutex::new(Some(reply));
        let app = service_fn(move |_: Request| std::future::ready(Ok(reply.lock().unwrap().take().unwrap())));
        let request = http::Request::head("/").body(Body::empty()).unwrap();
        pages().and_then(app).call(request).await.unwrap().into_body().collect(99).await.unwrap()
    };
    assert_eq!(ask(message::status(StatusCode::NOT_FOUND)).await, "missing");
    let left_out =
        |length| with(with(with_status(Body::empty(), 404), "content-type", PLAIN), "content-length", length);
    assert_eq!(ask(left_out("14")).await, "missing");
    assert_eq!(ask(left_out("1400")).await, "");
    assert_eq!(ask(with(with_status(Body::empty(), 404), "content-type", "text/html")).await, "");
}

#[test]
fn the_length_of_a_named_status_is_that_of_its_name() {
    for status in (400..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
        assert_eq!(message::status(status).body().length(), Some(named_length(status)));
    }
}

#[test]
fn mistakes_are_told() {
    assert!(Page::path("errors/404.html").is_err());
    assert!(Page::path("/a b").is_err());
    assert!(Page::content("text/html", vec![0; PAGE_BYTES_MAX + 1]).is_err());
}
