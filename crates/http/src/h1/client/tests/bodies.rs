//! The body of a request, and replies that do not wait for it.

use http::HeaderValue;
use http::header::{EXPECT, TE};
use unary_service::Kind;
use unary_testkit::far_end::PATIENCE;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const POST: &str = "POST /x HTTP/1.1\r\nhost: a\r\n";

fn post(body: impl Into<Body>) -> Request {
    request(Method::POST, body)
}

#[tokio::test(start_paused = true)]
async fn a_body_is_framed_by_what_is_known_of_it() {
    let whole = format!("{POST}content-length: 5\r\n\r\nhello");
    check(|| post("hello"), &whole, OK, "200 content-length: 2, \"hi\", kept").await;
    check(|| post(()), &format!("{POST}content-length: 0\r\n\r\n"), OK, "200 content-length: 2, \"hi\", kept").await;
    let long = "0123456789".repeat(10_000);
    let sent = format!("{POST}content-length: 100000\r\n\r\n{long}");
    let mut server = Server::of(post(long)).await;
    server.expect(&sent).await;
    server.send(OK).await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\", kept");
}

#[tokio::test(start_paused = true)]
async fn a_stream_leaves_as_it_comes() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    pieces.send(data("hello")).await.unwrap();
    server.expect("5\r\nhello\r\n").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("sum", HeaderValue::from_static("7"));
    pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
    server.expect("0\r\nsum: 7\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\", kept");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_reads_slowly_slows_the_body_down() {
    let (pieces, body) = piecemeal();
    let mut server = Server::with(post(body), Settings::default(), 1024).await;
    let feeding = tokio::spawn(async move {
        let mut fed = 0;
        while fed < 1000 && pieces.send(Ok(Frame::data(Bytes::from(vec![b'x'; 1024])))).await.is_ok() {
            fed += 1;
        }
        fed
    });
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    settle().await;
    assert!(!feeding.is_finished(), "a megabyte was taken in for a server that reads none of it");
    let rest = server.take(1000 * (1024 + 7) + 5, PATIENCE).await;
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!(feeding.await.unwrap(), 1000);
    server.send(OK).await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\", kept");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_fails_the_call_and_cuts_the_connection() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    pieces.send(Err(Error::closed("reading a body"))).await.unwrap();
    settle().await;
    let sent = server.receive_to_end().await;
    assert!(!sent.ends_with(b"0\r\n\r\n"), "{}", sent.escape_ascii());
    assert!(server.outcome().await.contains("closed by the other end while reading a body"));
}

fn expecting(body: impl Into<Body>) -> Request {
    let mut request = post(body);
    request.headers_mut().insert(EXPECT, HeaderValue::from_static("100-continue"));
    request
}

const EXPECTING: &str = "POST /x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_body_waits_for_the_word_to_come() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(expecting(body)).await;
    pieces.send(data("hello")).await.unwrap();
    server.expect(EXPECTING).await;
    server.expect_silence(Duration::from_millis(900)).await;
    server.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    drop(pieces);
    server.expect("5\r\nhello\r\n0\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\", kept");
}

#[tokio::test(start_paused = true)]
async fn a_body_nobody_wants_is_not_sent() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(expecting(body)).await;
    server.expect(EXPECTING).await;
    server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(server.outcome().await, "413 content-length: 2, \"no\"");
    assert!(pieces.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_word_gets_the_body_after_a_second() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(expecting(body)).await;
    pieces.send(data("hello")).await.unwrap();
    server.expect(EXPECTING).await;
    drop(pieces);
    server.expect("5\r\nhello\r\n0\r\n\r\n").await;
    server.send(OK).await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\", kept");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_here_expects_nothing() {
    let whole = format!("{POST}content-length: 5\r\n\r\nhello");
    check(|| expecting("hello"), &whole, OK, "200 content-length: 2, \"hi\", kept").await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_streams_while_the_request_does() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let mut reply = (&mut server.call).await.unwrap().unwrap().into_body();
    for text in ["one", "two"] {
        pieces.send(data(text)).await.unwrap();
        server.expect(format!("3\r\n{text}\r\n")).await;
        server.send(format!("3\r\n{text}\r\n")).await;
        assert_eq!(reply.next_bytes().await.unwrap().unwrap(), text);
    }
    server.send("0\r\n\r\n").await;
    assert!(reply.next_bytes().await.unwrap().is_none());
    assert_eq!(server.pool.idle(), 0);
    drop(pieces);
    server.expect("0\r\n\r\n").await;
    settle().await;
    assert_eq!(server.pool.idle(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_goes_on_though_nobody_reads_the_reply() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n").await;
    let reply = (&mut server.call).await.unwrap().unwrap();
    server.send("onetwo").await;
    pieces.send(data("hello")).await.unwrap();
    server.expect("5\r\nhello\r\n").await;
    drop(reply);
    server.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_closes_ends_the_request() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    server.send("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(server.outcome().await, "401 connection: close, content-length: 2, \"no\"");
    assert!(pieces.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_after_its_reply_has_begun_is_not_blamed_on_the_server() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
    let reply = (&mut server.call).await.unwrap().unwrap();
    pieces.send(Err(Error::new(Kind::TooLarge, "testing"))).await.unwrap();
    let error = reply.into_body().collect(9).await.unwrap_err();
    assert_eq!(error.to_string(), "too large while reading a reply's body: the rest of its request never came");
    server.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_up_amid_the_request_is_still_heard() {
    let (pieces, body) = piecemeal();
    let mut server = Server::of(post(body)).await;
    server.expect(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    server.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let Server { far, call, .. } = server;
    drop(far);
    let _ = pieces.send(data("hello")).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 413);
}

#[tokio::test(start_paused = true)]
async fn trailers_are_asked_for_hop_by_hop() {
    let asking = || {
        let mut request = get();
        request.headers_mut().insert(TE, HeaderValue::from_static("gzip;q=0.5, trailers"));
        request
    };
    let sent = "GET /x HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n";
    check(asking, sent, OK, "200 content-length: 2, \"hi\", kept").await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_reads_closes_its_connection() {
    let mut server = Server::of(get()).await;
    server.expect(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
    let reply = (&mut server.call).await.unwrap().unwrap();
    drop(reply);
    server.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_read_slowly_slows_the_server_down() {
    let mut server = Server::with(get(), Settings::default(), 1024).await;
    server.expect(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await;
    let mut reply = (&mut server.call).await.unwrap().unwrap().into_body();
    let sent = server.send_some(&vec![b'x'; 1_000_000], Duration::from_secs(9)).await;
    assert!(sent <= 1024, "{sent} bytes were taken of a reply nobody reads");
    let mut left = 1_000_000 - sent;
    let mut read = 0;
    while read < 1_000_000 {
        let (bytes, sent) = tokio::join!(reply.next_bytes(), async {
            server.send_some(&vec![b'x'; left.min(512)], Duration::from_millis(1)).await
        });
        read += bytes.unwrap().unwrap().len();
        left -= sent;
    }
    assert_eq!(server.pool.idle(), 1);
}
