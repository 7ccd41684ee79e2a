//! Connections to one server, kept for the next call: a [`Service`] of requests.
//!
//! Connections rest where their event loop is, each loop's behind a lock of its own that nobody else
//! wants; only when all connections there may be are busy do loops wait for each other's. The
//! exchange itself is [`client`](super::client)'s affair, how to connect that of the service the pool
//! is made with ([`Dial`], or filters around it).

mod shelf;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use unary_net::{Address, Connection, Dial, Socket, Transport};
use unary_service::{Available, Error, Kind, Service, Status};

use super::client::{Exchange, Failure, Home, Limits};
use crate::{EarlyHints, Request, Response};
use shelf::Shelf;

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections at once, over all event loops. 1024.
    pub connections_max: usize,
    /// Connections that have left HTTP, as for WebSockets, which count no more among the others. Offers to
    /// leave it are refused while there are so many. 4096.
    pub tunnels_max: usize,
    /// Connections each event loop keeps at rest. 128.
    pub idle_max: usize,
    /// How long one rests before it is closed, to the second. 4 s: some servers keep them for 5 s, and
    /// one that the server closes first costs a call a second try, or fails it if it must not be repeated.
    pub idle_time_max: Duration,
    /// Calls that wait for a connection when all are busy. 1024.
    pub waiting_max: usize,
    /// How long they wait. 5 s.
    pub wait_time_max: Duration,
    /// What the server may do.
    pub limits: Limits,
    /// What becomes of its early hints. They are dropped.
    pub early_hints: EarlyHints,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            tunnels_max: 4096,
            idle_max: 128,
            idle_time_max: Duration::from_secs(4),
            waiting_max: 1024,
            wait_time_max: Duration::from_secs(5),
            limits: Limits::default(),
            early_hints: EarlyHints::Dropped,
        }
    }
}

/// A client of one server, which keeps its connections for the next call. Cheap to clone; all
/// clones are one.
///
/// A call is driven by whoever awaits it, and ends when its reply's body ends: then its connection is
/// kept. Dropping the call, or its reply's body before the end, closes the connection.
///
/// If a kept connection turns out to be closed before any byte of a reply has come, the request is
/// sent once more over a fresh one, provided that its method is idempotent, or nothing of it had
/// left, and its body can be sent again (RFC 9112 §9.3.1).
///
/// | [`Kind`] | when |
/// |---|---|
/// | [`Unavailable`](Kind::Unavailable) | the server cannot be reached: nothing was begun |
/// | [`Overloaded`](Kind::Overloaded) | all connections are busy and too many wait, or for too long; all tunnels are taken |
/// | [`Timeout`](Kind::Timeout) | it takes nothing of the request, or does not answer, for too long |
/// | [`Upstream`](Kind::Upstream) | what it sends makes no sense, or ends too early |
///
/// ```no_run
/// use unary_http::{Request, h1::pool::Pool};
/// use unary_service::Service;
///
/// # async fn ask() -> Result<(), unary_service::Error> {
/// let server = Pool::to("127.0.0.1:3000".parse().unwrap());
/// let mut request = Request::default();
/// *request.uri_mut() = "http://example.com/tea".parse().unwrap();
/// let reply = server.call(request).await?;
/// println!("{}", reply.status());
/// # Ok(()) }
/// ```
pub struct Pool<D = Dial, S = Socket>(Arc<Shelf<D, S>>);

impl Pool {
    /// A client of the server at this address, with the default bounds.
    pub fn to(address: Address) -> Self {
        Self::new(address, Dial::new(), Settings::default())
    }
}

impl<D, S> Pool<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    /// A client of the server at this address, reached through `dial`.
    pub fn new(address: Address, dial: D, settings: Settings) -> Self {
        Self(Shelf::new(address, dial, settings))
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.0.connections()
    }

    /// How many of them are at rest.
    pub fn idle(&self) -> usize {
        self.0.idle()
    }

    /// How many have left HTTP, or are about to.
    pub fn tunnels(&self) -> usize {
        self.0.tunnels()
    }

    fn failure(&self, failure: Failure) -> Error {
        match failure {
            Failure::Body(error) => error,
            Failure::Trouble(trouble) => trouble.with(self.0.name()),
            Failure::Lost { cause, .. } => {
                let step = format!("waiting for the reply of {}", self.0.name());
                let error = Error::new(Kind::Upstream, step);
                match cause {
                    Some(cause) => error.because(cause),
                    None => error.because("it closed the connection"),
                }
            }
        }
    }
}

impl<D, S> Service<Request> for Pool<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let shelf = &self.0;
        let mut exchange = Exchange::new(request, shelf.early_hints());
        let tunnel = exchange.offers_upgrade().then(|| shelf.tunnel()).transpose()?;
        let mut wire = match shelf.take_idle() {
            Some(wire) => wire,
            None => shelf.connect().await?,
        };
        let mut may_repeat = true;
        loop {
            exchange.begin(&mut wire);
            match poll_fn(|task| exchange.poll(task, &mut wire, shelf.bounds())).await {
                Ok(()) => return exchange.reply(wire, tunnel, shelf).map_err(|trouble| trouble.with(shelf.name())),
                Err(Failure::Lost { untouched, .. }) if may_repeat && wire.is_used() && exchange.again(untouched) => {
                    may_repeat = false;
                    drop(wire);
                    wire = shelf.connect().await?;
                }
                Err(failure) => return Err(self.failure(failure)),
            }
        }
    }
}

impl<D: Available, S> Available for Pool<D, S> {
    /// Busy while calls would have to wait for a connection.
    fn status(&self) -> Status {
        if self.0.is_full() { Status::Busy } else { self.0.dial().status() }
    }
}

impl<D, S> Clone for Pool<D, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D, S> fmt::Debug for Pool<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("server", &self.0.text()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
