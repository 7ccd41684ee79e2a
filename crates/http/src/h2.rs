//! HTTP/2 (RFC 9113): the [`Protocol`] that `connect(h2())` runs, and `connect(http())` for peers that
//! open it.
//!
//! Frames, HPACK and stream states are the `h2` crate's. What is here is what it leaves to a server:
//! requests and replies as the rest of this crate has them (`request`, `response`), the calls of all
//! streams inside the connection's task (`streams`, `stream`), bodies that arrive and leave as fast as
//! the slower side wants (`receiving`, `sending`), time limits and draining (`connection`), the errors
//! that it does not tell apart (`frames`), and the floods that it does not bound (`flood`).
//!
//! A service sees no difference to HTTP/1.1 but the version: the target is a path, `Host` is there,
//! `Cookie` is one field.

mod alarm;
mod connection;
mod counters;
mod discarding;
mod flood;
mod frames;
mod receiving;
mod request;
mod response;
mod sending;
mod stream;
mod streams;
mod trailers;
mod websocket;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use unary_net::timer::Ticks;
use unary_net::{Connection, Exchange, Protocol, Transport};
use unary_service::Error;
use unary_service::flow::Consumer;

use crate::h1::head::HeadLimits;
use crate::{Request, Response};
pub(crate) use connection::serve_connection;
pub use counters::{Counters, Counts};

/// The HTTP/2 server protocol with its default limits: `connect(h2())`, for peers that are known to
/// speak it.
pub fn h2() -> H2 {
    H2::default()
}

/// The HTTP/2 server protocol. Its requests and replies are [`Request`] and [`Response`].
#[derive(Clone, Debug)]
pub struct H2 {
    limits: Limits,
    times: Times,
    websockets: Websockets,
    counters: Arc<Counters>,
}

/// Whether WebSockets may come by extended CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Websockets {
    Refused,
    Taken,
}

impl H2 {
    /// The same with other limits.
    pub fn limits(limits: Limits) -> Self {
        let times = Times {
            handshake: Ticks::of(limits.handshake_time_max),
            idle: Ticks::of(limits.idle_time_max),
            stall: Ticks::of(limits.stall_time_max),
            drain_grace: Ticks::of(limits.drain_grace),
            ping: limits.ping_every.map(Ticks::of),
        };
        Self { limits, times, websockets: Websockets::Refused, counters: Arc::default() }
    }

    /// The same, but WebSockets may come by it, by extended CONNECT (RFC 8441). A service sees what it would
    /// by HTTP/1.1: `GET`, `Upgrade: websocket`, and an [`Upgrade`](crate::h1::connection::Upgrade).
    pub fn with_websockets(self) -> Self {
        Self { websockets: Websockets::Taken, ..self }
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

impl Default for H2 {
    fn default() -> Self {
        Self::limits(Limits::default())
    }
}

/// The limits on time as timers take them.
#[derive(Clone, Copy, Debug)]
struct Times {
    handshake: Ticks,
    idle: Ticks,
    stall: Ticks,
    drain_grace: Ticks,
    ping: Option<Ticks>,
}

/// What a peer may do, and how long it may take. The defaults are safe on the open internet. Times
/// are kept to half a second, never cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on a head's size: 431 or 414 beyond. Its bytes are counted as RFC 9113 §6.5.2 does, 32
    /// more for each field; of a head four times as long not even the rest is read, and the connection
    /// is closed. Trailers are held to the same bounds.
    pub head: HeadLimits,
    /// Requests under way at once, one at least; more are refused (RFC 9113 §5.1.2), unprocessed, so that
    /// the peer may try again. 100, the least that RFC 9113 §6.5.2 recommends.
    pub streams_max: u32,
    /// Bytes of one request's body that a peer may send before the service takes any. 256 KiB.
    pub stream_window: u32,
    /// The same of all requests of a connection together, which is what a peer can make us hold of
    /// bodies. 1 MiB.
    pub connection_window: u32,
    /// From the connection's beginning to the end of the peer's preface, after which it is closed.
    /// 10 s.
    pub handshake_time_max: Duration,
    /// From one request's end to the next one's head, while none is under way, after which the
    /// connection is closed. 60 s.
    pub idle_time_max: Duration,
    /// Bytes a second of a request's body, over 10 s in which the service waited for them: 408 below.
    /// 500, which a modem manages.
    pub body_rate_min: u64,
    /// How long a peer may take none of a reply's body, after which its stream is reset, or nothing at
    /// all, after which the connection is cut. 30 s.
    pub stall_time_max: Duration,
    /// How long an idle connection stays open once it was told to go away, lest a request already on
    /// its way be lost. 1 s.
    pub drain_grace: Duration,
    /// How often a silent peer is sent a PING while requests are under way; one that does not answer
    /// before the next is due is gone. Never, unless told: TCP finds out too.
    pub ping_every: Option<Duration>,
    /// Frames in a row that ask for work and pay for none: resets, settings, pings, priorities, window
    /// updates, empty data, heads that are not answered. A reply pays for four of them, a piece of one for
    /// two, 32 bytes written for one, and so does a fiftieth of a second. 2,000, beyond which the connection
    /// is closed (`ENHANCE_YOUR_CALM`).
    pub unpaid_frames_max: u32,
    /// Requests that the peer took back before they were looked at, at once: more is an attack
    /// (CVE-2023-44487). 20.
    pub unseen_resets_max: usize,
    /// Requests that we have to reset for their errors, in a connection's life. 1,024.
    pub stream_errors_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            streams_max: 100,
            stream_window: 256 << 10,
            connection_window: 1 << 20,
            handshake_time_max: Duration::from_secs(10),
            idle_time_max: Duration::from_secs(60),
            body_rate_min: 500,
            stall_time_max: Duration::from_secs(30),
            drain_grace: Duration::from_secs(1),
            ping_every: None,
            unpaid_frames_max: 2000,
            unseen_resets_max: 20,
            stream_errors_max: 1024,
        }
    }
}

impl<S: Transport> Protocol<Connection<S>> for H2 {
    type Request = Request;
    type Reply = Response;

    fn serve<D>(&self, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        serve_connection(self, connection, down)
    }
}

#[cfg(test)]
mod tests;
