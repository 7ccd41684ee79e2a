//! Replies as clients with and without `Accept-Encoding` get them.

use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::{BrotliDecoder, DecodeV2, GzipDecoder, ZstdDecoder};
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use unary_http::message;
use unary_service::{Compose, service_fn};

use super::*;

const BROWSER: &str = "gzip, deflate, br, zstd";

/// Text that gets smaller, of this length.
fn text(length: usize) -> String {
    let line = |n: usize| format!("Line {n} of a text that says the same again and again.\n");
    (0..).map(line).take(length / 50 + 1).collect::<String>()[..length].to_owned()
}

/// Decodes as much as there is; the compressed content need not be complete.
fn decode(coding: &str, bytes: &[u8]) -> String {
    let mut decoder: Box<dyn DecodeV2> = match coding {
        "br" => Box::new(BrotliDecoder::new()),
        "zstd" => Box::new(ZstdDecoder::new()),
        "gzip" => Box::new(GzipDecoder::new()),
        _ => return String::from_utf8(bytes.to_vec()).unwrap(),
    };
    let (mut input, mut all, mut room) = (PartialBuffer::new(bytes), Vec::new(), vec![0; 1 << 20]);
    loop {
        let mut output = WriteBuffer::new_initialized(&mut room);
        let is_over = decoder.decode(&mut input, &mut output).unwrap();
        let flushed = is_over || decoder.flush(&mut output).unwrap();
        all.extend_from_slice(output.written());
        if is_over || (flushed && input.unwritten().is_empty() && !output.has_no_spare_space()) {
            return String::from_utf8(all).unwrap();
        }
    }
}

/// A body in pieces, whose length nobody knows.
fn streamed(pieces: Vec<String>) -> Body {
    let frames = pieces.into_iter().map(|piece| Ok::<_, Error>(Frame::data(Bytes::from(piece))));
    Body::stream(StreamBody::new(stream::iter(frames)))
}

fn reply(body: impl Into<Body>) -> Response {
    message::content("text/html; charset=utf-8", body.into())
}

fn with(mut reply: Response, name: &'static str, value: &'static str) -> Response {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}

/// What the filter makes of a reply to a request of this method that accepts these codings.
async fn filtered(compress: Compress, method: &str, accept: &str, reply: Response) -> Response {
    let reply = std::sync::Mutex::new(Some(reply));
    let taken = move |_: Request| std::future::ready(Ok(reply.lock().unwrap().take().expect("it is asked for once")));
    let mut request = http::Request::builder().method(method).uri("/");
    if !accept.is_empty() {
        request = request.header(header::ACCEPT_ENCODING, accept);
    }
    compress.and_then(service_fn(taken)).call(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn field<'a>(reply: &'a Response, name: &str) -> &'a str {
    let mut values = reply.headers().get_all(name).iter();
    let value = values.next().map_or("", |value| value.to_str().unwrap());
    assert_eq!(values.next(), None, "{name} is there twice");
    value
}

/// The reply has this coding, says that it varies, and holds this text.
async fn check(reply: Response, coding: &str, expected: &str) {
    assert_eq!(field(&reply, "content-encoding"), coding);
    assert_eq!(field(&reply, "vary"), "accept-encoding");
    let bytes = reply.into_body().collect(1 << 24).await.unwrap();
    if !coding.is_empty() {
        assert!(bytes.len() < expected.len() * 3 / 4, "{} of {} bytes are left", bytes.len(), expected.len());
    }
    assert!(decode(coding, &bytes) == expected, "another text came out of {coding}");
}

#[tokio::test]
async fn small_content_is_compressed_whole() {
    let text = text(1000);
    for (accept, coding) in [
        (BROWSER, "zstd"),
        ("br, gzip", "br"),
        ("gzip", "gzip"),
        ("gzip;q=1, br;q=0.5", "gzip"),
        ("", ""),
        ("lzma", ""),
    ] {
        let reply = filtered(Compress::new(), "GET", accept, reply(text.clone())).await;
        assert!(reply.body().length().is_some(), "its length is known");
        check(reply, coding, &text).await;
    }
}

#[tokio::test]
async fn large_and_streamed_content_is_compressed_piece_by_piece() {
    let text = text(300_000);
    let pieces = || text.as_bytes().chunks(7001).map(|piece| String::from_utf8(piece.to_vec()).unwrap()).collect();
    for coding in Coding::ALL.map(Coding::token) {
        for reply in [reply(text.clone()), reply(streamed(pieces()))] {
            let reply = filtered(Compress::new(), "GET", coding, reply).await;
            assert_eq!(reply.body().length(), None);
            check(reply, coding, &text).await;
        }
    }
}

#[tokio::test]
async fn every_level_gives_the_content_back() {
    let text = text(70_000);
    for coding in Coding::ALL {
        for level in 0..=9 {
            let Ok(compress) = Compress::new().level(coding, level) else { continue };
            let reply = filtered(compress, "GET", coding.token(), reply(text.clone())).await;
            check(reply, coding.token(), &text).await;
        }
    }
}

#[tokio::test]
async fn no_content_is_no_trouble() {
    let reply = filtered(Compress::new(), "GET", "gzip", reply(streamed(vec![]))).await;
    assert_eq!(decode("gzip", &reply.into_body().collect(99).await.unwrap()), "");
}

#[tokio::test]
async fn files_are_compressed_as_they_are_read() {
    let folder = unary_testkit::TempDir::new();
    let text = text(100_000);
    std::fs::write(folder.path().join("a.html"), &text).unwrap();
    let app = Compress::new().and_then(crate::handler::Files::new(folder.path()).unwrap());
    let request = |range: &'static str| {
        let request = http::Request::get("/a.html").header("accept-encoding", BROWSER).header("range", range);
        request.body(Body::empty()).unwrap()
    };
    check(app.call(request("none")).await.unwrap(), "zstd", &text).await;
    let part = app.call(request("bytes=0-999")).await.unwrap();
    assert_eq!((part.status().as_u16(), field(&part, "content-encoding")), (206, ""));
}

#[tokio::test]
async fn what_the_source_gave_is_sent_when_it_waits() {
    for coding in Coding::ALL.map(Coding::token) {
        // Each event is made when the one before has been read.
        let (events, queue) = tokio::sync::mpsc::channel::<Bytes>(1);
        let queue = stream::unfold(queue, async |mut queue| Some((queue.recv().await?, queue)));
        let frames = queue.map(|event| Ok::<_, Error>(Frame::data(event)));
        let reply = message::content("text/event-stream", Body::stream(StreamBody::new(frames)));
        let mut body = filtered(Compress::new(), "GET", coding, reply).await.into_body();
        let (mut sent, mut received) = (String::new(), Vec::new());
        for n in 0..5 {
            let event = format!("data: event {n}\n\n");
            sent.push_str(&event);
            events.send(event.into()).await.unwrap();
            while decode(coding, &received) != sent {
                received.extend_from_slice(&body.next_bytes().await.unwrap().expect("it goes on"));
            }
        }
        drop(events);
        received.extend_from_slice(&body.collect(99).await.unwrap());
        assert_eq!(decode(coding, &received), sent, "{coding}");
    }
}

#[tokio::test]
async fn others_get_their_turn_while_a_long_body_is_compressed() {
    let reply = filtered(Compress::new(), "GET", "gzip", reply(text(1_000_000))).await;
    let mut body = Box::pin(reply.into_body().collect(1 << 24));
    let mut turns = 0;
    poll_fn(|task| {
        turns += 1;
        Future::poll(body.as_mut(), task).map(|bytes| drop(bytes.unwrap()))
    })
    .await;
    assert!(turns > 1_000_000 / (48 * 1024), "{turns} turns");
}

#[tokio::test]
async fn trailers_come_after_the_content() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let frames = [Ok::<_, Error>(Frame::data(Bytes::from(text(999)))), Ok(Frame::trailers(trailers))];
    let reply =
        filtered(Compress::new(), "GET", "gzip", reply(Body::stream(StreamBody::new(stream::iter(frames))))).await;
    let collected = http_body_util::BodyExt::collect(reply.into_body()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
    assert_eq!(decode("gzip", &collected.to_bytes()), text(999));
}

#[tokio::test]
async fn a_source_that_fails_fails_the_body() {
    let frames = [Ok(Frame::data(Bytes::from(text(999)))), Err(Error::closed("testing"))];
    let reply =
        filtered(Compress::new(), "GET", "gzip", reply(Body::stream(StreamBody::new(stream::iter(frames))))).await;
    assert!(reply.into_body().collect(1 << 20).await.is_err());
}

#[tokio::test]
async fn what_should_not_be_compressed_is_left_alone() {
    let left = [
        message::content("image/png", text(999)),
        message::content("application/octet-stream", text(999)),
        Response::new(Body::from(text(999))),
        reply(text(255)),
        with(reply(text(999)), "content-encoding", "br"),
        with(reply(text(999)), "content-encoding", "identity"),
        with(reply(text(999)), "cache-control", "public, No-Transform"),
        with(reply(text(999)), "repr-digest", "sha-256=:AAAA:"),
        with(reply(text(999)), "content-range", "bytes 0-998/2000"),
    ];
    let unsuited = [204, 205, 206, 304].map(|status| {
        let mut reply = reply(streamed(vec![text(999)]));
        *reply.status_mut() = StatusCode::from_u16(status).unwrap();
        reply
    });
    for reply in left.into_iter().chain(unsuited) {
        let (status, mut headers) = (reply.status(), reply.headers().clone());
        if matches!(status.as_u16(), 206 | 304) {
            // They stand for a whole that is compressed for some.
            headers.insert("vary", HeaderValue::from_static("accept-encoding"));
        }
        let after = filtered(Compress::new(), "GET", BROWSER, reply).await;
        assert_eq!((after.status(), after.headers()), (status, &headers));
    }
    let mut part = message::content("image/png", text(999));
    *part.status_mut() = StatusCode::PARTIAL_CONTENT;
    assert_eq!(field(&filtered(Compress::new(), "GET", BROWSER, part).await, "vary"), "");
}

#[tokio::test]
async fn the_headers_are_those_of_compressed_content() {
    let plain = || {
        let plain = with(with(reply(text(999)), "etag", "\"abc\""), "accept-ranges", "bytes");
        with(plain, "content-length", "999")
    };
    let mut heads = Vec::new();
    for method in ["GET", "HEAD"] {
        let reply = filtered(Compress::new(), method, "gzip", plain()).await;
        assert_eq!(field(&reply, "etag"), "W/\"abc\"");
        assert_eq!([field(&reply, "accept-ranges"), field(&reply, "content-length")], ["", ""]);
        heads.push(reply.headers().clone());
    }
    assert_eq!(heads[0], heads[1], "HEAD hears what GET hears");
    let weak = filtered(Compress::new(), "GET", "gzip", with(plain(), "etag", "W/\"abc\"")).await;
    assert_eq!(field(&weak, "etag"), "W/\"abc\"");
    let identity = filtered(Compress::new(), "GET", "", plain()).await;
    assert_eq!([field(&identity, "etag"), field(&identity, "vary")], ["\"abc\"", "accept-encoding"]);
}

#[tokio::test]
async fn head_costs_no_compression() {
    for (length, coding) in [("5000", "gzip"), ("100", "")] {
        let reply = with(reply(Body::empty()), "content-length", length);
        let reply = filtered(Compress::new(), "HEAD", "gzip", reply).await;
        assert_eq!(field(&reply, "content-encoding"), coding);
        assert_eq!(reply.body().length(), Some(0));
    }
    let full = filtered(Compress::new(), "HEAD", "gzip", reply(text(5000))).await;
    assert_eq!((field(&full, "content-encoding"), full.body().length()), ("gzip", Some(0)));
}

#[tokio::test]
async fn vary_is_said_once() {
    for (own, expected) in [("cookie, Accept-Encoding", "cookie, Accept-Encoding"), ("*", "*")] {
        let reply = filtered(Compress::new(), "GET", "gzip", with(reply(text(999)), "vary", own)).await;
        assert_eq!(field(&reply, "vary"), expected);
    }
    let reply = filtered(Compress::new(), "GET", "gzip", with(reply(text(999)), "vary", "cookie")).await;
    assert_eq!(reply.headers().get_all("vary").iter().collect::<Vec<_>>(), ["cookie", "accept-encoding"]);
}

#[tokio::test]
async fn beyond_the_memory_content_leaves_as_it_is() {
    let compress = Compress::new().memory_bytes_max(512 * 1024);
    let first = filtered(compress.clone(), "GET", "gzip", reply(text(99_999))).await;
    check(filtered(compress.clone(), "GET", "gzip", reply(text(99_999))).await, "", &text(99_999)).await;
    check(first, "gzip", &text(99_999)).await;
    check(filtered(compress, "GET", "gzip", reply(text(99_999))).await, "gzip", &text(99_999)).await;
}

#[tokio::test]
async fn settings_decide() {
    let gzip = Compress::new().codings(&[Coding::Gzip, Coding::Zstandard]).unwrap();
    check(filtered(gzip, "GET", BROWSER, reply(text(999))).await, "gzip", &text(999)).await;
    let svg = || with(reply(text(999)), "content-type", "IMAGE/SVG+XML ; charset=utf-8");
    check(filtered(Compress::new(), "GET", "gzip", svg()).await, "gzip", &text(999)).await;
    let html = Compress::new().types(["text/html"]).unwrap();
    assert_eq!(field(&filtered(html, "GET", "gzip", svg()).await, "content-encoding"), "");
    let short = Compress::new().length_min(10);
    check(filtered(short, "GET", "gzip", reply(text(200))).await, "gzip", &text(200)).await;
}

#[test]
fn mistakes_are_told() {
    assert!(Compress::new().codings(&[]).is_err());
    assert!(Compress::new().codings(&[Coding::Gzip, Coding::Gzip]).is_err());
    for (coding, level) in [(Coding::Gzip, 0), (Coding::Gzip, 10), (Coding::Brotli, 8), (Coding::Zstandard, 0)] {
        assert!(Compress::new().level(coding, level).is_err(), "{coding:?} {level}");
    }
    assert!(Compress::new().codings(&[Coding::Gzip]).unwrap().level(Coding::Brotli, 4).is_err());
    for media_type in ["", "text", "text/", "/html", "*", "*/*", "*+", "text/html; charset=utf-8", "a b/c"] {
        assert!(Compress::new().types([media_type]).is_err(), "{media_type}");
    }
}

#[test]
fn all_types_of_the_default_are_types() {
    assert_eq!(Compress::new().types.len(), TYPES.len());
}
