//! What requests come to, in figures: [`Metrics`].
//!
//! A call ends when its reply's body ends, and is counted then. What is answered without waiting, from
//! memory, is over as soon as it is answered: it costs two looks at a coarse clock and a few additions
//! to counters that no other thread writes. A call that waits for anything is timed exactly, from when
//! it first waits.

mod figures;
mod thread;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Poll;

use http::{Method, StatusCode};
use http_body::Body as _;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use tokio::time::Instant;
use unary_http::{Request, Response, Source, message};
use unary_service::{Error, Filter, Lasting, Service};

pub use figures::{BOUNDS, Ended, Figures, Limit, MethodClass, Reading, Registry, StatusClass, Took};

/// A body in memory of that size leaves with its head, in one write or two: nobody waits for it. A call
/// with a larger one ends when that has been sent.
const AT_ONCE_BYTES_MAX: u64 = 16 * 1024;

/// Counts calls among these [`Figures`].
#[derive(Clone, Debug)]
pub struct Metrics {
    figures: Arc<Figures>,
}

impl Metrics {
    /// Counts among these, as other filters may, too.
    pub fn among(figures: Arc<Figures>) -> Self {
        Self { figures }
    }

    /// Counts a request for whose answer nobody is called.
    pub fn count(&self, request: &Request, reply: &Response) {
        self.figures.count(Asked::of(request).ended(reply), Took::default());
    }

    /// Counts what is read of the request's body, if it has one.
    fn receiving(&self, request: Request) -> Request {
        if request.body().is_end_stream() {
            return request;
        }
        let received = Received { figures: self.figures.clone(), bytes: Arc::default() };
        request.map(|body| body.counted(received.bytes.clone()).holding(received))
    }

    fn begin(&self, asked: Asked) -> Call {
        self.figures.begin();
        let ended = Ended { method: asked.method, status: StatusClass::None, limit: None, sent_bytes: 0 };
        Call { figures: self.figures.clone(), began: Instant::now(), ended, sent: None }
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Metrics {
    type Reply = Response;

    fn apply(&self, request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        let asked = Asked::of(&request);
        let begun = Coarse::now();
        let called = next.call(self.receiving(request));
        async move {
            let mut called = pin!(called);
            let (mut call, outcome) = match poll_fn(|task| Poll::Ready(called.as_mut().poll(task))).await {
                Poll::Ready(outcome) if is_over(&outcome) => {
                    self.figures.count(asked.outcome(&outcome), begun.elapsed());
                    return outcome;
                }
                Poll::Ready(outcome) => (self.begin(asked), outcome),
                // The call is dropped with this future, if the peer goes away.
                Poll::Pending => (self.begin(asked), called.await),
            };
            call.ended = asked.outcome(&outcome);
            if is_over(&outcome) { outcome } else { outcome.map(|reply| call.until_sent(reply)) }
        }
    }
}

/// Whether a call is over as soon as it is answered.
fn is_over(outcome: &Result<Response, Error>) -> bool {
    outcome.as_ref().map_or(true, |reply| {
        let body = reply.body();
        body.source() == Source::Memory && body.length().is_none_or(|length| length <= AT_ONCE_BYTES_MAX)
    })
}

/// What is to be known of a request.
#[derive(Clone, Copy)]
struct Asked {
    method: MethodClass,
    is_head: bool,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let method = request.method();
        Self { method: MethodClass::of(method), is_head: *method == Method::HEAD }
    }

    fn ended(self, reply: &Response) -> Ended {
        let (status, length) = (reply.status(), reply.body().length().unwrap_or(0));
        let sent_bytes = if self.is_head { 0 } else { length };
        Ended { method: self.method, status: StatusClass::of(status), limit: Limit::of(status), sent_bytes }
    }

    fn outcome(self, outcome: &Result<Response, Error>) -> Ended {
        match outcome {
            Ok(reply) => self.ended(reply),
            // What the peer sees then is the engine's own reply.
            Err(error) => self.ended(&message::failure(error)),
        }
    }
}

/// The body of a request. It may outlast its call, so that it counts for itself when it is dropped.
struct Received {
    figures: Arc<Figures>,
    bytes: Arc<AtomicU64>,
}

impl Drop for Received {
    fn drop(&mut self) {
        self.figures.received(self.bytes.load(Ordering::Relaxed));
    }
}

/// A call that takes its time. Dropping it ends it, however that comes about.
struct Call {
    figures: Arc<Figures>,
    began: Instant,
    ended: Ended,
    /// Bytes of the reply's body that were sent, once it is on its way.
    sent: Option<Arc<AtomicU64>>,
}

impl Call {
    /// Goes on until the reply's body has ended.
    fn until_sent(mut self, reply: Response) -> Response {
        let sent = self.sent.insert(Arc::default()).clone();
        reply.map(|body| body.counted(sent)).holding(self)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.ended.status == StatusClass::None && std::thread::panicking() {
            self.ended.status = StatusClass::of(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if let Some(sent) = &self.sent {
            self.ended.sent_bytes = sent.load(Ordering::Relaxed);
        }
        self.figures.end();
        self.figures.count(self.ended, Took::exactly(self.began.elapsed()));
    }
}

/// A time on the clock that the kernel sets forward with each tick, some milliseconds: several times
/// cheaper to look at than the exact one.
#[derive(Clone, Copy)]
struct Coarse(u64);

/// The tick.
static TICK_NS: LazyLock<u64> = LazyLock::new(|| nanoseconds(clock_getres(ClockId::MonotonicCoarse)));

impl Coarse {
    fn now() -> Self {
        Self(nanoseconds(clock_gettime(ClockId::MonotonicCoarse)))
    }

    /// Calls are far shorter than a tick, and few see one pass. These few make up for all others in the
    /// sum, and each took a tick less at least.
    fn elapsed(self) -> Took {
        let likely_ns = Self::now().0.saturating_sub(self.0);
        let least_ns = if likely_ns == 0 { 0 } else { likely_ns.saturating_sub(*TICK_NS) };
        Took { likely_ns, least_ns }
    }
}

fn nanoseconds(time: Timespec) -> u64 {
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec).wrapping_mul(1_000_000_000).wrapping_add(part(time.tv_nsec))
}

#[cfg(test)]
mod tests;
