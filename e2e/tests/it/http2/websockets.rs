//! WebSockets over HTTP/2 (RFC 8441), through `proxy` to a server that knows HTTP/1.1 alone.

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::thread;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use tokio::net::TcpStream;
use unary_e2e::{Server, eventually, run_config};
use unary_testkit::TempDir;

/// `hello`, in a frame of a client whose mask changes nothing, and of a server (RFC 6455 §5.2).
const SAID: &[u8] = b"\x81\x85\0\0\0\0hello";
const HEARD: &[u8] = b"\x81\x05hello";
/// The same of a normal end: status 1000.
const CLOSES: &[u8] = b"\x88\x82\0\0\0\0\x03\xe8";
const CLOSED: &[u8] = b"\x88\x02\x03\xe8";

/// A server of WebSockets that repeats what it hears.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let Ok(mut socket) = tungstenite::accept(stream) else { return };
                while let Ok(message) = socket.read() {
                    if message.is_text() && socket.send(message).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A server whose `server` block says this besides, in front of [`echo`].
fn proxy(lines: &str) -> (TempDir, Server) {
    proxy_behind("", lines)
}

/// The same with these filters before it.
fn proxy_behind(filters: &str, lines: &str) -> (TempDir, Server) {
    let folder = TempDir::new();
    let state = folder.join("state");
    let server = format!("server {{\nlisten \"127.0.0.1:0\"\nadmin off\nstate \"{}\"\n{lines}\n}}\n", state.display());
    let site = format!("site \"*\" {{\nroute {{\n{filters}\nproxy \"http://{}\"\n}}\n}}\n", echo());
    folder.write("unary.kdl", server + &site);
    let started = run_config(folder.join("unary.kdl"), 1).start();
    (folder, started)
}

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.address()).await.expect("it listens");
    let (mut requests, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    // Its settings are there when it has answered something.
    let asked = Request::get("http://a.test/").body(()).expect("it is one");
    let (reply, _) = requests.send_request(asked, true).expect("the connection is open");
    assert!(reply.await.is_ok());
    requests
}

fn ask(requests: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let asked = Request::connect("http://a.test/chat").header("sec-websocket-version", "13");
    let asked = asked.extension(Protocol::from_static("websocket")).body(()).expect("it is one");
    requests.send_request(asked, false).expect("the connection is open")
}

#[track_caller]
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(unary_e2e::PATIENCE, future).await.expect("it takes too long") })
}

/// Reads so many bytes.
async fn read(stream: &mut RecvStream, length: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < length {
        let data = stream.data().await.expect("more comes").expect("nobody gives it up");
        stream.flow_control().release_capacity(data.len()).expect("it came");
        heard.extend_from_slice(&data);
    }
    heard
}

#[test]
fn a_websocket_passes_where_it_may() {
    let (_folder, server) = proxy("http2 websockets=#true");
    block_on(async {
        let mut requests = connect(&server).await;
        assert!(requests.is_extended_connect_protocol_enabled());
        for _ in 0..2 {
            let (reply, mut sender) = ask(&mut requests);
            let reply = reply.await.expect("it answers");
            assert_eq!(reply.status(), 200);
            assert!(!reply.headers().contains_key("sec-websocket-accept"), "{reply:?}");
            let mut stream = reply.into_body();
            for _ in 0..100 {
                sender.send_data(SAID.into(), false).expect("the stream is open");
                assert_eq!(read(&mut stream, HEARD.len()).await, HEARD);
            }
            sender.send_data(CLOSES.into(), true).expect("the stream is open");
            assert_eq!(read(&mut stream, CLOSED.len()).await, CLOSED);
            while let Some(data) = stream.data().await {
                assert!(data.expect("it is no reset").is_empty(), "both have ended");
            }
        }
    });
}

#[test]
fn a_websocket_is_refused_unless_told() {
    let (_folder, server) = proxy("");
    block_on(async {
        let mut requests = connect(&server).await;
        assert!(!requests.is_extended_connect_protocol_enabled());
        let (reply, _sender) = ask(&mut requests);
        assert_eq!(reply.await.expect_err("it is refused").reason(), Some(Reason::PROTOCOL_ERROR));
        poll_fn(|task| requests.poll_ready(task)).await.expect("the connection goes on");
    });
}

#[test]
fn a_websocket_is_a_call_until_it_ends() {
    let (folder, server) = proxy_behind("in-flight 2", "http2 websockets=#true\naccess-log \"access.log\"");
    let log = || std::fs::read_to_string(folder.join("access.log")).unwrap_or_default();
    let stream = std::net::TcpStream::connect(server.address()).expect("it listens");
    let (mut socket, _) = tungstenite::client("ws://a.test/one", stream).expect("it is taken");
    block_on(async {
        let mut requests = connect(&server).await;
        let (reply, mut sender) = ask(&mut requests);
        let mut stream = reply.await.expect("it answers").into_body();
        sender.send_data(SAID.into(), false).expect("the stream is open");
        assert_eq!(read(&mut stream, HEARD.len()).await, HEARD);
        let asked = Request::get("http://a.test/").body(()).expect("it is one");
        let (reply, _) = requests.send_request(asked, true).expect("the connection is open");
        assert_eq!(reply.await.expect("it answers").status(), 503, "both places are taken");
    });
    socket.send("hello".into()).expect("it is open");
    assert_eq!(socket.read().expect("it answers").into_text().expect("it is text"), "hello");
    let line_of = |path: &str| {
        let path = format!("\"{path}\"");
        log().lines().find(|line| line.contains(&path)).map(str::to_owned)
    };
    eventually("the end of the one is logged", || line_of("/chat").is_some());
    assert_eq!(line_of("/one"), None);
    drop(socket);
    eventually("the end of the other is logged", || line_of("/one").is_some());
    for line in ["/one", "/chat"].map(line_of) {
        let line = line.expect("it is there");
        assert!(line.contains("\"status\":101") && line.contains("\"bytes\":7"), "{line}");
    }
}
