use std::time::Duration;

use unary_http::Body;
use unary_service::{Compose, service_fn};

use super::*;

const SITE: &str = "a.test";

/// Asks for this path through the filter, does `then` with the outcome, and reads the figures.
async fn counted<Done: Future<Output = ()>>(
    method: Method,
    path: &str,
    then: impl FnOnce(Result<Response, Error>, Arc<Figures>) -> Done,
) -> Reading {
    let figures = Registry::new(1).figures(SITE, "/*");
    let app =
        Metrics::among(figures.clone()).and_then(service_fn(async |request: Request| match request.uri().path() {
            "/fails" => Err(Error::overloaded("testing")),
            "/never" => std::future::pending().await,
            "/slow" => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Ok(message::text("12345"))
            }
            "/large" => Ok(message::text(vec![b'x'; 1 << 20])),
            "/stream" => Ok(Response::new(Body::stream(Body::from("1234567")))),
            _ => Ok(message::text("12345")),
        }));
    let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
    let calling = tokio::time::timeout(Duration::from_secs(1), app.call(request));
    if let Ok(outcome) = calling.await {
        then(outcome, figures.clone()).await;
    }
    figures.read()
}

/// One call of this method, status, bytes and bucket; and none under way.
#[track_caller]
fn check(reading: &Reading, method: MethodClass, status: StatusClass, sent_bytes: u64, bound_ms: u64) {
    let mut expected = Reading { site: SITE.into(), route: "/*".into(), sent_bytes, ..Reading::default() };
    expected.calls[method as usize][status as usize] = 1;
    expected.buckets[BOUNDS.iter().position(|bound| *bound == bound_ms * 1_000_000).unwrap()] = 1;
    expected.limited = reading.limited;
    expected.duration_ns = reading.duration_ns;
    assert_eq!(*reading, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_at_once_is_counted_at_once() {
    let reading = counted(Method::GET, "/", async |_reply, figures| assert_eq!(figures.read().calls(), 1)).await;
    check(&reading, MethodClass::Get, StatusClass::Success, 5, 1);
    assert_eq!(reading.limited, [0; 4]);
}

#[tokio::test(start_paused = true)]
async fn the_reply_to_a_head_has_no_bytes() {
    let reading = counted(Method::HEAD, "/", async |_, _| {}).await;
    check(&reading, MethodClass::Head, StatusClass::Success, 0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_counted_as_the_peer_sees_it() {
    let reading = counted(Method::from_bytes(b"BREW").unwrap(), "/fails", async |_, _| {}).await;
    check(&reading, MethodClass::Other, StatusClass::ServerError, "503 Service Unavailable\n".len() as u64, 1);
    assert_eq!(reading.limited[Limit::Load as usize], 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_timed() {
    let reading = counted(Method::POST, "/slow", async |_, _| {}).await;
    check(&reading, MethodClass::Post, StatusClass::Success, 5, 50);
    assert!((30_000_000..32_000_000).contains(&reading.duration_ns), "{}", reading.duration_ns);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_body_has_been_sent() {
    for (path, length) in [("/large", 1 << 20), ("/stream", 7)] {
        let reading = counted(Method::GET, path, async |reply, figures| {
            let mut body = reply.unwrap().into_body();
            assert_eq!((figures.read().in_flight, figures.read().calls()), (1, 0), "{path}");
            tokio::time::sleep(Duration::from_millis(70)).await;
            while body.next_bytes().await.unwrap().is_some() {}
        });
        check(&reading.await, MethodClass::Get, StatusClass::Success, length, 100);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_does_not_count() {
    for path in ["/stream", "/large"] {
        let reading = counted(Method::GET, path, async |reply, _| drop(reply)).await;
        check(&reading, MethodClass::Get, StatusClass::Success, 0, 1);
    }
}

/// What comes of a request with this body, of which so many pieces are read.
async fn check_received(body: Body, pieces: usize, expected: u64) {
    let figures = Registry::new(1).figures(SITE, "/*");
    let app = Metrics::among(figures.clone()).and_then(service_fn(async |request: Request| {
        let mut body = request.into_body();
        for _ in 0..pieces {
            body.next_bytes().await?;
        }
        Ok(message::text("12345"))
    }));
    let length = body.length();
    drop(app.call(http::Request::post("/").body(body).unwrap()).await);
    let reading = figures.read();
    assert_eq!((reading.received_bytes, reading.sent_bytes), (expected, 5), "{length:?}, {pieces} pieces");
}

#[tokio::test]
async fn of_a_requests_body_counts_what_is_read() {
    check_received(Body::empty(), 1, 0).await;
    check_received(Body::from("1234567"), 1, 7).await;
    check_received(Body::from("1234567"), 0, 0).await;
    check_received(Body::stream(Body::from("1234567")), 2, 7).await;
    check_received(Body::stream(Body::from("1234567")), 0, 0).await;
}

#[tokio::test]
async fn what_is_read_of_a_body_after_its_call_counts_as_well() {
    let figures = Registry::new(1).figures(SITE, "/*");
    let late = std::sync::Mutex::new(None);
    let app = Metrics::among(figures.clone()).and_then(service_fn(async |request: Request| {
        *late.lock().unwrap() = Some(request.into_body());
        Ok(message::text("12345"))
    }));
    drop(app.call(http::Request::post("/").body(Body::from("1234567")).unwrap()).await);
    assert_eq!((figures.read().calls(), figures.read().received_bytes), (1, 0));
    let body = late.lock().unwrap().take().unwrap();
    assert_eq!(body.collect(99).await.unwrap(), "1234567");
    assert_eq!(figures.read().received_bytes, 7);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_went_away_has_no_status() {
    let reading = counted(Method::GET, "/never", async |_, _| unreachable!("it never answers")).await;
    check(&reading, MethodClass::Get, StatusClass::None, 0, 1000);
}

#[test]
fn no_thread_takes_from_anothers_counts() {
    const EACH: u64 = 20_000;
    // More threads than have counters of their own.
    let figures = Registry::new(2).figures(SITE, "");
    let ended = Ended { method: MethodClass::Get, status: StatusClass::Success, limit: None, sent_bytes: 2 };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| (0..EACH).for_each(|_| figures.count(ended, Took::default())));
        }
    });
    let reading = figures.read();
    assert_eq!((reading.calls(), reading.sent_bytes), (6 * EACH, 12 * EACH));
}

#[test]
fn figures_are_found_again_until_nobody_has_them() {
    let registry = Registry::new(1);
    let figures = registry.figures("b.test", "/x");
    let again = registry.figures("b.test", "/x");
    assert!(Arc::ptr_eq(&figures, &again));
    let other = registry.figures(SITE, "/x");
    let names = || registry.read().into_iter().map(|reading| reading.site.to_string()).collect::<Vec<_>>();
    assert_eq!(names(), [SITE, "b.test"]);
    drop((figures, again));
    assert_eq!(names(), [SITE]);
    drop(other);
}
