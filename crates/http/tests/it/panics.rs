//! Services that panic, over real sockets: it costs their request, is said, and nobody else notices.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tracing::subscriber::{DefaultGuard, set_default};
use unary_http::message::text;
use unary_http::{Request, http};
use unary_net::{Address, Drain, Listen, Listener, connect, listen, process, reply};
use unary_service::service_fn;

/// What should be at once: a test that is stuck says so.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is said in this thread, which has the event loop.
struct Log {
    lines: Lines,
    _until: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        Self { lines, _until: set_default(subscriber) }
    }

    /// The panic is said once, and as an error.
    #[track_caller]
    fn check_says(&self, what: &str) {
        let bytes = self.lines.0.lock().unwrap().clone();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().filter(|line| line.contains(what)).collect();
        assert_eq!(lines.len(), 1, "{what}: {text}");
        assert!(lines[0].contains("ERROR"), "{}", lines[0]);
    }
}

/// A server in this test's event loop: `/at-once` panics before there is a future, `/later` in it, `/held`
/// waits for `release`.
async fn start(release: Arc<Notify>) -> SocketAddr {
    let app = service_fn(move |request: Request| {
        let (path, release) = (request.uri().path().to_owned(), release.clone());
        assert_ne!(path, "/at-once", "out of milk");
        async move {
            tokio::task::yield_now().await;
            assert_ne!(path, "/later", "out of tea");
            if path == "/held" {
                release.notified().await;
            }
            Ok(text(path))
        }
    });
    let address: Address = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&[address]).unwrap();
    let bound = listener.addresses()[0].resolve().unwrap()[0];
    let line = listen(Listen::from(listener).draining(Drain::new())) >> connect(http()) >> process(app) >> reply();
    tokio::spawn(line.drive());
    bound
}

/// Asks over HTTP/1.1: the reply's status and body.
async fn ask(stream: &mut TcpStream, path: &str) -> (u16, String) {
    let asking = async {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        receive(stream).await
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{path} is not answered"))
}

async fn receive(stream: &mut TcpStream) -> (u16, String) {
    let mut read = String::new();
    loop {
        if let Some((head, body)) = read.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.expect("a length").parse().unwrap();
            if body.len() == length {
                return (head[9..12].parse().unwrap(), body.to_owned());
            }
        }
        let mut bytes = [0; 1024];
        let length = stream.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "the connection ended: {read}");
        read.push_str(str::from_utf8(&bytes[..length]).unwrap());
    }
}

#[tokio::test]
async fn over_http_1_1_a_panic_is_a_500_and_a_line_and_all_others_go_on() {
    for (path, says) in [("/later", "out of tea"), ("/at-once", "out of milk")] {
        let (log, release) = (Log::start(), Arc::new(Notify::new()));
        let address = start(release.clone()).await;
        let (mut unlucky, mut witness) = (connect_to(address).await, connect_to(address).await);
        witness.write_all(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert_eq!(ask(&mut unlucky, "/before").await, (200, "/before".to_owned()));
        assert_eq!(ask(&mut unlucky, path).await.0, 500);
        log.check_says(says);
        assert_eq!(ask(&mut unlucky, "/after").await, (200, "/after".to_owned()), "on the same connection");
        release.notify_one();
        let held = tokio::time::timeout(PATIENCE, receive(&mut witness)).await.unwrap();
        assert_eq!(held, (200, "/held".to_owned()), "on another");
        assert_eq!(ask(&mut connect_to(address).await, "/new").await, (200, "/new".to_owned()));
    }
}

#[tokio::test]
async fn over_http_2_a_panic_is_a_500_and_a_line_and_all_others_go_on() {
    for (path, says) in [("/later", "out of tea"), ("/at-once", "out of milk")] {
        let (log, release) = (Log::start(), Arc::new(Notify::new()));
        let address = start(release.clone()).await;
        let (mut requests, connection) = h2::client::handshake(connect_to(address).await).await.unwrap();
        tokio::spawn(connection);
        let held = ask_h2(&mut requests, "/held").await;
        assert_eq!(answer(ask_h2(&mut requests, path).await).await.0, 500);
        log.check_says(says);
        assert_eq!(answer(ask_h2(&mut requests, "/after").await).await, (200, "/after".to_owned()));
        release.notify_one();
        assert_eq!(answer(held).await, (200, "/held".to_owned()), "a stream beside it");
        assert_eq!(ask(&mut connect_to(address).await, "/new").await, (200, "/new".to_owned()));
    }
}

async fn connect_to(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("it listens")
}

async fn ask_h2(requests: &mut h2::client::SendRequest<Bytes>, path: &str) -> h2::client::ResponseFuture {
    poll_fn(|task| requests.poll_ready(task)).await.expect("the connection is open");
    let head = ::http::Request::builder().uri(format!("http://a{path}")).body(()).unwrap();
    requests.send_request(head, true).expect("the head is in order").0
}

async fn answer(reply: h2::client::ResponseFuture) -> (u16, String) {
    let reply = tokio::time::timeout(PATIENCE, reply).await.expect("it is answered").unwrap();
    let status = reply.status().as_u16();
    let (mut stream, mut body) = (reply.into_body(), Vec::new());
    while let Some(data) = stream.data().await {
        body.extend_from_slice(&data.unwrap());
    }
    (status, String::from_utf8(body).unwrap())
}
