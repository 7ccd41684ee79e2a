//! One stream: its call, then its reply.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h2::server::SendResponse;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use unary_net::pipeline::Awaited;
use unary_net::timer::Ticks;
use unary_net::{Drain, Exchange, Peer};
use unary_service::context::RequestId;
use unary_service::{Error, Kind};

use super::counters::{Counters, count};
use super::discarding::Discarding;
use super::flood::FRAMES_PER_REPLY;
use super::receiving::Receipt;
use super::response::{is_interim, plan, take_head};
use super::sending::{Cut, Piece, Sending};
use super::websocket::{self, Asking, Open};
use super::wire::Gauge;
use crate::h1::head::Framing;
use crate::message::{failure, status};
use crate::{Body, Request, Response, early_hints, failed};

/// What all streams of a connection share.
pub(super) struct Shared {
    pub(super) peer: Peer,
    pub(super) drain: Drain,
    pub(super) stall: Ticks,
    pub(super) counters: Arc<Counters>,
    pub(super) gauge: Arc<Gauge>,
}

/// A request that was let in.
pub(super) struct Admitted {
    pub(super) request: Request,
    pub(super) asked: Asked,
}

/// What a reply depends on.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) id: RequestId,
    pub(super) respond: SendResponse<Piece>,
    /// The body that is arriving.
    pub(super) receipt: Option<Arc<Receipt>>,
    /// The peer waits for `100 Continue`.
    pub(super) expects_continue: bool,
    /// It asks for a WebSocket.
    pub(super) asking: Option<Box<Asking>>,
}

pin_project_lite::pin_project! {
    /// A place for a stream, used by one after the other.
    pub(super) struct Stream<F> {
        #[pin]
        call: Option<F>,
        awaited: Awaited<Response>,
        reply: Reply,
    }
}

enum Reply {
    Awaited(Asked),
    Sending(RequestId, Option<Arc<Receipt>>, Box<Sending>),
    /// All of it is on its way, but the request is not over.
    Discarding(Box<Discarding>),
    /// The stream is a WebSocket's, until that ends.
    Tunnel(Open),
    /// Nothing is left to do, or nobody wants it done.
    Over,
}

impl Reply {
    /// The reply is on its way: what is left is the body of its request, if the service dropped that.
    fn sent(receipt: Option<&Receipt>, shared: &Shared) -> Self {
        let unread = receipt.and_then(Receipt::take_unread);
        unread.map_or(Self::Over, |unread| Self::Discarding(Box::new(Discarding::new(unread, shared.stall))))
    }
}

impl<F> Default for Stream<F> {
    fn default() -> Self {
        Self { call: None, awaited: Awaited::default(), reply: Reply::Over }
    }
}

impl<F: Future<Output = Result<(), Error>>> Stream<F> {
    /// Begins a call.
    pub(super) fn begin(
        self: Pin<&mut Self>,
        Admitted { request, asked }: Admitted,
        start: impl FnOnce(Exchange<Request, Response>) -> F,
    ) {
        let mut this = self.project();
        let exchange = Exchange { request, slot: this.awaited.slot() };
        *this.reply = Reply::Awaited(asked);
        let called = catch_unwind(AssertUnwindSafe(|| this.call.set(Some(start(exchange)))));
        if let Err(panic) = called {
            say(Err(Error::panicked("answering a request", &*panic)));
        }
    }

    /// Runs as far as it goes. Ready once neither the call nor the reply has anything left to do.
    pub(super) fn poll(self: Pin<&mut Self>, task: &mut Context<'_>, shared: &Shared) -> Poll<()> {
        let mut this = self.project();
        if this.call.as_mut().as_pin_mut().is_some_and(|call| is_over(|| call.poll(task))) {
            this.call.set(None);
        }
        if let Reply::Awaited(asked) = this.reply {
            if early_hints::are_there() {
                asked.hint();
            }
            let answered = this.awaited.poll_with(task, |answer| asked.answer(answer, shared));
            match answered {
                Poll::Ready(reply) => *this.reply = reply,
                Poll::Pending => {
                    asked.poll_continue(task);
                    if asked.respond.poll_reset(task).is_ready() {
                        count(&shared.counters.resets);
                        *this.reply = Reply::Over;
                        this.call.set(None); // Nobody waits for the answer.
                    }
                }
            }
        }
        if let Reply::Sending(id, receipt, sending) = this.reply {
            *this.reply = match ready!(sending.poll(task, &shared.gauge)) {
                Ok(()) => Reply::sent(receipt.as_deref(), shared),
                Err(cut) => {
                    tell(cut, *id, shared);
                    Reply::Over
                }
            };
        }
        if let Reply::Discarding(discarding) = this.reply {
            ready!(discarding.poll(task));
            *this.reply = Reply::Over;
        }
        if let Reply::Tunnel(open) = this.reply {
            // Nothing is ever said there: it ends.
            let _ = ready!(Pin::new(open).poll(task));
            *this.reply = Reply::Over;
        }
        match (this.reply, this.call.is_none()) {
            (Reply::Over, true) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }
}

impl Asked {
    /// Refuses a request that is too large: no service hears of it.
    pub(super) fn refuse(mut self, refusal: StatusCode, shared: &Shared) {
        drop(self.answer(&mut Ok(status(refusal)), shared));
    }

    /// Begins the reply that a service's answer is.
    fn answer(&mut self, answer: &mut Result<Response, Error>, shared: &Shared) -> Reply {
        let too_slow = self.receipt.as_ref().is_some_and(|receipt| receipt.is_too_slow());
        match answer {
            Ok(response) => self.reply(response, shared),
            // The peer's slowness, and not ours.
            Err(error) if too_slow && error.kind() == Kind::Timeout => {
                tracing::debug!(id = %self.id, peer = ?shared.peer, "refused a request's body: it comes too slowly");
                self.reply(&mut status(StatusCode::REQUEST_TIMEOUT), shared)
            }
            Err(error) => {
                failed::log(self.id, &self.method, &shared.peer, error);
                self.reply(&mut failure(error), shared)
            }
        }
    }

    fn reply(&mut self, response: &mut Response, shared: &Shared) -> Reply {
        if let Some(asking) = self.asking.take_if(|asking| asking.is_taken_by(response)) {
            return self.open(*asking, response, shared);
        }
        if is_interim(response.status()) {
            tracing::error!(id = %self.id, status = %response.status(), "a service answered with a status it must not");
            *response = status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let framing = plan(&self.method, response);
        if self.expects_continue && framing != Framing::Empty {
            response.body_mut().begin(); // It may pass the request's body on, which is asked for only then.
            if self.receipt.as_ref().is_some_and(|receipt| receipt.is_wanted()) {
                self.tell_continue();
            }
        }
        shared.gauge.earn(FRAMES_PER_REPLY);
        let head = take_head(response);
        let sent = self.respond.send_response(head, framing == Framing::Empty);
        let mut stream = match sent {
            Ok(_) if framing == Framing::Empty => return Reply::sent(self.receipt.as_deref(), shared),
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(id = %self.id, peer = ?shared.peer, %error, "a reply came too late");
                return Reply::Over;
            }
        };
        let body = response.body_mut();
        if let Some(bytes) = whole(body, framing) {
            // Most replies end here, in what the windows have room for.
            stream.reserve_capacity(bytes.len());
            if stream.capacity() >= bytes.len() {
                body.took(bytes.len() as u64);
                if let Err(error) = stream.send_data(Piece::last(bytes, body), true) {
                    tracing::debug!(id = %self.id, peer = ?shared.peer, %error, "a reply came too late");
                }
                return Reply::sent(self.receipt.as_deref(), shared);
            }
        }
        let sending = Sending::new(stream, std::mem::take(body), framing, shared.stall);
        Reply::Sending(self.id, self.receipt.take(), Box::new(sending))
    }

    /// Lets the stream be a WebSocket's.
    fn open(&mut self, asking: Asking, response: &mut Response, shared: &Shared) -> Reply {
        websocket::accepted(response);
        shared.gauge.earn(FRAMES_PER_REPLY);
        match self.respond.send_response(take_head(response), false) {
            Ok(stream) => Reply::Tunnel(asking.open(stream, response.body_mut(), shared)),
            Err(error) => {
                tracing::debug!(id = %self.id, peer = ?shared.peer, %error, "a reply came too late");
                Reply::Over
            }
        }
    }

    /// Passes early hints on (RFC 8297).
    #[cold]
    fn hint(&mut self) {
        for links in early_hints::take(self.id) {
            // It fails where the stream is over, of which we hear elsewhere.
            let _ = self.respond.send_informational(interim(StatusCode::EARLY_HINTS, links));
        }
    }

    /// Tells a peer that waits for it that its body is wanted.
    fn poll_continue(&mut self, task: &mut Context<'_>) {
        if self.expects_continue && self.receipt.as_ref().is_some_and(|receipt| receipt.poll_wanted(task)) {
            self.tell_continue();
        }
    }

    fn tell_continue(&mut self) {
        if std::mem::take(&mut self.expects_continue) {
            // It fails where the stream is over, of which we hear elsewhere.
            let _ = self.respond.send_informational(interim(StatusCode::CONTINUE, HeaderMap::new()));
        }
    }
}

fn interim(status: StatusCode, headers: HeaderMap) -> http::Response<()> {
    let mut interim = http::Response::new(());
    (*interim.status_mut(), *interim.headers_mut()) = (status, headers);
    interim
}

/// A body that is all there.
fn whole(body: &Body, framing: Framing) -> Option<Bytes> {
    body.bytes().filter(|bytes| framing == Framing::Length(bytes.len() as u64)).cloned()
}

fn tell(cut: Cut, id: RequestId, shared: &Shared) {
    match cut {
        Cut::Reset => {
            tracing::debug!(%id, peer = ?shared.peer, "the peer gave up a reply");
            count(&shared.counters.resets);
        }
        Cut::Stalled => {
            tracing::debug!(%id, peer = ?shared.peer, "reset a stream: the peer takes nothing of its reply");
            count(&shared.counters.stalls);
        }
        Cut::Failed(error) => match failed::is_peers_doing(error.kind()) {
            true => tracing::debug!(%id, peer = ?shared.peer, %error, "reset a stream amid a reply"),
            false => tracing::error!(%id, peer = ?shared.peer, %error, "reset a stream amid a reply"),
        },
    }
}

/// Whether the call is over. Its failures have been answered through its slot; what is left to say is
/// for the log.
fn is_over(poll: impl FnOnce() -> Poll<Result<(), Error>>) -> bool {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Pending) => false,
        Ok(Poll::Ready(ended)) => say(ended),
        Err(panic) => say(Err(Error::panicked("answering a request", &*panic))),
    }
}

fn say(ended: Result<(), Error>) -> bool {
    match ended {
        Err(error) if error.kind() == Kind::Panicked => tracing::error!(%error, "a request's handler panicked"),
        Err(error) => tracing::warn!(%error, "a stage of the pipeline failed"),
        Ok(()) => {}
    }
    true
}
