//! Conversations in memory, in virtual time: with the `h2` crate's client, or frame by frame with a peer
//! that means no good.

mod bodies;
mod draining;
mod floods;
mod limits;
mod refusals;
mod replies;
mod websockets;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use ::h2::client::SendRequest;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use unary_net::{Connection, Drain, Peer, connect, process, reply};
use unary_service::flow::{Consumer, Producer, line};
use unary_service::{Error, Service, service_fn};
use unary_testkit::settle;

use super::{Counters, H2, Limits};
use crate::message::text;
use crate::{Body, Request, Response};

/// How much the wire holds, each way, where it does not matter.
const ROOM: usize = 1 << 20;

/// A server about to start.
#[derive(Default)]
struct Server {
    limits: Limits,
    drain: Drain,
    websockets: bool,
}

/// What there is of one that has started.
struct Started {
    counters: Arc<Counters>,
    ended: JoinHandle<()>,
}

impl Server {
    fn start(self, near: DuplexStream, service: impl Service<Request, Reply = Response> + 'static) -> Started {
        let mut connection = Connection::new(near, Peer::new(None, None));
        connection.watch = self.drain.watch(connection.peer.number());
        let mut protocol = H2::limits(self.limits);
        if self.websockets {
            protocol = protocol.with_websockets();
        }
        let counters = protocol.counters().clone();
        let server = line(Once(connection)) >> connect(protocol) >> process(service) >> reply();
        let ended = tokio::spawn(async move { server.drive().await.expect("how a connection ends is no failure") });
        Started { counters, ended }
    }

    /// With a client that has shaken hands.
    async fn meet(self, service: impl Service<Request, Reply = Response> + 'static) -> Client {
        self.meet_client(::h2::client::Builder::new(), service).await
    }

    async fn meet_client(
        self,
        client: ::h2::client::Builder,
        service: impl Service<Request, Reply = Response> + 'static,
    ) -> Client {
        let (near, far) = duplex(ROOM);
        let started = self.start(near, service);
        let (requests, connection) = client.handshake(far).await.expect("the server speaks HTTP/2");
        Client { requests, started, closed: tokio::spawn(connection) }
    }
}

/// Produces one connection.
struct Once(Connection<DuplexStream>);

impl Producer for Once {
    type Item = Connection<DuplexStream>;

    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(self.0).await
    }
}

struct Client {
    requests: SendRequest<Bytes>,
    started: Started,
    /// How the connection ended, as the client sees it.
    closed: JoinHandle<Result<(), ::h2::Error>>,
}

/// A reply as far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    body: String,
    trailers: Option<HeaderMap>,
}

impl Client {
    /// Sends a request's head; the body is for the caller.
    async fn send(&mut self, head: http::Request<()>, ends: bool) -> (::h2::client::ResponseFuture, SendStream<Bytes>) {
        poll_fn(|task| self.requests.poll_ready(task)).await.expect("the connection is open");
        self.requests.send_request(head, ends).expect("the head is in order")
    }

    /// Sends a request without a body and waits for the whole reply.
    async fn get(&mut self, path: &str) -> Result<Got, ::h2::Error> {
        let (reply, _) = self.send(head(Method::GET, path), true).await;
        got(reply.await?).await
    }

    /// The same with a body.
    async fn post(&mut self, path: &str, body: &'static str) -> Result<Got, ::h2::Error> {
        let (reply, mut sender) = self.send(head(Method::POST, path), false).await;
        sender.send_data(body.into(), true)?;
        got(reply.await?).await
    }
}

fn head(method: Method, path: &str) -> http::Request<()> {
    http::Request::builder().method(method).uri(format!("http://a{path}")).body(()).unwrap()
}

async fn got(reply: http::Response<RecvStream>) -> Result<Got, ::h2::Error> {
    let status = reply.status().as_u16();
    let mut stream = reply.into_body();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Got { status, body: String::from_utf8_lossy(&body).into_owned(), trailers })
}

fn said(status: u16, body: &str) -> Got {
    Got { status, body: body.to_owned(), trailers: None }
}

/// Why a stream, or its connection, was given up.
fn reason<T: std::fmt::Debug>(result: Result<T, ::h2::Error>) -> Option<Reason> {
    result.expect_err("it was given up").reason()
}

/// What most conversations are held with.
fn site() -> impl Service<Request, Reply = Response> + Clone + 'static {
    service_fn(async |request: Request| {
        let path = request.uri().path().to_owned();
        let (page, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        match page {
            // Says what was asked for.
            "" => {
                let host = request.headers().get("host").map_or("nobody", |host| host.to_str().unwrap_or("?"));
                let cookie = request.headers().get("cookie").map_or("", |cookie| cookie.to_str().unwrap_or("?"));
                let (method, uri, version) = (request.method(), request.uri(), request.version());
                Ok(text(format!("{method} {uri} of {host} in {version:?}{cookie}")))
            }
            "slow" => {
                sleep(Duration::from_secs(rest.parse().unwrap_or(1))).await;
                Ok(text(path))
            }
            "echo" => Ok(text(request.into_body().collect(8 << 20).await?)),
            "stream" => Ok(Response::new(request.into_body())),
            "big" => Ok(text("b".repeat(rest.parse().unwrap_or(1 << 20)))),
            "status" => {
                let mut response = text("a body");
                *response.status_mut() = StatusCode::from_bytes(rest.as_bytes()).unwrap();
                Ok(response)
            }
            "fail" => Err(Error::overloaded("being asked")),
            other => panic!("there is no page {other}"),
        }
    })
}
