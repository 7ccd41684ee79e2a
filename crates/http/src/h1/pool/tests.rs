//! Which connection a call gets, and what becomes of it.

use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use unary_testkit::far_end::PATIENCE;
use unary_testkit::{FarEnd, settle};

use super::*;
use crate::Body;
use crate::h1::client::tests::{TestPool, pool};
use http::Method;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

fn request(method: Method, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = "http://a/x".parse().unwrap();
    request
}

fn begin(pool: &TestPool, request: Request) -> JoinHandle<Result<Response, Error>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.call(request).await })
}

fn get(pool: &TestPool) -> JoinHandle<Result<Response, Error>> {
    begin(pool, request(Method::GET, ()))
}

async fn answer(server: &mut FarEnd) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = server.take(1, Duration::from_secs(60)).await;
        assert_eq!(byte.len(), 1, "no request comes");
        head.extend_from_slice(&byte);
    }
    server.send(OK).await;
}

/// A pool with one connection, used once, and its server's end.
async fn used(settings: Settings) -> (TestPool, Receiver<FarEnd>, FarEnd) {
    let (pool, mut servers) = pool(settings);
    let call = get(&pool);
    let mut server = servers.recv().await.unwrap();
    answer(&mut server).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!((pool.connections(), pool.idle()), (1, 1));
    (pool, servers, server)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    let (pool, mut servers, mut server) = used(Settings::default()).await;
    for _ in 0..3 {
        let call = get(&pool);
        answer(&mut server).await;
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert!(servers.try_recv().is_err());
    assert_eq!((pool.connections(), pool.idle()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_one_that_rested_least_is_used_first() {
    let (pool, mut servers) = pool(Settings::default());
    let calls = [get(&pool), get(&pool)];
    let [mut first, mut second] = [servers.recv().await.unwrap(), servers.recv().await.unwrap()];
    answer(&mut second).await;
    settle().await;
    answer(&mut first).await;
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let call = get(&pool);
    answer(&mut first).await;
    call.await.unwrap().unwrap();
    second.expect_silence(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_at_rest_is_noticed() {
    let (pool, mut servers, server) = used(Settings::default()).await;
    drop(server);
    let call = begin(&pool, request(Method::POST, ()));
    answer(&mut servers.recv().await.unwrap()).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!(pool.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_speaks_at_rest_is_not_used() {
    let (pool, mut servers, mut server) = used(Settings::default()).await;
    server.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await;
    let call = get(&pool);
    answer(&mut servers.recv().await.unwrap()).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_for_its_time() {
    let (pool, _servers, mut server) = used(Settings::default()).await;
    server.expect_silence(Duration::from_millis(3_900)).await;
    assert!(server.expect_end().await <= Duration::from_secs(2));
    assert_eq!((pool.connections(), pool.idle()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_does_not_rest() {
    let (pool, _servers, server) = used(Settings::default()).await;
    drop(server);
    sleep(Duration::from_secs(2)).await;
    assert_eq!((pool.connections(), pool.idle()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn as_many_rest_as_may() {
    let (pool, mut servers) = pool(Settings { idle_max: 1, ..Settings::default() });
    let calls = [get(&pool), get(&pool)];
    for call in calls {
        answer(&mut servers.recv().await.unwrap()).await;
        call.await.unwrap().unwrap();
    }
    assert_eq!((pool.connections(), pool.idle()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn resting_connections_close_with_their_pool() {
    let (pool, _servers, mut server) = used(Settings::default()).await;
    drop(pool);
    assert!(server.expect_end().await.is_zero());
}

/// A used connection is closed on a request before any answer; the request is sent again, or not.
async fn check_lost(method: Method, body: impl Into<Body>, is_sent_again: bool) {
    let (pool, mut servers, mut server) = used(Settings::default()).await;
    let call = begin(&pool, request(method.clone(), body));
    server.receive(1, Duration::from_secs(1)).await;
    drop(server);
    if is_sent_again {
        answer(&mut servers.recv().await.unwrap()).await;
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    } else {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Upstream, "{method}: {error}");
        assert!(servers.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_if_that_does_no_harm() {
    check_lost(Method::GET, (), true).await;
    check_lost(Method::PUT, "hello", true).await;
    check_lost(Method::POST, (), false).await;
    check_lost(Method::POST, "hello", false).await;
    // A stream is gone once it was read.
    let (pieces, body) = crate::h1::client::tests::piecemeal();
    pieces.send(crate::h1::client::tests::data("hello")).await.unwrap();
    check_lost(Method::PUT, body, false).await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_that_is_lost_is_not_tried_again() {
    let (pool, mut servers, server) = used(Settings::default()).await;
    let call = get(&pool);
    settle().await;
    drop(server);
    drop(servers.recv().await.unwrap());
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Upstream);
    assert!(servers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_once_more_and_no_oftener() {
    let (pool, mut servers) = pool(Settings { connections_max: 2, ..Settings::default() });
    let calls = [get(&pool), get(&pool)];
    let [mut first, mut second] = [servers.recv().await.unwrap(), servers.recv().await.unwrap()];
    answer(&mut second).await;
    settle().await;
    answer(&mut first).await;
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let unlucky = get(&pool); // Takes the first, which rested least.
    settle().await;
    let other = get(&pool);
    settle().await;
    let waiting = get(&pool);
    settle().await;
    first.receive(1, PATIENCE).await;
    drop(first); // What makes room for who waits, so that the unlucky one waits, too, ...
    let mut third = servers.recv().await.unwrap();
    settle().await;
    answer(&mut second).await; // ... and is handed a connection that was used before,
    assert_eq!(other.await.unwrap().unwrap().status(), 200);
    settle().await;
    assert!(!second.receive(1, Duration::from_secs(1)).await.is_empty(), "it is sent again");
    drop(second); // which is lost again.
    assert_eq!(unlucky.await.unwrap().unwrap_err().kind(), Kind::Upstream);
    answer(&mut third).await;
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    assert!(servers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_answered_at_all_is_not_sent_again() {
    let (pool, mut servers, mut server) = used(Settings::default()).await;
    let call = get(&pool);
    settle().await;
    server.send("HTTP/1.1 1").await;
    settle().await;
    drop(server);
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Upstream);
    assert!(servers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_a_connection_in_order() {
    let (pool, mut servers) = pool(Settings { connections_max: 1, ..Settings::default() });
    let first = get(&pool);
    let mut server = servers.recv().await.unwrap();
    let second = get(&pool);
    settle().await;
    let third = get(&pool);
    settle().await;
    assert_eq!(pool.status(), Status::Busy);
    for call in [first, second, third] {
        answer(&mut server).await;
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    assert!(servers.try_recv().is_err());
    assert_eq!((pool.connections(), pool.idle()), (1, 1));
    assert_eq!(pool.status(), Status::Open);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_makes_room_for_who_waits() {
    let (pool, mut servers) = pool(Settings { connections_max: 1, ..Settings::default() });
    let first = get(&pool);
    let server = servers.recv().await.unwrap();
    let second = get(&pool);
    settle().await;
    drop(server);
    first.await.unwrap().unwrap_err();
    answer(&mut servers.recv().await.unwrap()).await;
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let (pool, mut servers) = pool(Settings { connections_max: 1, waiting_max: 1, ..Settings::default() });
    let _first = get(&pool);
    let _server = servers.recv().await.unwrap();
    let begun = Instant::now();
    let second = get(&pool);
    settle().await;
    let third = get(&pool).await.unwrap().unwrap_err();
    assert!(third.to_string().ends_with("all 1 are busy and 1 wait"), "{third}");
    let second = second.await.unwrap().unwrap_err();
    assert_eq!((second.kind(), begun.elapsed().as_secs()), (Kind::Overloaded, 5));
    // Who left makes room for the next one to wait.
    let fourth = get(&pool).await.unwrap().unwrap_err();
    assert!(fourth.to_string().ends_with("became free within 5s"), "{fourth}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_closes_its_connection() {
    let (pool, mut servers) = pool(Settings::default());
    let call = get(&pool);
    let mut server = servers.recv().await.unwrap();
    server.take(1, Duration::from_secs(1)).await;
    call.abort();
    server.receive_to_end().await;
    assert_eq!(pool.connections(), 0);
}
