//! What goes over a client's wire: conversations in memory, in virtual time.
//!
//! [`check`] makes one call, however the network may cut the answer; what depends on when things
//! happen is said step by step to a [`Server`].

mod bodies;
mod limits;
mod replies;
mod upgrades;

use std::panic::Location;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::Frame;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use unary_net::{Address, Connection, Peer};
use unary_service::{Available, Error, Service};
use unary_testkit::far_end::PATIENCE;
use unary_testkit::{FarEnd, cuts, far_end, settle};

use crate::h1::pool::{Pool, Settings};
use crate::{Body, Request, Response};

/// Connections in memory, whose far ends the test holds.
pub(in crate::h1) struct Dial {
    far_ends: Sender<FarEnd>,
    room: usize,
}

pub(in crate::h1) type TestPool = Pool<Dial, tokio::io::DuplexStream>;

impl Available for Dial {}

impl Service<Address> for Dial {
    type Reply = Connection<tokio::io::DuplexStream>;

    async fn call(&self, _: Address) -> Result<Self::Reply, Error> {
        let (near, far) = far_end(self.room);
        let refused = || Error::new(unary_service::Kind::Unavailable, "connecting to nobody");
        self.far_ends.try_send(far).map_err(|_| refused())?;
        Ok(Connection::new(near, Peer::new(None, None)))
    }
}

/// A pool, and the connections it makes: at most 8 that were not looked at.
pub(in crate::h1) fn pool(settings: Settings) -> (TestPool, Receiver<FarEnd>) {
    pool_with_room(settings, 1 << 20)
}

/// The same with wires that hold so many bytes each way.
pub(in crate::h1) fn pool_with_room(settings: Settings, room: usize) -> (TestPool, Receiver<FarEnd>) {
    let (far_ends, received) = channel(8);
    (Pool::new("there:80".parse().unwrap(), Dial { far_ends, room }, settings), received)
}

/// One call under way, and the server's end of its connection.
struct Server {
    far: FarEnd,
    pool: TestPool,
    call: JoinHandle<Result<Response, Error>>,
}

impl std::ops::Deref for Server {
    type Target = FarEnd;
    fn deref(&self) -> &FarEnd {
        &self.far
    }
}

impl std::ops::DerefMut for Server {
    fn deref_mut(&mut self) -> &mut FarEnd {
        &mut self.far
    }
}

impl Server {
    /// Begins a call on a wire with plenty of room.
    async fn of(request: Request) -> Self {
        Self::with(request, Settings::default(), 1 << 20).await
    }

    async fn with(request: Request, settings: Settings, room: usize) -> Self {
        let (pool, mut far_ends) = pool_with_room(settings, room);
        let own = pool.clone();
        let call = tokio::spawn(async move { own.call(request).await });
        let far = far_ends.recv().await.expect("it connects");
        Self { far, pool, call }
    }

    /// What comes of the call, once it is over: see [`told`].
    async fn outcome(self) -> String {
        let told = match self.call.await.expect("it does not panic") {
            Ok(response) => told(response).await,
            Err(error) => error.to_string(),
        };
        settle().await; // A task may have to end first.
        match self.pool.idle() {
            0 => told,
            _ => told + ", kept",
        }
    }
}

/// A reply as text: status, fields, body, trailers; or what kept it from being whole.
async fn told(response: Response) -> String {
    let (parts, mut body) = response.into_parts();
    let mut told = parts.status.as_str().to_owned();
    let fields = |headers: &HeaderMap| -> String {
        let field = |(name, value): (_, &http::HeaderValue)| format!(" {name}: {},", value.to_str().unwrap());
        headers.iter().map(field).collect()
    };
    told += &fields(&parts.headers);
    told += " \"";
    loop {
        let frame = std::future::poll_fn(|task| http_body::Body::poll_frame(std::pin::Pin::new(&mut body), task)).await;
        match frame.transpose().map(|frame| frame.map(Frame::into_data)) {
            Ok(Some(Ok(data))) => told += &String::from_utf8_lossy(&data),
            Ok(Some(Err(trailers))) => {
                return format!("{told}\" then{}", fields(&trailers.into_trailers().unwrap()).trim_end_matches(','));
            }
            Ok(None) => return told + "\"",
            Err(error) => return format!("{told}\" and {error}"),
        }
    }
}

/// How an answer ends.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// The server says nothing more.
    Wait,
    /// It closes.
    Close,
}

/// Makes a call: the server gets `sent` and answers with `answer`, however that is cut; `expected`
/// comes of it.
#[track_caller]
fn check(request: impl Fn() -> Request, sent: &str, answer: &str, expected: &str) -> impl Future<Output = ()> {
    check_then(request, sent, (answer, Then::Wait), expected)
}

#[track_caller]
fn check_then(
    request: impl Fn() -> Request,
    sent: &str,
    (answer, then): (&str, Then),
    expected: &str,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let hold = async |pieces: &[&[u8]]| {
            let mut server = Server::of(request()).await;
            server.expect(sent).await;
            for piece in pieces {
                server.send_some(piece, PATIENCE).await; // Or as much as is taken before the end.
                settle().await;
            }
            if then == Then::Close {
                server.half_close().await;
            }
            let outcome = server.outcome().await;
            let cut = pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
            assert!(outcome == expected, "at {caller}, in pieces of {cut:?} bytes:\n{outcome}\nexpected:\n{expected}");
        };
        hold(&[answer.as_bytes()]).await;
        for pieces in cuts(answer.as_bytes()) {
            hold(&pieces).await;
        }
        hold(&answer.as_bytes().chunks(1).collect::<Vec<_>>()).await;
    }
}

fn request(method: Method, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = "http://a/x".parse().unwrap();
    request
}

fn get() -> Request {
    request(Method::GET, ())
}

/// What is sent of [`get`].
const GET: &str = "GET /x HTTP/1.1\r\nhost: a\r\n\r\n";

/// A body the test gives out piece by piece; dropping the sender ends it.
pub(in crate::h1) fn piecemeal() -> (Sender<Result<Frame<Bytes>, Error>>, Body) {
    let (sender, receiver) = channel(1);
    (sender, Body::stream(Pieces(receiver)))
}

struct Pieces(Receiver<Result<Frame<Bytes>, Error>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        task: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(task)
    }
}

pub(in crate::h1) fn data(text: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}
