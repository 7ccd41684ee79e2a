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
    assert_eq!((server.pool.connections(), server.pool.tunnels()), (0, 1));
    drop(stream);
    server.expect_end().await;
    assert_eq!((server.pool.connections(), server.pool.tunnels()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_switches_leaves_its_place_in_the_pool() {
    let settings = Settings { connections_max: 1, tunnels_max: 2, ..Settings::default() };
    let (pool, mut servers) = pool(settings);
    let begin = |request| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.call(request).await })
    };
    let mut switched = Vec::new();
    for _ in 0..2 {
        let call = begin(offering());
        let mut server = servers.recv().await.unwrap();
        server.expect(SENT).await;
        server.send(SWITCHING).await;
        let mut reply = call.await.unwrap().unwrap();
        switched.push((Upgraded::of(&mut reply).expect("it was handed over"), server));
    }
    assert_eq!((pool.connections(), pool.tunnels()), (0, 2));
    let refused = begin(offering()).await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "overloaded while opening a tunnel to there:80: all 2 are taken");
    // What offers nothing goes on, and a tunnel that ends makes room for the next.
    let call = begin(get());
    let mut server = servers.recv().await.unwrap();
    server.expect(GET).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    switched.pop();
    let call = begin(offering());
    server.expect(SENT).await;
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    assert_eq!((pool.connections(), pool.tunnels()), (1, 1)); // It declined.
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
