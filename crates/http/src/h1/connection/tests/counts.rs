//! What is counted: a body's bytes that left, and requests that nobody hears of.

use std::sync::atomic::AtomicU64;

use super::*;
use crate::h1::counters::Counts;

/// How much the wire takes before the peer goes away.
const ROOM: usize = 1000;

/// A reply of so many bytes to a peer that goes away: all who count are told of those that left.
async fn check_broken_off(length: usize, body: Body) {
    let counters: [Arc<AtomicU64>; 2] = Default::default();
    let body = counters.iter().fold(body, |body, counter| body.counted(counter.clone()));
    let mut client = Server { room: ROOM, ..Server::default() }.start(first(Response::new(body)));
    client.send(get("/")).await;
    settle().await;
    drop(client);
    settle().await;
    let date = "x".repeat(DATE_BYTES);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\ndate: {date}\r\n\r\n");
    let left = ROOM - head.len();
    assert_eq!(counters.map(|counter| counter.load(Ordering::Relaxed)), [left as u64; 2], "of {length} bytes");
}

#[tokio::test(start_paused = true)]
async fn what_never_left_of_a_reply_does_not_count() {
    for length in [4000, 100_000] {
        let bytes = || Body::from("b".repeat(length));
        check_broken_off(length, bytes()).await;
        check_broken_off(length, Body::stream(bytes())).await;
    }
}

/// What is sent is refused, and counted like this.
async fn check_refused(sent: impl AsRef<[u8]>, expected: Counts) {
    let protocol = H1::default();
    let counters = protocol.counters().clone();
    let (near, mut far) = far_end(ROOM);
    let connection = Server::default().connection(near);
    tokio::spawn((line(Once(connection)) >> connect(protocol) >> process(site()) >> reply()).drive());
    far.send_some(sent.as_ref(), PATIENCE).await;
    sleep(Duration::from_secs(60)).await; // Longer than there is patience for anything.
    far.receive_to_end().await;
    assert_eq!(counters.read(), expected, "{}", sent.as_ref().escape_ascii());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_it_is_a_call_counts() {
    check_refused("nonsense\r\n\r\n", Counts { malformed: 1, ..Counts::default() }).await;
    check_refused(format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000)), Counts { too_large: 1, ..Counts::default() })
        .await;
    check_refused("GET / HTTP/3.0\r\n\r\n", Counts { unsupported: 1, ..Counts::default() }).await;
    check_refused("GET / HT", Counts { late: 1, ..Counts::default() }).await;
    let bad_body = "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
    check_refused(bad_body, Counts { malformed: 1, ..Counts::default() }).await;
    check_refused(get("/big"), Counts { stalls: 1, ..Counts::default() }).await;
}
