//! A server's HTTP/2 connection: frames in, calls, frames out, and its limits on time.

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker, ready};

use ::h2::server::{Builder, SendResponse};
use ::h2::{Ping, PingPong, Reason, RecvStream};
use http::StatusCode;
use unary_net::pipeline::Watch;
use unary_net::pipeline::drain::Phase;
use unary_net::timer::{Ticks, Timer};
use unary_net::{Connection, Exchange, Transport};
use unary_service::context::RequestId;
use unary_service::flow::Consumer;
use unary_service::{Context as CallContext, Error, Kind};

use super::alarm::Alarm;
use super::counters::count;
use super::receiving::Receiving;
use super::request::{Refusal, announced_length, expects_continue, translate};
use super::sending::{Piece, SEND_BUFFER_BYTES};
use super::stream::{Admitted, Asked, Shared};
use super::streams::Streams;
use super::wire::Wire;
use super::{H2, Websockets, websocket};
use crate::{Body, Request, Response};

/// How often a connection goes round between its frames and its streams before others get their turn.
const TURNS_MAX: usize = 16;

/// Streams that both sides have given up and that frames may still come for (RFC 9113 §5.4.2).
const RESET_STREAMS_KEPT: usize = 50;

type Frames<S> = ::h2::server::Connection<Wire<S>, Piece>;
type Accepted = (http::Request<RecvStream>, SendResponse<Piece>);

/// Serves a connection to its end. `protocol` is borrowed or shared.
pub(crate) async fn serve_connection<P, S, D>(protocol: P, mut connection: Connection<S>, down: &D) -> Result<(), Error>
where
    P: Deref<Target = H2> + Send + Sync,
    S: Transport,
    D: Consumer<Exchange<Request, Response>>,
{
    let protocol = &*protocol;
    count(&protocol.counters.connections);
    let buffered = std::mem::take(&mut connection.buffered);
    let (mut wire, mut timer) = (None, set(protocol.times.handshake));
    // What is left is what a connection is beside its bytes.
    let mut rest = connection.map(|stream| {
        wire = Some(Wire::new(stream, buffered, protocol.limits.unpaid_frames_max));
    });
    let Some((wire, gauge)) = wire else { return Ok(()) };
    let mut handshake = pin!(builder(protocol).handshake::<_, Piece>(wire));
    let frames = poll_fn(|task| {
        if let Poll::Ready(frames) = handshake.as_mut().poll(task) {
            return Poll::Ready(Some(frames));
        }
        if rest.watch.poll(task) < Phase::Over {
            ready!(timer.poll(task));
        }
        Poll::Ready(None)
    });
    let Some(frames) = frames.await else { return Ok(()) };
    let frames = frames.map_err(broken)?;
    timer.clear();
    let counters = protocol.counters.clone();
    let (peer, drain) = (rest.peer.clone(), rest.watch.drain.clone());
    let shared = Shared { peer, drain, stall: protocol.times.stall, counters, gauge };
    let alarm = Alarm::new();
    let mut busy = Busy {
        protocol,
        frames,
        shared,
        watch: &mut rest.watch,
        streams: Streams::new(alarm.streams.waker().clone()),
        alarm,
        accepted: Vec::new(),
        sequence: 0,
        going: Going::On,
        timer,
        waiting: Waiting::Nothing,
        written: 0,
        pinging: None,
    };
    poll_fn(|task| busy.poll(task, |exchange| down.accept(exchange))).await
}

fn builder(protocol: &H2) -> Builder {
    let limits = &protocol.limits;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams_max.max(1))
        .initial_window_size(limits.stream_window.min(WINDOW_MAX))
        .initial_connection_window_size(limits.connection_window.min(WINDOW_MAX))
        .max_header_list_size(u32::try_from(limits.head.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(RESET_STREAMS_KEPT)
        .max_pending_accept_reset_streams(limits.unseen_resets_max)
        .max_local_error_reset_streams(Some(limits.stream_errors_max));
    if protocol.websockets == Websockets::Taken {
        builder.enable_connect_protocol();
    }
    builder
}

/// The largest window there is (RFC 9113 §6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;

/// A connection at work.
struct Busy<'a, S: Transport, F> {
    protocol: &'a H2,
    frames: Frames<S>,
    shared: Shared,
    watch: &'a mut Watch,
    streams: Streams<F>,
    alarm: Alarm,
    /// What came in one turn: all of it is read before any of it is called, so that replies ready
    /// together leave together.
    accepted: Vec<Accepted>,
    sequence: u32,
    going: Going,
    timer: Timer,
    waiting: Waiting,
    /// Bytes the peer had taken when its patience was last tried.
    written: u64,
    pinging: Option<Pinging>,
}

/// How much longer the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Going {
    /// As long as the peer likes.
    On,
    /// Until what is under way is answered: the peer was told to begin nothing more (RFC 9113 §6.8).
    ToAnswers,
    /// Until the peer has been told why it ends at once.
    ToGoAway,
}

/// What the connection's timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    /// For the next request.
    Idle,
    /// The same, but the peer was told to go away.
    Drained,
    /// For the peer to take what is written.
    Peer,
}

impl<S, F> Busy<'_, S, F>
where
    S: Transport,
    F: Future<Output = Result<(), Error>>,
{
    /// Runs as far as it goes; ready once the connection is over.
    fn poll(
        &mut self,
        task: &mut Context<'_>,
        start: impl Fn(Exchange<Request, Response>) -> F,
    ) -> Poll<Result<(), Error>> {
        self.alarm.wake(task);
        for _ in 0..TURNS_MAX {
            if self.alarm.frames.take()
                && let Poll::Ready(ended) = self.poll_frames()
            {
                return Poll::Ready(ended);
            }
            self.call(&start);
            if self.alarm.streams.take() {
                self.streams.poll(&self.shared);
            }
            if !self.alarm.has_rung() && self.poll_deadlines(task).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if self.alarm.may_sleep() {
                return Poll::Pending;
            }
            self.alarm.wake(task);
        }
        self.alarm.may_sleep();
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads and writes what there is; ready once the connection is over.
    fn poll_frames(&mut self) -> Poll<Result<(), Error>> {
        loop {
            match self.frames.poll_accept(&mut Context::from_waker(self.alarm.frames.waker())) {
                Poll::Ready(Some(Ok(accepted))) => self.accepted.push(accepted),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.ended(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => match self.shared.gauge.fault().filter(|_| self.going != Going::ToGoAway) {
                    Some(reason) => self.refuse(reason),
                    None => return Poll::Pending,
                },
            }
        }
    }

    /// Tells the peer why the connection ends.
    #[cold]
    fn refuse(&mut self, reason: Reason) {
        let counters = &self.shared.counters;
        self.count(reason, if reason == Reason::ENHANCE_YOUR_CALM { &counters.floods } else { &counters.faults });
        self.going = Going::ToGoAway;
        self.frames.abrupt_shutdown(reason);
    }

    /// Counts a connection that ends by the peer's fault.
    fn count(&self, reason: Reason, counter: &AtomicU64) {
        tracing::debug!(peer = ?self.shared.peer, %reason, "closing a connection for what its peer sends");
        count(counter);
    }

    fn ended(&self, error: ::h2::Error) -> Result<(), Error> {
        match error.reason() {
            Some(Reason::NO_ERROR) => return Ok(()),
            Some(reason) if error.is_library() => {
                let counters = &self.shared.counters;
                // The `h2` crate does not say what there was too much of.
                let is_of_resets = self.shared.gauge.resets() > self.protocol.limits.unseen_resets_max as u64;
                let counter = match reason {
                    Reason::ENHANCE_YOUR_CALM if is_of_resets => &counters.rapid_resets,
                    Reason::ENHANCE_YOUR_CALM => &counters.floods,
                    _ => &counters.faults,
                };
                self.count(reason, counter);
            }
            _ => {}
        }
        Err(broken(error))
    }

    /// Calls the service with what came.
    fn call(&mut self, start: &impl Fn(Exchange<Request, Response>) -> F) {
        let mut accepted = std::mem::take(&mut self.accepted);
        for (request, respond) in accepted.drain(..) {
            if let Some(admitted) = self.admit(request, respond) {
                self.streams.start(admitted, &self.shared, start);
            }
        }
        self.accepted = accepted;
    }

    /// Makes a request of what came, or refuses it.
    fn admit(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Piece>) -> Option<Admitted> {
        let (mut head, stream) = request.into_parts();
        let id = RequestId { connection: self.shared.peer.number(), sequence: self.sequence };
        self.sequence = self.sequence.wrapping_add(1);
        let translated = translate(&mut head, &self.protocol.limits.head);
        let method = head.method.clone();
        let mut asked = Asked { method, id, respond, receipt: None, expects_continue: false, asking: None };
        if let Err(refusal) = translated {
            refusal.count(&self.shared.counters);
            tracing::debug!(peer = ?self.shared.peer, ?refusal, "refused a request");
            match refusal {
                Refusal::Malformed(_) => asked.respond.send_reset(Reason::PROTOCOL_ERROR),
                Refusal::TooLarge(status) | Refusal::Unsupported(status) => asked.refuse(status, &self.shared),
            }
            return None;
        }
        let protocol = head.extensions.remove::<::h2::ext::Protocol>();
        let body = match protocol {
            Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => {
                asked.asking = Some(Box::new(websocket::ask(&mut head, stream)));
                asked.method = head.method.clone();
                Body::empty()
            }
            // As RFC 9220 §3 has it, of which RFC 8441 says nothing.
            Some(_) => {
                count(&self.shared.counters.unsupported);
                asked.refuse(StatusCode::NOT_IMPLEMENTED, &self.shared);
                return None;
            }
            None if stream.is_end_stream() => Body::empty(),
            None => {
                let length = announced_length(&head.headers);
                let (body, receipt) = Receiving::new(stream, length, self.protocol.limits.body_rate_min);
                asked.receipt = Some(receipt);
                asked.expects_continue = expects_continue(&head.headers);
                Body::boxed(body)
            }
        };
        let context = CallContext { id, peer: Some(self.shared.peer.remote()), ..CallContext::default() };
        Some(Admitted { request: Request::from_parts(head, body.with_context(context)), asked })
    }

    /// Waits for whatever has to happen by some time. Ready: it did not, and the connection is over.
    fn poll_deadlines(&mut self, task: &mut Context<'_>) -> Poll<()> {
        match self.watch.poll(task) {
            Phase::Serving => {}
            Phase::Draining => self.go_away(),
            Phase::Over => return Poll::Ready(()),
        }
        let times = self.protocol.times;
        if self.shared.gauge.is_blocked() {
            if self.written != self.shared.gauge.written() {
                self.written = self.shared.gauge.written();
                self.waiting = Waiting::Nothing; // It took some: its time begins anew.
            }
            ready!(self.poll_waiting(task, Waiting::Peer, times.stall));
            tracing::debug!(peer = ?self.shared.peer, "cut a connection: the peer takes nothing");
            count(&self.shared.counters.stalls);
            return Poll::Ready(());
        }
        if self.streams.len() > 0 {
            self.waiting = Waiting::Nothing;
            self.timer.clear();
            return self.poll_silence(task);
        }
        if self.going == Going::On {
            ready!(self.poll_waiting(task, Waiting::Idle, times.idle));
            self.go_away();
        }
        self.poll_waiting(task, Waiting::Drained, times.drain_grace)
    }

    /// Ready once the connection has been waiting for the same thing for so long.
    fn poll_waiting(&mut self, task: &mut Context<'_>, waiting: Waiting, time: Ticks) -> Poll<()> {
        if self.waiting != waiting {
            self.waiting = waiting;
            self.timer.set(time);
        }
        self.timer.poll(task)
    }

    /// Ready once a peer with requests under way has not even answered a PING.
    fn poll_silence(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some(every) = self.protocol.times.ping else { return Poll::Pending };
        if self.pinging.is_none() {
            self.pinging =
                self.frames.ping_pong().map(|pings| Pinging { pings, timer: set(every), read: 0, asked: false });
        }
        let Some(pinging) = &mut self.pinging else { return Poll::Pending };
        while pinging.timer.poll(task).is_ready() {
            pinging.timer.set(every);
            if pinging.read != self.shared.gauge.read() {
                (pinging.read, pinging.asked) = (self.shared.gauge.read(), false);
            } else if pinging.asked {
                tracing::debug!(peer = ?self.shared.peer, "cut a connection: the peer does not answer");
                return Poll::Ready(());
            } else {
                // The answer to the last one, if it is still there, makes way for this one.
                let _ = pinging.pings.poll_pong(&mut Context::from_waker(Waker::noop()));
                pinging.asked = pinging.pings.send_ping(Ping::opaque()).is_ok();
                self.alarm.frames.ring();
            }
        }
        Poll::Pending
    }

    /// Tells the peer to begin nothing more. It is answered what it had begun by the time it knows.
    fn go_away(&mut self) {
        if self.going == Going::On {
            self.going = Going::ToAnswers;
            count(&self.shared.counters.farewells);
            self.frames.graceful_shutdown();
            self.alarm.frames.ring();
        }
    }
}

/// Finds out whether a silent peer is there.
struct Pinging {
    pings: PingPong,
    timer: Timer,
    /// Bytes read when it was last looked.
    read: u64,
    /// It was sent a PING since.
    asked: bool,
}

fn set(time: Ticks) -> Timer {
    let mut timer = Timer::default();
    timer.set(time);
    timer
}

/// How a connection ended that was not to end.
fn broken(error: ::h2::Error) -> Error {
    match error.is_io() {
        true => error.into_io().map_or_else(|| Error::closed("speaking HTTP/2"), Error::from),
        false => Error::new(Kind::Invalid, "speaking HTTP/2").because(error),
    }
}
