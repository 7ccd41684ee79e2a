//! Connections that leave HTTP.

use http::HeaderValue;
use http::header::UPGRADE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::h1::Upgraded;

const SENT: &str = "GET /x HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

fn offering() -> Request {
    let mut request = get();
    request.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    request
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_switches_is_handed_over_with_what_came_behind() {
    let mut server = Server::of(offering()).await;
    server.expect(SENT).await;
    server.send(format!("{SWITCHING}hello")).await;
    let mut reply = (&mut server.call).await.unwrap().unwrap();
    assert_eq!(reply.status(), 101);
    let mut stream = Upgraded::of(&mut reply).expect("it was handed over");
    assert!(Upgraded::of(&mut reply).is_none());
    let mut bytes = [0; 5];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    stream.write_all(b"world").await.unwrap();
    server.expect("world").await;
    assert_eq!(server.pool.connections(), 1);
    drop(stream);
    server.expect_end().await;
    assert_eq!(server.pool.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_may_decline() {
    check(offering, SENT, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 content-length: 2, \"hi\", kept")
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_protocol_that_was_not_offered_is_refused() {
    let refused = "failed upstream while reading the reply of there:80: it takes up a protocol that was not offered";
    check(get, GET, SWITCHING, refused).await;
    check(offering, SENT, "HTTP/1.1 101 Switching Protocols\r\n\r\n", refused).await;
}
