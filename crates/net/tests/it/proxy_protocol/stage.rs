//! Whom the stage believes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use unary_net::proxy_protocol::Trust;
use unary_net::{Network, Peer, connect, listen, process, proxy_protocol, reply};
use unary_service::flow::map;
use unary_service::service_fn;

use crate::lines::Lines;
use crate::server::{Accepted, Server, start};

type Seen = Arc<Mutex<Vec<Peer>>>;

/// An echo behind the stage, and the peers that came through.
fn start_trusting(trusted: impl Trust + 'static) -> (Server, Seen) {
    let seen = Seen::default();
    let seeing = seen.clone();
    let see = map(move |accepted: Accepted| {
        assert_eq!(accepted.stream.peer().address(), accepted.peer.address());
        seeing.lock().unwrap().push(accepted.peer.clone());
        accepted
    });
    let echo = service_fn(async |line: String| Ok(line));
    let stage = proxy_protocol(trusted);
    let server = start(|on| listen(on) >> stage >> see >> connect(Lines) >> process(echo) >> reply());
    (server, seen)
}

/// What becomes of a connection that begins with `header`, from a peer that is trusted.
#[track_caller]
fn check(seen: &Seen, client: SocketAddr, expected: (&str, &str)) {
    let peer = seen.lock().unwrap().pop().unwrap();
    let shown = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    let expected_address = if expected.0 == "its own" { client.to_string() } else { expected.0.to_owned() };
    assert_eq!(shown(peer.address()), Some(expected_address));
    assert_eq!(shown(peer.local()).as_deref(), Some(expected.1));
    assert!(peer.tcp_info().is_some(), "the socket is still its own");
}

fn loopback() -> Network {
    "127.0.0.0/8".parse().unwrap()
}

#[tokio::test]
async fn trusted_peers_say_who_the_client_is() {
    let (server, seen) = start_trusting(vec![loopback()]);
    let local = server.socket_address().to_string();
    let cases = [
        (&b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"[..], ("192.0.2.1:56324", "198.51.100.2:443")),
        (b"PROXY UNKNOWN\r\n", ("its own", &*local)),
        (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", ("its own", &*local)),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb",
            ("192.0.2.1:56324", "198.51.100.2:443"),
        ),
    ];
    for (header, expected) in cases {
        let mut client = server.connect().await;
        client.send(&[header, b"hello\n"].concat()).await;
        assert_eq!(client.hear().await, "hello");
        check(&seen, client.stream().local_addr().unwrap(), expected);
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_proxied_peer_is_forgotten_with_its_socket() {
    let (server, seen) = start_trusting(loopback());
    let mut client = server.connect().await;
    client.say("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n").await;
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    server.stop().await.unwrap();
    let peer = seen.lock().unwrap().pop().unwrap();
    assert_eq!(peer.tcp_info(), None);
    assert_eq!(peer.address(), Some("192.0.2.1:56324".parse().unwrap()));
}

#[tokio::test]
async fn trusted_peers_must_send_a_header() {
    let (server, seen) = start_trusting(loopback());
    for wrong in ["GET / HTTP/1.1\r\n", "PROXY TCP5 nonsense\r\n"] {
        let mut client = server.connect().await;
        client.say(wrong).await;
        assert_eq!(client.rest().await, "");
    }
    assert_eq!(server.connect().await.finish().await, "");
    assert!(seen.lock().unwrap().is_empty());
    server.stop().await.unwrap();
}

#[tokio::test]
async fn others_are_not_believed() {
    let (server, seen) = start_trusting("192.0.2.0/24".parse::<Network>().unwrap());
    let mut client = server.connect().await;
    let header = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r";
    assert_eq!(client.ask(header).await, header);
    let local = server.socket_address().to_string();
    check(&seen, client.stream().local_addr().unwrap(), ("its own", &local));
    drop(client);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn trust_can_be_any_function() {
    let (server, seen) = start_trusting(|peer: &Peer| peer.address().is_some_and(|address| address.port() > 0));
    let mut client = server.connect().await;
    client.say("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n").await;
    assert_eq!(client.ask("hello").await, "hello");
    check(&seen, client.stream().local_addr().unwrap(), ("[2001:db8::1]:1", "[2001:db8::2]:2"));
    drop(client);
    server.stop().await.unwrap();
}
