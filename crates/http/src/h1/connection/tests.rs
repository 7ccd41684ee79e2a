//! What goes over the wire: conversations in memory, in virtual time.
//!
//! [`check`] holds a conversation however the network may cut it; what depends on when things
//! happen is said step by step to a [`Client`].

mod bodies;
mod counts;
mod draining;
mod failures;
mod files;
mod leaving;
mod limits;
mod order;
mod refusals;
mod replies;

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body as _, Frame};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};
use unary_net::{Connection, Drain, Exchange, Peer, Protocol, Transport, connect, process, reply};
use unary_service::flow::{Consumer, Producer, Transducer, line};
use unary_service::{BoxService, Error, Kind, Lasting, Service, service_fn};
use unary_testkit::far_end::PATIENCE;
use unary_testkit::{FarEnd, cuts, far_end, pairs_of_cuts, settle};

use super::{H1, Limits};
use crate::{Body, Request, Response};

/// Input longer than this is cut once at a time, not twice.
const CUT_TWICE_BYTES_MAX: usize = 48;

/// Holds a conversation with [`site`]: all of `sent`, then the client's half-close; the server's
/// whole answer is `expected`, however `sent` is cut.
#[track_caller]
fn check(sent: impl AsRef<[u8]>, expected: impl AsRef<str>) -> impl Future<Output = ()> {
    check_with(site, sent, expected)
}

/// The same with other services than [`site`].
#[track_caller]
fn check_with<S>(service: impl Fn() -> S, sent: impl AsRef<[u8]>, expected: impl AsRef<str>) -> impl Future<Output = ()>
where
    S: Service<Request, Reply = Response> + 'static,
{
    let caller = Location::caller();
    async move {
        let (sent, expected) = (sent.as_ref(), expected.as_ref());
        let check = async |pieces: &[&[u8]]| {
            let mut client = serve(service());
            for piece in pieces {
                client.send_some(piece, PATIENCE).await; // Or as much as is taken before the end.
                settle().await;
            }
            client.half_close().await;
            let answer = client.receive_to_end().await;
            let cut = pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
            assert_same(&answer, expected, &format!("sent in pieces of {cut:?} bytes"), caller);
        };
        check(&[sent]).await;
        for pieces in cuts(sent) {
            check(&pieces).await;
        }
        if sent.len() <= CUT_TWICE_BYTES_MAX {
            for pieces in pairs_of_cuts(sent) {
                check(&pieces).await;
            }
        }
        check(&sent.chunks(1).collect::<Vec<_>>()).await;
    }
}

/// A client of a server with default limits and a roomy wire.
fn serve(service: impl Service<Request, Reply = Response> + 'static) -> Client {
    Server::default().start(service)
}

/// A server about to start on one end of a wire.
struct Server {
    limits: Limits,
    drain: Drain,
    /// How many bytes the wire holds, each way.
    room: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self { limits: Limits::default(), drain: Drain::new(), room: 1 << 20 }
    }
}

impl Server {
    fn start(self, service: impl Service<Request, Reply = Response> + 'static) -> Client {
        self.start_over(|near| near, service)
    }

    /// The same over the transport that `make` makes of the wire's end.
    fn start_over<S: Transport + Sync>(
        self,
        make: impl FnOnce(DuplexStream) -> S,
        service: impl Service<Request, Reply = Response> + 'static,
    ) -> Client {
        let (near, far) = far_end(self.room);
        let connection = self.connection(make(near));
        let server = line(Once(connection)) >> connect(H1::limits(self.limits)) >> process(service) >> reply();
        tokio::spawn(server.drive());
        Client(far)
    }

    fn connection<S>(&self, near: S) -> Connection<S> {
        let mut connection = Connection::new(near, Peer::new(None, None));
        connection.watch = self.drain.watch(connection.peer.number());
        connection
    }
}

/// Produces one connection.
struct Once<S>(Connection<S>);

impl<S: Transport + Sync> Producer for Once<S> {
    type Item = Connection<S>;

    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(self.0).await
    }
}

/// The far end, which knows that dates differ.
struct Client(FarEnd);

impl Client {
    /// Receives exactly this next. `date: now` stands for the date.
    #[track_caller]
    fn expect(&mut self, expected: impl AsRef<str>) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let expected = expected.as_ref();
            let dates = expected.matches("date: now\r\n").count();
            let length = expected.len() + dates * (DATE_BYTES - "now".len());
            let received = self.0.take(length, PATIENCE).await;
            assert_same(&received, expected, "", caller);
        }
    }

    /// Sends all of it and receives exactly this.
    #[track_caller]
    fn ask(&mut self, sent: impl AsRef<[u8]>, expected: impl AsRef<str>) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            self.send(sent).await;
            let expected = expected.as_ref();
            let dates = expected.matches("date: now\r\n").count();
            let length = expected.len() + dates * (DATE_BYTES - "now".len());
            let received = self.0.take(length, PATIENCE).await;
            assert_same(&received, expected, "", caller);
        }
    }
}

impl Deref for Client {
    type Target = FarEnd;
    fn deref(&self) -> &FarEnd {
        &self.0
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut FarEnd {
        &mut self.0
    }
}

const DATE_BYTES: usize = 29;

fn assert_same(received: &[u8], expected: &str, how: &str, caller: &Location<'_>) {
    let received = undated(received);
    assert!(received == expected, "at {caller}, {how}\nreceived:\n{received}\nexpected:\n{expected}\n");
}

/// Every valid date line as `date: now`.
fn undated(received: &[u8]) -> String {
    let text = String::from_utf8_lossy(received).into_owned();
    let lines = text.split_inclusive("\r\n").map(|line| match line.strip_prefix("date: ") {
        Some(date) if date.len() == DATE_BYTES + 2 && httpdate::parse_http_date(date.trim_end()).is_ok() => {
            "date: now\r\n"
        }
        _ => line,
    });
    lines.collect()
}

/// A reply of [`site`] that lets the connection live.
fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ndate: now\r\n\r\n{body}", body.len())
}

/// The same, the connection's last.
fn last(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\ndate: now\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// How the engine itself refuses a request: with the status in words, and for good.
fn refusal(status: &str) -> String {
    let length = status.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\
         date: now\r\nconnection: close\r\n\r\n{status}\n"
    )
}

/// How a service's failure is told.
fn failure(status: &str) -> String {
    let length = status.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         content-length: {length}\r\ndate: now\r\n\r\n{status}\n"
    )
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Bytes of the reply to `GET /big`: more than is copied behind a head.
const BIG: usize = 100 * 1024;

/// What most conversations are held with.
fn site() -> impl Service<Request, Reply = Response> + Clone + 'static {
    service_fn(async |request: Request| {
        let path = request.uri().path().to_owned();
        let (page, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        match page {
            // Says what was asked for.
            "" => {
                let (parts, _) = request.into_parts();
                let host = parts.headers.get("host").map_or("nobody", |host| host.to_str().unwrap_or("?"));
                body(format!("{} {} of {host} in {:?}", parts.method, parts.uri, parts.version))
            }
            "slow" => {
                sleep(Duration::from_secs(rest.parse().unwrap_or(1))).await;
                body(path)
            }
            "echo" => {
                let bytes = request.into_body().collect(1 << 20).await?;
                Ok(Response::new(bytes.into()))
            }
            "stream" => Ok(Response::new(request.into_body())),
            // Answers without a look at the body.
            "ignore" => body("ignored"),
            "big" => body("b".repeat(BIG)),
            "close" => {
                let mut response = body("closing")?;
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                Ok(response)
            }
            "status" => {
                let mut response = body("a body")?;
                *response.status_mut() = rest.parse().map_err(|_| Error::invalid("reading a status"))?;
                Ok(response)
            }
            other => panic!("there is no page {other}"),
        }
    })
}

/// Answers the first request with this, and the others with `after`.
fn first(response: Response) -> impl Service<Request, Reply = Response> + 'static {
    let response = Mutex::new(Some(response));
    service_fn(move |_: Request| {
        let response = response.lock().expect("no panic while the lock is held").take();
        std::future::ready(Ok(response.unwrap_or_else(|| Response::new("after".into()))))
    })
}

fn body(body: impl Into<Body>) -> Result<Response, Error> {
    Ok(Response::new(body.into()))
}

/// A body fed by the test, piece by piece; it ends when the sender is dropped.
fn piped() -> (mpsc::Sender<Piece>, Body) {
    let (sender, receiver) = mpsc::channel(1024);
    (sender, Body::stream(Piped { receiver, length: None }))
}

/// A body of these pieces, all there from the start.
fn pieces(pieces: impl IntoIterator<Item = Piece>) -> Body {
    let (sender, body) = piped();
    pieces.into_iter().for_each(|piece| sender.try_send(piece).expect("few pieces"));
    body
}

fn data(bytes: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))
}

fn trailers(name: &'static str, value: &'static str) -> Piece {
    Ok(Frame::trailers(HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])))
}

type Piece = Result<Frame<Bytes>, Error>;

struct Piped {
    receiver: mpsc::Receiver<Piece>,
    length: Option<u64>,
}

impl http_body::Body for Piped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.receiver.poll_recv(task)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(Default::default, http_body::SizeHint::with_exact)
    }
}
