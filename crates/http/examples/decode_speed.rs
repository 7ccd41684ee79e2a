//! Prints what it costs to decode the heads people send and to encode a short reply.
//!
//! `cargo run --release -p unary-http --example decode_speed`
//!
//! Heads come sixteen at a time, as from a pipelining client; the time includes copying their bytes
//! into the buffer and dropping what was decoded. The best of many rounds counts: the rest is noise of
//! the machine.

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::encode::{BodyPlan, Date, OutgoingResponse, Persistence, encode_response};
use unary_http::h1::head::{HeadLimits, RequestHead};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PIPELINED: usize = 16;
const BATCHES: usize = 50;
const ROUNDS: usize = 2_000;

const TINY: &str = "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";

const CURL: &str = "GET /static/app.css?v=3 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: curl/8.14.1\r\n\
    Accept: */*\r\n\r\n";

const BROWSER: &str = "GET /articles/2024/a-unary-function HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.8,de;q=0.5,fr;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://www.example.com/articles/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; seen=1,2,3,5,8,13,21\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

fn main() {
    for (name, head) in [("tiny", TINY), ("curl", CURL), ("browser", BROWSER)] {
        println!("decode {name:<8} {:>7.1} ns  ({} bytes)", decode(head), head.len());
    }
    println!("encode {:<8} {:>7.1} ns", "hello", encode());
}

/// Nanoseconds a head.
fn decode(head: &str) -> f64 {
    let wire = head.repeat(PIPELINED);
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let mut decoded = RequestHead::default();
    let mut input = BytesMut::with_capacity(64 << 10);
    best(|| {
        input.reserve(wire.len());
        input.extend_from_slice(wire.as_bytes());
        while decoder.decode_request(&mut input, &mut decoded).expect("a valid head") {
            black_box(&decoded);
        }
    })
}

/// Nanoseconds a reply of thirteen bytes.
fn encode() -> f64 {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let date: &Date = b"Sun, 06 Nov 1994 08:49:37 GMT";
    let mut out = Vec::with_capacity(64 << 10);
    best(|| {
        for _ in 0..PIPELINED {
            let status = black_box(StatusCode::OK);
            let (headers, version) = (black_box(&headers), Version::HTTP_11);
            let body = BodyPlan::of_response(&Method::GET, version, status, Some(13), headers);
            let persistence = Persistence::KeepAlive;
            let response = OutgoingResponse { status, headers, body, version, persistence, date: Some(date) };
            black_box(encode_response(&response, &mut out));
            out.extend_from_slice(b"Hello, World!");
        }
        black_box(&out);
        out.clear();
    })
}

/// The best time of a batch, divided by its heads.
fn best(mut batch: impl FnMut()) -> f64 {
    let round = |batch: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..BATCHES {
            batch();
        }
        start.elapsed().as_nanos() as f64
    };
    let best = (0..ROUNDS).map(|_| round(&mut batch)).fold(f64::INFINITY, f64::min);
    best / (BATCHES * PIPELINED) as f64
}
