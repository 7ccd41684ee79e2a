//! Sockets that come and go while a server runs on them, and those that outlive it.

use std::os::fd::OwnedFd;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use unary_net::event_loop::EventLoops;
use unary_net::{Address, Drain, Listen, Listener, Opened, Run, connect, listen, process, reply};
use unary_service::service_fn;
use unary_testkit::TempDir;

use crate::lines::Lines;
use crate::server::Client;

/// An echo in a thread of its own, on sockets that the test holds too.
struct Echo {
    listener: Listener,
    drain: Drain,
    running: JoinHandle<()>,
}

fn free_port(sockets_each: usize) -> Opened {
    Opened::open(&"127.0.0.1:0".parse().unwrap(), sockets_each).unwrap()
}

/// The same sockets once more, as another process would have them.
fn copy(opened: &Opened) -> Opened {
    let sockets: Vec<OwnedFd> = opened.sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();
    Opened { address: opened.address.clone(), sockets }
}

fn echo_on(opened: Vec<Opened>, loops: usize) -> Echo {
    let drain = Drain::new();
    let listener = Listener::adopt(opened, loops, &drain).unwrap();
    let on = Listen::from(listener.clone()).draining(drain.clone());
    let (say, said) = sync_channel(1);
    let running = std::thread::spawn(move || {
        let loops = EventLoops::new().threads(loops).ready(move |_| say.send(()).unwrap());
        let line = listen(on) >> connect(Lines) >> process(service_fn(async |line: String| Ok(line))) >> reply();
        line.run_on(loops).unwrap();
    });
    said.recv_timeout(Duration::from_secs(20)).unwrap();
    Echo { listener, drain, running }
}

impl Echo {
    fn stop(self) {
        self.drain.start();
        self.running.join().unwrap();
    }
}

async fn client_of(opened: &Opened) -> Client<TcpStream> {
    Client::new(TcpStream::connect(opened.addresses()[0].resolve().unwrap()[0]).await.unwrap())
}

/// All are answered, whichever socket the kernel chose for them.
async fn check(sockets: usize, loops: usize) {
    let opened = free_port(sockets);
    assert_eq!((opened.sockets.len(), opened.addresses().len()), (sockets, 1));
    let echo = echo_on(vec![copy(&opened)], loops);
    for number in 0..64 {
        let line = format!("number {number}");
        assert_eq!(client_of(&opened).await.ask(&line).await, line);
    }
    echo.stop();
}

#[tokio::test]
async fn every_socket_has_a_loop() {
    check(2, 2).await;
    check(5, 2).await;
}

#[tokio::test]
async fn every_loop_has_a_socket() {
    check(1, 2).await;
    check(2, 3).await;
}

#[test]
fn a_port_that_many_sockets_share_is_still_refused_to_others() {
    let opened = free_port(3);
    let refused = Opened::open(&opened.addresses()[0], 3).unwrap_err();
    assert!(refused.to_string().contains("another program listens there"), "{refused}");
    let refused = Listener::bind(&opened.addresses()).unwrap_err();
    assert!(refused.to_string().contains("another program listens there"), "{refused}");
}

#[test]
fn what_does_not_listen_is_refused() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let opened = Opened { address: "127.0.0.1:0".parse().unwrap(), sockets: vec![socket.into()] };
    Listener::adopt(vec![opened], 1, &Drain::new()).unwrap_err();
}

#[tokio::test]
async fn whoever_comes_between_two_servers_is_served_by_the_second() {
    let opened = free_port(2);
    echo_on(vec![copy(&opened)], 2).stop();
    let mut early = Vec::new();
    for _ in 0..16 {
        let mut client = client_of(&opened).await;
        client.say("hello\n").await;
        early.push(client);
    }
    let second = echo_on(vec![copy(&opened)], 2);
    for mut client in early {
        assert_eq!(client.hear().await, "hello");
    }
    second.stop();
}

#[tokio::test]
async fn an_address_is_opened_while_the_server_runs() {
    let folder = TempDir::new();
    let first = free_port(2);
    let echo = echo_on(vec![copy(&first)], 2);
    let second = free_port(2);
    echo.listener.open(copy(&second)).unwrap();
    let unix = Address::Unix(folder.join("echo.sock"));
    echo.listener.open(Opened::open(&unix, 2).unwrap()).unwrap();
    assert_eq!(client_of(&first).await.ask("hello").await, "hello");
    assert_eq!(client_of(&second).await.ask("hello").await, "hello");
    let mut client = Client::new(UnixStream::connect(folder.join("echo.sock")).await.unwrap());
    assert_eq!(client.ask("hello").await, "hello");
    drop(client);
    echo.stop();
    assert!(folder.join("echo.sock").exists(), "the path belongs to whoever opened the socket");
}

#[tokio::test]
async fn an_address_is_closed_while_the_server_runs() {
    let kept = free_port(2);
    // Only the server has these.
    let closed = free_port(2);
    let closed = Opened { address: closed.addresses()[0].clone(), sockets: closed.sockets };
    let address = closed.address.clone();
    let socket_address = address.resolve().unwrap()[0];
    let echo = echo_on(vec![copy(&kept), closed], 2);
    let mut idle = Client::new(TcpStream::connect(socket_address).await.unwrap());
    let mut stays = client_of(&kept).await;
    assert_eq!(idle.ask("hello").await, "hello");
    assert_eq!(stays.ask("hello").await, "hello");

    assert!(echo.listener.close(&address).is_some_and(|drain| drain.is_draining()));
    assert!(echo.listener.close(&address).is_none(), "it is closed already");
    assert_eq!(idle.rest().await, "", "it is let go");
    while TcpStream::connect(socket_address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stays.ask("still here").await, "still here");
    echo.stop();
}

#[tokio::test]
async fn whoever_is_queued_at_an_address_that_closes_is_served() {
    let closed = free_port(1);
    let address = closed.addresses()[0].clone();
    let drain = Drain::new();
    let opened = Opened { address: address.clone(), sockets: copy(&closed).sockets };
    let listener = Listener::adopt(vec![opened], 1, &drain).unwrap();
    let line = listen(Listen::from(listener.clone()).draining(drain.clone()))
        >> connect(Lines)
        >> process(service_fn(async |line: String| Ok(line)))
        >> reply();
    let running = tokio::spawn(line.drive());
    assert_eq!(client_of(&closed).await.ask("it runs").await, "it runs");
    // Not in the event loop of the server, which therefore does not know of them yet.
    let socket_address = address.resolve().unwrap()[0];
    let early = std::thread::spawn(move || std::net::TcpStream::connect(socket_address).unwrap()).join().unwrap();
    early.set_nonblocking(true).unwrap();
    listener.close(&address);
    let mut client = Client::new(TcpStream::from_std(early).unwrap());
    client.say("hello\n").await;
    assert_eq!(client.rest().await, "hello\n");
    drain.start();
    running.await.unwrap().unwrap();
}
