//! A server's HTTP/1.1 connection: the [`Protocol`] that `connect(h1())` runs, and, for peers that do not
//! open HTTP/2, `connect(http())`.
//!
//! Between requests a connection is a few hundred bytes: it waits for its socket holding neither
//! a buffer nor the room a call needs. What arrives makes it busy until everything read
//! has been answered.

mod busy;
mod receiving;
mod sending;
mod tools;
mod upgrade;

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::TryFutureExt;
use unary_net::pipeline::drain::Phase;
use unary_net::timer::{Ticks, Timer};
use unary_net::{Connection, Exchange, Protocol, Transport};
use unary_service::Error;
use unary_service::flow::Consumer;

use crate::h1::counters::Counters;
use crate::h1::head::HeadLimits;
use crate::{Request, Response};
use busy::{Busy, Outcome};
pub(crate) use tools::date;
pub use upgrade::Upgrade;
pub(crate) use upgrade::{Offer, offer};

/// The HTTP/1.1 server protocol with its default limits: `connect(h1())`.
pub fn h1() -> H1 {
    H1::default()
}

/// The HTTP/1.1 server protocol. Its requests and replies are [`Request`] and [`Response`].
#[derive(Clone, Debug)]
pub struct H1 {
    limits: Limits,
    times: Times,
    preface: Preface,
    counters: Arc<Counters>,
}

/// What becomes of a connection that opens with the preface of HTTP/2 (RFC 9113 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preface {
    /// It is answered 505.
    Refused,
    /// It is given back.
    HandedOver,
}

impl H1 {
    /// The same with other limits.
    pub fn limits(limits: Limits) -> Self {
        let limits = Limits { pipelined_max: limits.pipelined_max.max(1), ..limits };
        let times = Times {
            head: Ticks::of(limits.head_time_max),
            idle: Ticks::of(limits.idle_time_max),
            stall: Ticks::of(limits.stall_time_max),
            drain_grace: Ticks::of(limits.drain_grace),
        };
        Self { limits, times, preface: Preface::Refused, counters: Arc::default() }
    }

    /// The same, but what its connections meet with is counted here.
    pub fn counting(self, counters: Arc<Counters>) -> Self {
        Self { counters, ..self }
    }

    /// What its connections have met with so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

impl Default for H1 {
    fn default() -> Self {
        Self::limits(Limits::default())
    }
}

/// The limits on time as timers take them.
#[derive(Clone, Copy, Debug)]
struct Times {
    head: Ticks,
    idle: Ticks,
    stall: Ticks,
    drain_grace: Ticks,
}

/// Over how long the least body rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// What a peer may do, and how long it may take. The defaults are safe on the open internet. Times
/// are kept to half a second, never cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on a head's size: 431 or 414 beyond.
    pub head: HeadLimits,
    /// From a head's first byte to its last: 408 beyond. 10 s.
    pub head_time_max: Duration,
    /// From one exchange's end to the next one's first byte, after which the connection is closed.
    /// 60 s.
    pub idle_time_max: Duration,
    /// Bytes a second of a request's body, over 10 s in which the service waited for them: 408
    /// below. 500, which a modem manages.
    pub body_rate_min: u64,
    /// How long a peer may take none of its reply, after which the connection is cut. 30 s.
    pub stall_time_max: Duration,
    /// Pipelined requests under way at once, one at least; they run concurrently if all are safe.
    /// 16.
    pub pipelined_max: usize,
    /// How long an idle connection stays open once the server drains, lest a request already on
    /// its way be lost. 1 s.
    pub drain_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            head_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(60),
            body_rate_min: 500,
            stall_time_max: Duration::from_secs(30),
            pipelined_max: 16,
            drain_grace: Duration::from_secs(1),
        }
    }
}

/// How long and how much is read after the last reply when the peer may still be sending, so that
/// a reset does not destroy the reply before it is read (RFC 9112 §9.6).
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

impl<S: Transport> Protocol<Connection<S>> for H1 {
    type Request = Request;
    type Reply = Response;

    // A block and not an `async fn`, which would keep room for its arguments beside what becomes of
    // them: connections at rest are many.
    fn serve<D>(&self, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        serve_connection(self, connection, down).map_ok(|_| ())
    }
}

impl H1 {
    /// The same, but it gives a connection back that opens with the preface of HTTP/2: see
    /// [`serve_connection`].
    pub(crate) fn unless_h2(self) -> Self {
        Self { preface: Preface::HandedOver, ..self }
    }

    /// Serves one request after another; idle at the end means that no more came.
    async fn serve_requests<S, D>(&self, wire: &mut Wire<S>, down: &D) -> Result<Outcome, Error>
    where
        S: Transport,
        D: Consumer<Exchange<Request, Response>>,
    {
        loop {
            let input = match std::mem::take(&mut wire.connection.buffered) {
                buffered if !buffered.is_empty() => buffered,
                _ => match poll_fn(|task| wire.poll_idle(task, &self.times)).await? {
                    Some(input) => input,
                    None => return Ok(Outcome::Idle),
                },
            };
            // Boxed, so that a connection at rest does not keep the room of a call.
            match Box::pin(busy(wire, self, input, down)).await? {
                Outcome::Idle => {}
                outcome => return Ok(outcome),
            }
        }
    }
}

/// Serves a connection to its end, or gives it back, nothing consumed, if it opens with the preface of
/// HTTP/2 and `http`, which is borrowed or shared, was made to.
pub(crate) fn serve_connection<P, S, D>(
    http: P,
    connection: Connection<S>,
    down: &D,
) -> impl Future<Output = Result<Option<Connection<S>>, Error>> + Send
where
    P: Deref<Target = H1> + Send + Sync,
    S: Transport,
    D: Consumer<Exchange<Request, Response>>,
{
    let mut wire = Wire::new(connection);
    async move {
        match http.serve_requests(&mut wire, down).await? {
            Outcome::Idle | Outcome::Close => {}
            Outcome::Linger => Box::pin(wire.linger()).await?,
            Outcome::Upgrade(offer, left_over) => {
                wire.connection.buffered = left_over;
                offer.accept(wire.connection);
            }
            Outcome::Http2(input) => {
                wire.connection.buffered = input;
                return Ok(Some(wire.connection));
            }
        }
        Ok(None)
    }
}

/// Serves until everything that was read is answered.
async fn busy<S, D>(wire: &mut Wire<S>, http: &H1, input: BytesMut, down: &D) -> Result<Outcome, Error>
where
    S: Transport,
    D: Consumer<Exchange<Request, Response>>,
{
    let mut busy = Busy::new(wire, http, input);
    let mut calls = std::pin::pin!(unary_net::pipeline::Calls::default());
    let outcome = poll_fn(|task| busy.poll(task, calls.as_mut(), |exchange| down.accept(exchange))).await;
    busy.finish();
    outcome
}

/// What a connection keeps between requests.
struct Wire<S> {
    connection: Connection<S>,
    timer: Timer,
    waiting: Waiting,
    /// Requests so far: the next one's place on the connection.
    sequence: u32,
}

/// What the connection's timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    /// For the next request.
    Idle,
    /// The same, but the server is about to stop.
    Drained,
    /// For the rest of a head.
    Head,
    /// For a body.
    Body,
    /// For the peer to take its reply.
    Peer,
}

impl<S: Transport> Wire<S> {
    fn new(connection: Connection<S>) -> Self {
        Self { connection, timer: Timer::default(), waiting: Waiting::Nothing, sequence: 0 }
    }

    /// Waits for bytes. `None`: the connection is over.
    fn poll_idle(&mut self, task: &mut Context<'_>, times: &Times) -> Poll<Result<Option<BytesMut>, Error>> {
        if let Poll::Ready(read) = tools::poll_read(task, &mut self.connection.stream) {
            self.waiting = Waiting::Nothing;
            return Poll::Ready(Ok(Some(read?).filter(|read| !read.is_empty())));
        }
        match self.connection.watch.poll(task) {
            Phase::Serving => ready!(self.poll_waiting(task, Waiting::Idle, times.idle)),
            Phase::Draining => ready!(self.poll_waiting(task, Waiting::Drained, times.drain_grace)),
            Phase::Over => {}
        }
        Poll::Ready(Ok(None))
    }

    /// Ready once the connection has been waiting for the same thing for so long.
    fn poll_waiting(&mut self, task: &mut Context<'_>, waiting: Waiting, time: Ticks) -> Poll<()> {
        if self.waiting != waiting {
            self.waiting = waiting;
            self.timer.set(time);
        }
        self.timer.poll(task)
    }

    /// Lets the peer read the last reply before the connection closes.
    async fn linger(mut self) -> Result<(), Error> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let discard = async {
            self.connection.stream.shutdown().await?;
            let mut left = LINGER_BYTES_MAX;
            let mut bytes = [0; 4096];
            while left > 0 {
                match self.connection.stream.read(&mut bytes).await? {
                    0 => break,
                    length => left = left.saturating_sub(length),
                }
            }
            Ok(())
        };
        tokio::time::timeout(LINGER_TIME_MAX, discard).await.unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests;
