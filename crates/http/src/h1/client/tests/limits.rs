//! What a server may not do, or not for so long.

use super::*;
use crate::h1::client::Limits;
use unary_testkit::far_end::PATIENCE;

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up() {
    let mut server = Server::of(get()).await;
    server.expect(GET).await;
    assert!((60..=61).contains(&server.expect_end().await.as_secs()));
    assert_eq!(server.outcome().await, "timed out while waiting for the reply of there:80");
}

#[tokio::test(start_paused = true)]
async fn a_head_byte_by_byte_gains_no_time() {
    let mut server = Server::of(get()).await;
    server.expect(GET).await;
    for byte in "HTTP/1.1 200 OK\r\nA: ".bytes() {
        server.send([byte]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(server.expect_end().await.as_secs() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_given_up() {
    let mut server = Server::of(get()).await;
    server.expect(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
    let late = "200 content-length: 9, \"hello\" and timed out while reading a reply's body of there:80";
    assert_eq!(server.outcome().await, late);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_is_given_up() {
    let server = Server::with(request(Method::POST, "0123456789".repeat(1000)), Settings::default(), 64).await;
    assert_eq!(server.outcome().await, "timed out while sending a request to there:80");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_the_servers_fault() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(request(Method::POST, body)).await;
    tokio::time::sleep(Duration::from_secs(3000)).await;
    drop(pieces);
    server.take(4096, PATIENCE / 60).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let outcome = tokio::spawn(server.outcome());
    assert_eq!(outcome.await.unwrap(), "timed out while waiting for the reply of there:80");
}

#[tokio::test(start_paused = true)]
async fn a_head_beyond_its_bounds_is_refused() {
    let limits = Limits {
        head: crate::h1::head::HeadLimits { head_bytes_max: 64, headers_max: 2, ..Default::default() },
        ..Default::default()
    };
    let refused = async |answer: &str, cause: &str| {
        let mut server = Server::with(get(), Settings { limits, ..Settings::default() }, 1024).await;
        server.send(answer).await;
        assert_eq!(server.outcome().await, format!("failed upstream while reading the reply of there:80: {cause}"));
    };
    refused(&format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(64)), "fields longer than 64 bytes at byte 64")
        .await;
    refused("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", "more than 2 fields at byte 29").await;
}
