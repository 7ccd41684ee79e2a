//! Replies: how they are framed, and what is refused.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reply_of_known_length_is_whole() {
    check(get, GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 content-length: 5, \"hello\", kept")
        .await;
    check(get, GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 content-length: 0, \"\", kept").await;
}

#[tokio::test(start_paused = true)]
async fn a_chunked_reply_is_whole_with_its_trailers() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = "200 transfer-encoding: chunked,";
    check(get, GET, &format!("{head}5\r\nhello\r\n0\r\n\r\n"), &format!("{chunked} \"hello\", kept")).await;
    let trailing = format!("{head}2\r\nhe\r\n3\r\nllo\r\n0\r\nSum: 7\r\n\r\n");
    check(get, GET, &trailing, &format!("{chunked} \"hello\" then sum: 7, kept")).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_until_close_ends_with_its_connection() {
    check_then(get, GET, ("HTTP/1.1 200 OK\r\n\r\nhello", Then::Close), "200 \"hello\"").await;
    check_then(get, GET, ("HTTP/1.0 200 OK\r\n\r\n", Then::Close), "200 \"\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_cut_short_is_no_reply() {
    let cut = "and failed upstream while reading a reply's body of there:80: the peer closed amid a message at byte 0";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello";
    check_then(get, GET, (sized, Then::Close), &format!("200 content-length: 6, \"hello\" {cut}")).await;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    check_then(get, GET, (chunked, Then::Close), &format!("200 transfer-encoding: chunked, \"hello\" {cut}")).await;
    let amid = "failed upstream while reading the reply of there:80: the connection ended within its head";
    check_then(get, GET, ("HTTP/1.1 200 OK\r\nContent-Le", Then::Close), amid).await;
    let none = "failed upstream while waiting for the reply of there:80: it closed the connection";
    check_then(get, GET, ("", Then::Close), none).await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_a_body_has_none_whatever_it_says() {
    let head = || request(Method::HEAD, ());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    check(head, "HEAD /x HTTP/1.1\r\nhost: a\r\n\r\n", answer, "200 content-length: 5, \"\", kept").await;
    check(get, GET, "HTTP/1.1 204 No Content\r\n\r\n", "204 \"\", kept").await;
    check(get, GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 content-length: 5, \"\", kept")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_to_close_is_not_kept() {
    let closing = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";
    check(get, GET, closing, "200 connection: close, content-length: 2, \"hi\"").await;
    check(get, GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 content-length: 2, \"hi\"").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_the_last_of_its_connection() {
    let last = || {
        let mut request = get();
        request.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
        request
    };
    let sent = "GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    check(last, sent, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 content-length: 2, \"hi\"").await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_behind_a_reply_belongs_to_nobody() {
    let mut server = Server::of(get()).await;
    server.expect(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n").await;
    assert_eq!(server.outcome().await, "200 content-length: 2, \"hi\"");
}

#[tokio::test(start_paused = true)]
async fn interim_replies_are_passed_over() {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    check(get, GET, answer, "200 content-length: 2, \"hi\", kept").await;
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    let mut server = Server::of(get()).await;
    server.send(endless).await;
    let refused = "failed upstream while reading the interim replies of there:80: there are too many";
    assert_eq!(server.outcome().await, refused);
}

#[tokio::test(start_paused = true)]
async fn bad_framing_is_refused() {
    let refused = async |answer: &str, cause: &str| {
        check(get, GET, answer, &format!("failed upstream while reading the reply of there:80: {cause}")).await;
    };
    refused(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "both Content-Length and Transfer-Encoding at byte 55",
    )
    .await;
    refused("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "bad Content-Length \"5, 5\" at byte 33").await;
    refused(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "a second Content-Length at byte 52",
    )
    .await;
    refused("SSH-2.0-OpenSSH\r\n", "bad version \"SSH-2.0-\" at byte 0").await;
}

#[tokio::test(start_paused = true)]
async fn bad_chunks_end_a_reply() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx";
    let broken = "200 transfer-encoding: chunked, \"hello\" and failed upstream while reading a reply's body of \
                  there:80: byte 0x78 in a chunk size at byte 10";
    check(get, GET, answer, broken).await;
}
