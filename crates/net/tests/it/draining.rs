//! Stopping: what is running finishes, nobody new is let in, and the deadline is kept.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;
use unary_net::event_loop::EventLoops;
use unary_net::{Address, Drain, Listen, Listener, Run, connect, listen, process, reply};
use unary_service::{Service, service_fn};

use crate::lines::Lines;
use crate::server::{Client, Server, start};

/// Answers `wait` once it is told to, and anything else at once.
fn waiting(go: &Arc<Notify>, begun: &Arc<Notify>) -> impl Service<String, Reply = String> + use<> {
    let (go, begun) = (go.clone(), begun.clone());
    service_fn(move |line: String| {
        let (go, begun) = (go.clone(), begun.clone());
        async move {
            if line == "wait" {
                begun.notify_one();
                go.notified().await;
            }
            Ok(line)
        }
    })
}

fn slow_server(go: &Arc<Notify>, begun: &Arc<Notify>) -> Server {
    start(|on| listen(on) >> connect(Lines) >> process(waiting(go, begun)) >> reply())
}

/// Waits until nobody listens there any more.
async fn closed_to_newcomers(server: &Server) {
    loop {
        match TcpStream::connect(server.socket_address()).await {
            Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => return,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn what_is_running_finishes() {
    let (go, begun) = Default::default();
    let server = slow_server(&go, &begun);
    let mut client = server.connect().await;
    client.say("wait\n").await;
    begun.notified().await;
    server.drain.start();
    closed_to_newcomers(&server).await;
    go.notify_one();
    assert_eq!(client.rest().await, "wait\n");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_grace() {
    let server = slow_server(&Arc::default(), &Arc::default());
    let mut client = server.connect().await;
    assert_eq!(client.ask("hello").await, "hello");
    server.drain.start();
    assert_eq!(client.ask("one more").await, "one more");
    assert_eq!(client.rest().await, "");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn who_is_in_the_backlog_is_served() {
    let server = slow_server(&Arc::default(), &Arc::default());
    let address = server.socket_address();
    // Not in the event loop of the server, which therefore does not know of them yet.
    let early = std::thread::spawn(move || std::net::TcpStream::connect(address).unwrap()).join().unwrap();
    early.set_nonblocking(true).unwrap();
    let mut client = Client::new(TcpStream::from_std(early).unwrap());
    client.say("hello\n").await;
    server.drain.start();
    assert_eq!(client.rest().await, "hello\n");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn the_deadline_ends_the_wait() {
    let (go, begun) = Default::default();
    let server = slow_server(&go, &begun);
    let mut client = server.connect().await;
    client.say("wait\n").await;
    begun.notified().await;
    server.drain.start();
    tokio::time::pause();
    server.drain.expire();
    server.ended().await.unwrap();
}

/// Runs an echo on two event loops, as a program would, in a thread of its own.
fn run_on_two_loops(
    drain: &Drain,
    service: impl Service<String, Reply = String> + 'static,
) -> (Address, std::thread::JoinHandle<()>) {
    let listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let on = Listen::from(listener).draining(drain.clone());
    let (say, said) = sync_channel(1);
    let running = std::thread::spawn(move || {
        let loops = EventLoops::new().threads(2).ready(move |addresses| say.send(addresses[0].clone()).unwrap());
        let line = listen(on) >> connect(Lines) >> process(service) >> reply();
        line.run_on(loops).unwrap();
    });
    (said.recv_timeout(Duration::from_secs(20)).unwrap(), running)
}

async fn client_of(address: &Address) -> Client<TcpStream> {
    Client::new(TcpStream::connect(address.resolve().unwrap()[0]).await.unwrap())
}

#[tokio::test]
async fn two_loops_drain_together() {
    let drain = Drain::new();
    let (address, running) = run_on_two_loops(&drain, service_fn(async |line: String| Ok(line)));
    let mut clients = Vec::new();
    for number in 0..32 {
        let mut client = client_of(&address).await;
        let line = format!("number {number}");
        assert_eq!(client.ask(&line).await, line);
        clients.push(client);
    }
    drain.start();
    for client in clients {
        assert_eq!(client.rest().await, "");
    }
    running.join().unwrap();
    assert!(TcpStream::connect(address.resolve().unwrap()[0]).await.is_err());
}

#[tokio::test]
async fn the_deadline_cuts_what_is_left_on_all_loops() {
    let (go, begun) = Default::default();
    let drain = Drain::new();
    let (address, running) = run_on_two_loops(&drain, waiting(&go, &begun));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = client_of(&address).await;
        client.say("wait\n").await;
        begun.notified().await;
        clients.push(client);
    }
    drain.expire();
    for client in clients {
        assert_eq!(client.rest().await, "");
    }
    running.join().unwrap();
}

#[tokio::test]
async fn what_hangs_behind_a_queue_does_not_outlast_the_deadline() {
    let (go, begun) = Default::default();
    let drain = Drain::new();
    let listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
    let address = listener.addresses()[0].clone();
    let on = Listen::from(listener).draining(drain.clone());
    let line = (listen(on) >> connect(Lines)).queue(4).fork(4) >> process(waiting(&go, &begun)) >> reply();
    let running = std::thread::spawn(move || line.run_on(EventLoops::new().threads(2).ready(|_| {})).unwrap());
    let mut client = client_of(&address).await;
    client.say("wait\n").await;
    begun.notified().await;
    drain.start();
    drain.expire();
    tokio::task::spawn_blocking(|| running.join().unwrap()).await.unwrap();
}
