//! WebSockets by extended CONNECT (RFC 8441).

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ::h2::ext::Protocol;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;
use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncWriteExt, copy, split};
use unary_service::Lasting;

use super::*;
use crate::h1::connection::Upgrade;

/// Takes every WebSocket that is offered, as it would by HTTP/1.1, says hello, and repeats what it hears; `/no`
/// declines, and `/wrong` accepts something else.
fn repeating() -> impl Service<Request, Reply = Response> + Clone + 'static {
    service_fn(async |mut request: Request| {
        let path = request.uri().path().to_owned();
        assert!(*request.method() == Method::GET && request.headers()[UPGRADE] == "websocket");
        let Some(upgrade) = Upgrade::of(&mut request).filter(|_| path != "/no") else {
            return Ok(text("not here"));
        };
        tokio::spawn(async move {
            let mut connection = upgrade.taken().await?;
            connection.write_all(b"hello; ").await?;
            let (mut from, mut to) = split(connection);
            copy(&mut from, &mut to).await?;
            to.shutdown().await?;
            Ok::<_, Error>(())
        });
        let key = if path == "/wrong" { "key" } else { request.headers()[SEC_WEBSOCKET_KEY].to_str().unwrap() };
        let digest = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        let accept = HeaderValue::from_str(&BASE64_STANDARD.encode(digest)).unwrap();
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, accept);
        Ok(response)
    })
}

async fn taking() -> Client {
    let client = Server { websockets: true, ..Server::default() }.meet(repeating()).await;
    settle().await; // The server's settings are there.
    client
}

/// Asks for another protocol at this path.
async fn ask(
    client: &mut Client,
    path: &str,
    protocol: &'static str,
) -> (http::Response<RecvStream>, SendStream<Bytes>) {
    let mut head = head(Method::CONNECT, path);
    head.extensions_mut().insert(Protocol::from_static(protocol));
    let (reply, sender) = client.send(head, false).await;
    (reply.await.expect("it answers"), sender)
}

/// Reads until so much has come, or the end.
async fn read(stream: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < length
        && let Some(data) = stream.data().await
    {
        let data = data.expect("nobody gives it up");
        stream.flow_control().release_capacity(data.len()).unwrap();
        heard.extend_from_slice(&data);
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn they_are_refused_unless_they_are_let_in() {
    let mut client = Server::default().meet(repeating()).await;
    settle().await;
    assert!(!client.requests.is_extended_connect_protocol_enabled());
    let mut head = head(Method::CONNECT, "/");
    head.extensions_mut().insert(Protocol::from_static("websocket"));
    let (reply, _sender) = client.send(head, false).await;
    assert_eq!(reason(reply.await), Some(Reason::PROTOCOL_ERROR));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_passes_both_ways_until_both_have_ended() {
    let mut client = taking().await;
    assert!(client.requests.is_extended_connect_protocol_enabled());
    let (reply, mut sender) = ask(&mut client, "/", "websocket").await;
    assert_eq!(reply.status(), 200);
    let fields: Vec<_> = reply.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(fields, ["date"]);
    let mut stream = reply.into_body();
    assert_eq!(read(&mut stream, 7).await, b"hello; ");
    sleep(Duration::from_secs(1000)).await; // None of HTTP's limits on time count any more.
    sender.send_data("one".into(), false).unwrap();
    assert_eq!(read(&mut stream, 3).await, b"one");
    let long = vec![b'x'; 3 << 20];
    let writing = tokio::spawn(async move {
        let mut left = Bytes::from(long);
        while !left.is_empty() {
            sender.reserve_capacity(left.len());
            let room = poll_fn(|task| sender.poll_capacity(task)).await.unwrap().unwrap();
            sender.send_data(left.split_to(room.min(left.len())), false).unwrap();
        }
        sender.send_data(Bytes::new(), true).unwrap();
    });
    assert_eq!(read(&mut stream, usize::MAX).await.len(), 3 << 20);
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_given_up_ends_the_tunnel_and_the_connection_may_rest() {
    let mut client = taking().await;
    let (reply, mut sender) = ask(&mut client, "/", "websocket").await;
    sender.send_reset(Reason::CANCEL);
    drop(reply);
    let begun = Instant::now();
    client.closed.await.unwrap().unwrap();
    assert!((60..63).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_answered() {
    let mut client = taking().await;
    let (reply, _sender) = ask(&mut client, "/no", "websocket").await;
    assert_eq!(got(reply).await.unwrap(), said(200, "not here"));
    let (reply, _sender) = ask(&mut client, "/wrong", "websocket").await;
    assert_eq!(reply.status(), 500);
    let (reply, _sender) = ask(&mut client, "/", "connect-ip").await;
    assert_eq!(reply.status(), 501);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_taken_is_part_of_its_call() {
    let (guard, sent) = (Arc::new(()), Arc::new(AtomicU64::new(0)));
    let (held, counted) = (Arc::downgrade(&guard), sent.clone());
    let guard = Arc::new(Mutex::new(Some(guard)));
    let app = service_fn(move |request: Request| {
        let (guard, sent) = (guard.lock().unwrap().take(), sent.clone());
        async move {
            let reply = repeating().call(request).await?;
            Ok(reply.map(|body| body.counted(sent)).holding(guard))
        }
    });
    let mut client = Server { websockets: true, ..Server::default() }.meet(app).await;
    settle().await;
    let (reply, mut sender) = ask(&mut client, "/", "websocket").await;
    let mut stream = reply.into_body();
    sender.send_data("one".into(), false).unwrap();
    assert_eq!(read(&mut stream, 10).await, b"hello; one");
    assert!(held.upgrade().is_some());
    assert_eq!(counted.load(Ordering::Relaxed), 10);
    sender.send_data(Bytes::new(), true).unwrap();
    assert!(read(&mut stream, usize::MAX).await.is_empty());
    settle().await;
    assert!(held.upgrade().is_none());
}
