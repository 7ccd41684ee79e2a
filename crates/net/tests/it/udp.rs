//! The line over datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use unary_net::event_loop::EventLoops;
use unary_net::udp::Dropped;
use unary_net::{Drain, ListenUdp, Run, UdpListener, connect, listen_udp, process, reply};
use unary_service::{Error, Service, service_fn};

use crate::lines::Lines;
use crate::server::soon;

struct Server {
    address: SocketAddr,
    drain: Drain,
    dropped: Dropped,
    running: JoinHandle<Result<(), Error>>,
}

fn start_at(address: &str, datagrams_max: usize, service: impl Service<String, Reply = String> + 'static) -> Server {
    let listener = UdpListener::bind(&[address.parse().unwrap()]).unwrap();
    let address = listener.addresses()[0].resolve().unwrap()[0];
    let drain = Drain::new();
    let on = ListenUdp::from(listener).draining(drain.clone()).datagrams_max(datagrams_max);
    let dropped = on.dropped();
    let line = listen_udp(on) >> connect(Lines) >> process(service) >> reply();
    Server { address, drain, dropped, running: tokio::spawn(line.drive()) }
}

fn start(service: impl Service<String, Reply = String> + 'static) -> Server {
    start_at("127.0.0.1:0", 64, service)
}

impl Server {
    async fn client(&self) -> UdpSocket {
        client_of(self.address).await
    }

    async fn stop(self) {
        self.drain.start();
        soon(self.running).await.unwrap().unwrap();
    }
}

/// A client that hears only whom it talks to.
async fn client_of(address: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(address).await.unwrap();
    client
}

async fn hear(client: &UdpSocket) -> String {
    let mut bytes = vec![0; 65_536];
    let length = soon(client.recv(&mut bytes)).await.unwrap();
    String::from_utf8(bytes[..length].to_vec()).unwrap()
}

async fn ask(client: &UdpSocket, datagram: &str) -> String {
    client.send(datagram.as_bytes()).await.unwrap();
    hear(client).await
}

fn shouting() -> impl Service<String, Reply = String> {
    service_fn(async |line: String| match line.as_str() {
        "fail" => Err(Error::internal("shouting")),
        "panic" => panic!("as the test told it to"),
        "long" => Ok("x".repeat(60_000)),
        _ => Ok(line.to_uppercase()),
    })
}

#[tokio::test]
async fn one_datagram_is_answered_by_one() {
    let server = start(shouting());
    let client = server.client().await;
    assert_eq!(ask(&client, "one\n").await, "ONE\n");
    assert_eq!(ask(&client, "one\ntwo\nthree\n").await, "ONE\nTWO\nTHREE\n");
    assert_eq!(ask(&client, "one\nfail\nthree\n").await, "ONE\nsorry: failed\nTHREE\n");
    assert_eq!(ask(&client, "whole\nbroken").await, "WHOLE\n");
    server.stop().await;
}

#[tokio::test]
async fn a_panic_costs_one_message() {
    let server = start(shouting());
    let client = server.client().await;
    let heard = ask(&client, "one\npanic\nthree\n").await;
    assert!(heard.starts_with("ONE\nsorry: ") && heard.ends_with("\nTHREE\n"), "{heard}");
    server.stop().await;
}

#[tokio::test]
async fn replies_end_where_the_datagram_does() {
    let server = start(shouting());
    let client = server.client().await;
    let heard = ask(&client, "long\nshort\nlong\nshort\n").await;
    assert_eq!(heard.len(), 60_001 + 6);
    assert_eq!(ask(&client, "next\n").await, "NEXT\n");
    server.stop().await;
}

#[tokio::test]
async fn replies_come_from_the_address_that_was_asked() {
    for (everywhere, asked) in [("0.0.0.0:0", "127.0.0.2"), (":0", "127.0.0.3"), ("[::]:0", "127.0.0.4")] {
        let server = start_at(everywhere, 64, shouting());
        let client = client_of((asked.parse::<std::net::IpAddr>().unwrap(), server.address.port()).into()).await;
        assert_eq!(ask(&client, "hello\n").await, "HELLO\n", "{everywhere}");
        server.stop().await;
    }
}

#[tokio::test]
async fn what_is_too_much_at_once_is_dropped_and_counted() {
    let (go, begun): (Arc<Notify>, Arc<Notify>) = Default::default();
    let (going, beginning) = (go.clone(), begun.clone());
    let service = service_fn(move |line: String| {
        let (go, begun) = (going.clone(), beginning.clone());
        async move {
            begun.notify_one();
            go.notified().await;
            Ok(line)
        }
    });
    let server = start_at("127.0.0.1:0", 2, service);
    let client = server.client().await;
    for line in ["one\n", "two\n"] {
        client.send(line.as_bytes()).await.unwrap();
        begun.notified().await;
    }
    client.send(b"three\n").await.unwrap();
    while server.dropped.count() == 0 {
        tokio::task::yield_now().await;
    }
    // Both were under way at the same time, and both are answered.
    go.notify_one();
    go.notify_one();
    let mut heard = [hear(&client).await, hear(&client).await];
    heard.sort();
    assert_eq!(heard, ["one\n", "two\n"]);
    assert_eq!(server.dropped.count(), 1);
    server.stop().await;
}

#[tokio::test]
async fn draining_answers_what_has_arrived() {
    let server = start(shouting());
    let client = server.client().await;
    assert_eq!(ask(&client, "before\n").await, "BEFORE\n");
    let late = client.into_std().unwrap();
    late.send(b"queued\n").unwrap(); // The server's event loop has not looked since.
    server.stop().await;
    let late = UdpSocket::from_std(late).unwrap();
    assert_eq!(hear(&late).await, "QUEUED\n");
    late.send(b"after\n").await.unwrap();
    let refused = soon(late.recv(&mut [0; 9])).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_port_in_use_is_refused() {
    let server = start(shouting());
    let taken = UdpListener::bind(&[server.address.into()]).unwrap_err();
    assert!(taken.to_string().contains("another program listens there"), "{taken}");
    let unix = UdpListener::bind(&["unix:/run/datagrams".parse().unwrap()]).unwrap_err();
    assert!(unix.to_string().contains("datagrams come over UDP only"), "{unix}");
    server.stop().await;
}

#[tokio::test]
async fn every_event_loop_answers() {
    let drain = Drain::new();
    let on = ListenUdp::from("127.0.0.1:0").draining(drain.clone());
    let (say, said) = sync_channel(1);
    let running = std::thread::spawn(move || {
        let name = service_fn(async |_: String| Ok(std::thread::current().name().unwrap_or("first").to_owned()));
        let loops = EventLoops::new().threads(2).ready(move |addresses| say.send(addresses[0].clone()).unwrap());
        (listen_udp(on) >> connect(Lines) >> process(name) >> reply()).run_on(loops).unwrap();
    });
    let address = said.recv_timeout(Duration::from_secs(20)).unwrap().resolve().unwrap()[0];
    let mut names = std::collections::BTreeSet::new();
    // The kernel spreads peers by their ports: that one loop gets none of these has odds of 2⁻¹²⁷.
    for _ in 0..128 {
        names.insert(ask(&client_of(address).await, "who are you?\n").await);
    }
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["first\n", "loop-1\n"]);
    drain.start();
    running.join().unwrap();
}
