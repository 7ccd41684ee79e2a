//! A request's body that is arriving: read by the service straight from its stream.
//!
//! What the service takes makes room for as much again (RFC 9113 §5.2), so that a peer is never
//! further ahead than the windows of [`Limits`](super::Limits).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ::h2::{Reason, RecvStream};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use unary_net::timer::{Ticks, Timer};
use unary_service::{Error, Kind};

use super::trailers::only_allowed;

/// Over how long the least body rate is measured.
const RATE_WINDOW: Duration = Duration::from_secs(10);

pub(super) struct Receiving {
    /// There until this is dropped.
    stream: Option<RecvStream>,
    /// Bytes to come, if the head told.
    left: Option<u64>,
    part: Part,
    rate_min: u64,
    pace: Pace,
    receipt: Arc<Receipt>,
}

/// What the service's end of a body tells the connection's.
#[derive(Debug, Default)]
pub(super) struct Receipt {
    wanted: AtomicBool,
    too_slow: AtomicBool,
    unread: Mutex<Option<RecvStream>>,
    connection: AtomicWaker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Data,
    Trailers,
    Over,
}

/// How fast bytes come while they are waited for.
#[derive(Default)]
struct Pace {
    received: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Timer,
}

impl Receiving {
    /// A body of `length` bytes, if that is known, that is to come at `rate_min` bytes a second.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, rate_min: u64) -> (Self, Arc<Receipt>) {
        let receipt = Arc::new(Receipt::default());
        let pace = Pace::default();
        (
            Self { stream: Some(stream), left: length, part: Part::Data, rate_min, pace, receipt: receipt.clone() },
            receipt,
        )
    }

    fn poll_part(&mut self, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ::h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        if self.part == Part::Data {
            match ready!(stream.poll_data(task)) {
                Some(Ok(data)) => {
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.pace.received += data.len() as u64;
                    // It fails only where more is given back than came.
                    let _ = stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.part = Part::Trailers,
            }
        }
        if self.part == Part::Trailers {
            let trailers = ready!(stream.poll_trailers(task))?;
            self.part = Part::Over;
            if let Some(trailers) = trailers.map(only_allowed).filter(|trailers| !trailers.is_empty()) {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
        }
        Poll::Ready(None)
    }
}

impl http_body::Body for Receiving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.part == Part::Over {
            return Poll::Ready(None);
        }
        match this.poll_part(task) {
            Poll::Ready(Some(Err(error))) => {
                this.part = Part::Over;
                Poll::Ready(Some(Err(lost(error))))
            }
            Poll::Ready(frame) => {
                this.pace.arrived();
                Poll::Ready(frame.and_then(Result::ok).map(Ok))
            }
            Poll::Pending => {
                this.receipt.want();
                ready!(this.pace.poll_too_slow(task, this.rate_min));
                this.part = Part::Over;
                this.receipt.too_slow.store(true, Ordering::Release);
                Poll::Ready(Some(Err(Error::timeout("reading a body: the peer sends too slowly"))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let ended = || self.stream.as_ref().is_none_or(RecvStream::is_end_stream);
        self.part == Part::Over || (self.part == Part::Data && ended())
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let unread = self.stream.take().filter(|stream| self.part == Part::Data && !stream.is_end_stream());
        *self.receipt.unread.lock().expect("no panic while the lock is held") = unread;
    }
}

impl Receipt {
    /// The rest of a body that the service dropped.
    pub(super) fn take_unread(&self) -> Option<RecvStream> {
        self.unread.lock().expect("no panic while the lock is held").take()
    }

    /// Whether the service waits, or has waited, for the body. The task is woken when it first does.
    pub(super) fn poll_wanted(&self, task: &mut Context<'_>) -> bool {
        self.connection.register(task.waker());
        self.is_wanted()
    }

    /// The same as of now.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// Whether the body was given up, as it came too slowly.
    pub(super) fn is_too_slow(&self) -> bool {
        self.too_slow.load(Ordering::Acquire)
    }

    fn want(&self) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.connection.wake();
        }
    }
}

impl Pace {
    fn arrived(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
            self.timer.clear();
        }
    }

    /// Ready if what came while it was waited for was too little.
    fn poll_too_slow(&mut self, task: &mut Context<'_>, rate_min: u64) -> Poll<()> {
        let now = Instant::now();
        let waited = self.waited + (now - *self.waiting_since.get_or_insert(now));
        let mut left = RATE_WINDOW.saturating_sub(waited);
        if left.is_zero() {
            if std::mem::take(&mut self.received) < rate_min.saturating_mul(RATE_WINDOW.as_secs()) {
                return Poll::Ready(());
            }
            (self.waited, self.waiting_since, left) = (Duration::ZERO, Some(now), RATE_WINDOW);
        }
        // The body may be in the hands of another task by now.
        self.timer.hand_over();
        self.timer.set(Ticks::of(left));
        self.timer.poll(task)
    }
}

fn lost(error: ::h2::Error) -> Error {
    let ours = error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    match ours {
        true => Error::new(Kind::Invalid, "reading a body: the peer's frames make no sense").because(error),
        false => Error::closed("reading a body: the peer gave it up").because(error),
    }
}
