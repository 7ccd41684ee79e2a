//! Which version a connection speaks is found out however it is cut.

use tokio::io::DuplexStream;
use unary_net::{Connection, Peer, Protocol};
use unary_service::Error;
use unary_service::flow::Consumer;
use unary_testkit::{cuts, far_end, settle};

use super::*;
use crate::h1::connection;
use crate::h1::head::HeadLimits;
use crate::message::text;

/// Answers at once, with the version it was asked in.
struct Versions;

impl Consumer<Exchange<Request, Response>> for Versions {
    async fn accept(&self, exchange: Exchange<Request, Response>) -> Result<(), Error> {
        let version = format!("{:?}", exchange.request.version());
        exchange.slot.fill(Ok(text(version)));
        Ok(())
    }
}

/// The preface, then empty SETTINGS, then `GET /` on stream 1, all fields from the static table but the
/// authority, `a`.
const OPENS_H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
    \0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a";

/// What comes first of an answer to `pieces`.
async fn answer_to<P>(pieces: &[&[u8]], http: P) -> Vec<u8>
where
    P: Protocol<Connection<DuplexStream>, Request = Request, Reply = Response> + 'static,
{
    let (near, mut far) = far_end(1 << 16);
    let serving =
        tokio::spawn(async move { http.serve(Connection::new(near, Peer::new(None, None)), &Versions).await });
    for piece in pieces {
        far.send(piece).await;
        settle().await;
    }
    far.half_close().await;
    let answer = far.receive_to_end().await;
    let _ = serving.await.unwrap();
    answer
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_preface_opens_http_2_however_it_is_cut() {
    for pieces in cuts(OPENS_H2) {
        let answer = answer_to(&pieces, http()).await;
        assert!(contains(&answer, "HTTP/2.0") && !contains(&answer, "HTTP/1.1"), "{}", answer.escape_ascii());
    }
    let bytes = OPENS_H2.chunks(1).collect::<Vec<_>>();
    assert!(contains(&answer_to(&bytes, http()).await, "HTTP/2.0"));
}

#[tokio::test(start_paused = true)]
async fn anything_else_is_http_1_1() {
    let answer = answer_to(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], http()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"HTTP/1.1"));
    let answer = answer_to(&[b"PRI /x HTTP/1.1\r\nHost: a\r\n\r\n"], http()).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
}

#[tokio::test(start_paused = true)]
async fn a_preface_after_a_request_is_refused() {
    let sent = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", OPENS_H2].concat();
    let answer = answer_to(&[&sent], http()).await;
    assert!(contains(&answer, "HTTP/1.1 505"), "{}", answer.escape_ascii());
}

/// A protocol that lets targets be so long, and so many requests of HTTP/2 be under way.
fn limited(target_bytes_max: usize, streams_max: u32) -> Http {
    let head = HeadLimits { target_bytes_max, ..HeadLimits::default() };
    let h1 = connection::Limits { head, ..connection::Limits::default() };
    Http::new(H1::limits(h1), H2::limits(h2::Limits { head, streams_max, ..h2::Limits::default() }))
}

#[tokio::test(start_paused = true)]
async fn a_connection_keeps_the_limits_it_began_with() {
    let live = LiveHttp::new(limited(4, 7));
    let counters = live.h2_counters();
    let ask = async |far: &mut unary_testkit::FarEnd| {
        far.send("GET /12345 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        String::from_utf8(far.receive_to_end().await).unwrap()
    };
    let begin = || {
        let (near, far) = far_end(1 << 16);
        let live = live.clone();
        tokio::spawn(async move { live.serve(Connection::new(near, Peer::new(None, None)), &Versions).await });
        far
    };
    let mut before = begin();
    settle().await;
    // SETTINGS_MAX_CONCURRENT_STREAMS
    assert!(contains(&answer_to(&[OPENS_H2], live.clone()).await, "\0\x03\0\0\0\x07"));
    live.set(limited(40, 8));
    assert!(ask(&mut before).await.starts_with("HTTP/1.1 414 "));
    assert!(ask(&mut begin()).await.starts_with("HTTP/1.1 200 "));
    assert!(contains(&answer_to(&[OPENS_H2], live.clone()).await, "\0\x03\0\0\0\x08"));
    assert_eq!(counters.read().connections, 2, "it is counted where it was");
}

/// What a connection at rest may take, the stream itself aside: as much as one of HTTP/1.1 alone.
const RESTING_BYTES_MAX: usize = 1024;

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_costs_no_more_than_of_http_1_1_alone() {
    let (near, mut far) = far_end(64);
    let http = http();
    let serving = http.serve(Connection::new(near, Peer::new(None, None)), &Versions);
    let bytes = size_of_val(&serving);
    let live = LiveHttp::new(Http::default());
    let live_bytes = {
        let (near, _far) = tokio::io::duplex(64);
        size_of_val(&live.serve(Connection::new(near, Peer::new(None, None)), &Versions))
    };
    let h1 = H1::default();
    let alone = {
        let (near, _far) = tokio::io::duplex(64);
        size_of_val(&h1.serve(Connection::new(near, Peer::new(None, None)), &Versions))
    };
    println!("{bytes} bytes, {live_bytes} with limits that change, {alone} alone");
    assert!(bytes <= RESTING_BYTES_MAX && bytes.max(live_bytes) <= alone + 64, "{bytes}, {live_bytes}, {alone}");
    drop(serving);
    assert!(far.receive_to_end().await.is_empty());
}
