//! Stopping: what runs is finished, who is idle is let go, nobody new comes in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unary_e2e::server::Signal;
use unary_e2e::{Client, PATIENCE, Server, eventually, serve};
use unary_testkit::TempDir;

/// More than sockets hold: it is not sent before its reader reads it.
const BIG: usize = 32 << 20;

fn site() -> TempDir {
    let folder = TempDir::with([("index.html", "a page")]);
    folder.write("big", vec![b'b'; BIG]);
    folder
}

/// A download that has begun, and goes on when it is read.
fn begin_download(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(client.head().expect("it answers").field("content-length"), Some(BIG.to_string().as_str()));
    client
}

#[track_caller]
fn lets_nobody_in(server: &Server) {
    eventually("new connections are refused", || Client::try_connect(server).is_err());
}

#[test]
fn a_download_is_finished_before_the_server_is() {
    let folder = site();
    let mut server = serve(folder.path()).start();
    let mut download = begin_download(&server);
    server.signal(Signal::TERM);
    lets_nobody_in(&server);
    assert!(download.take(BIG).expect("all of it comes").iter().all(|&byte| byte == b'b'));
    assert_eq!(download.rest().expect("it is closed then"), b"");
    assert_eq!(server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn idle_connections_are_let_go_after_a_grace() {
    let folder = site();
    let mut server = serve(folder.path()).start();
    let mut idle: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    idle.iter_mut().for_each(|client| drop(client.get("/")));
    // Not even a request yet.
    idle.push(Client::connect(&server));
    let told = Instant::now();
    server.signal(Signal::INT);
    for mut client in idle {
        assert_eq!(client.rest().expect("it is closed"), b"");
    }
    assert!(told.elapsed() >= Duration::from_millis(500), "a request may be on its way: {:?}", told.elapsed());
    assert_eq!(server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn a_request_on_its_way_is_answered_and_told_that_it_is_the_last() {
    let folder = site();
    let mut server = serve(folder.path()).start();
    let mut client = Client::connect(&server);
    assert_eq!(client.get("/").head.field("connection"), None);
    server.signal(Signal::TERM);
    lets_nobody_in(&server);
    let reply = client.get("/");
    assert_eq!((reply.text().as_str(), reply.head.field("connection")), ("a page", Some("close")));
    assert_eq!(client.rest().expect("it is closed"), b"");
    assert_eq!(server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn the_second_signal_stops_at_once() {
    let folder = site();
    let mut server = serve(folder.path()).start();
    let mut download = begin_download(&server);
    server.signal(Signal::TERM);
    lets_nobody_in(&server);
    let told = Instant::now();
    server.signal(Signal::TERM);
    server.ended(PATIENCE);
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(download.rest().expect("it is cut").len() < BIG);
}

#[test]
fn whoever_connected_before_the_signal_is_answered() {
    let folder = site();
    let mut server = serve(folder.path()).start();
    let told = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // A new connection for each request, until none is taken any more.
            scope.spawn(|| {
                while let Ok(mut client) = Client::try_connect(&server) {
                    let was_told = told.load(Ordering::SeqCst);
                    let asked = client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                    match asked.and_then(|()| client.reply()) {
                        Ok(reply) => assert_eq!(reply.text(), "a page"),
                        // It came into a backlog that was closed at that moment.
                        Err(_) if was_told => {}
                        Err(error) => panic!("it was let in, and not answered: {error}"),
                    }
                }
            });
        }
        let mut client = Client::connect(&server);
        for _ in 0..500 {
            client.get("/");
        }
        told.store(true, Ordering::SeqCst);
        server.signal(Signal::TERM);
    });
    assert_eq!(server.ended(PATIENCE).code(), Some(0));
}
