//! The limit on calls at once: refuse the rest, or let a few wait a little.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::Either;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::{Error, Filter, Lasting, Service, Status};

const STEP: &str = "taking a place among the calls in flight";

/// Lets so many calls be in flight at once.
///
/// A call is in flight until its reply's body has ended ([`Lasting::holding`]); one that is
/// cancelled gives its place, or its place in the queue, back. What is refused fails with
/// [`Kind::Overloaded`](crate::Kind::Overloaded) and was not begun. The filter is
/// [`Status::Busy`] while a call would have to wait or be refused.
///
/// Clones share the places, so one limit can stand before several services, and a clone kept
/// aside tells how it is going.
///
/// ```
/// use unary_service::{Compose, Service, filter::in_flight::InFlight, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let limit = InFlight::refuse(100);
/// let server = limit.clone().and_then(service_fn(async |n: u32| Ok(n * 2)));
/// assert_eq!(server.call(21).await.unwrap(), 42);
/// assert_eq!((limit.running(), limit.refused()), (0, 0));
/// # }
/// ```
#[derive(Clone)]
pub struct InFlight {
    max: usize,
    /// Fair: whoever waits longest is next, and nobody overtakes.
    places: Arc<Semaphore>,
    queue: Option<Queue>,
    refused: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Queue {
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    wait: Duration,
}

impl InFlight {
    /// Lets at most `max` calls run at once and refuses the others at once: a quick refusal beats
    /// a late reply. 0 refuses all.
    pub fn refuse(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { max, places: Arc::new(Semaphore::new(max)), queue: None, refused: Arc::default() }
    }

    /// Lets at most `max` calls run at once. At most `waiting_max` others wait, first come, first
    /// served, each no longer than `wait`; the rest are refused.
    pub fn queue(max: usize, waiting_max: usize, wait: Duration) -> Self {
        Self { queue: Some(Queue { waiting: Arc::default(), waiting_max, wait }), ..Self::refuse(max) }
    }

    /// How many calls are in flight now.
    pub fn running(&self) -> usize {
        self.max - self.places.available_permits()
    }

    /// How many calls wait for a place now.
    pub fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.waiting.load(Ordering::Relaxed))
    }

    /// How many calls were refused so far, those included that waited in vain.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether a call would have to wait or be refused now.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// A place, if there is one now.
    fn place_at_once(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// A place, or why there is none.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        // One may have become free since the call was made.
        if let Some(place) = self.place_at_once() {
            return Ok(place);
        }
        let Some(queue) = &self.queue else {
            return Err(self.refusal(format!("all {} are taken", self.max)));
        };
        let Some(_waiting) = queue.join() else {
            return Err(self.refusal(format!("all {} are taken and {} wait", self.max, queue.waiting_max)));
        };
        match timeout(queue.wait, self.places.clone().acquire_owned()).await {
            Ok(place) => Ok(place.expect("the semaphore is never closed")),
            Err(_) => Err(self.refusal(format!("none of {} became free within {:?}", self.max, queue.wait))),
        }
    }

    fn refusal(&self, cause: String) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Error::overloaded(STEP).because(cause)
    }
}

impl Queue {
    /// Counts one more who waits, until the guard is dropped. `None` if too many do.
    fn join(&self) -> Option<Waiting<'_>> {
        let one_more = |waiting| (waiting < self.waiting_max).then_some(waiting + 1);
        let joined = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        joined.is_ok().then(|| Waiting(&self.waiting))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<Req, Next> Filter<Req, Next> for InFlight
where
    Req: Send,
    Next: Service<Req>,
    Next::Reply: Lasting,
{
    type Reply = Next::Reply;

    fn apply(&self, request: Req, next: &Next) -> impl Future<Output = Result<Next::Reply, Error>> + Send {
        let Some(place) = self.place_at_once() else {
            // Boxed, lest every call have room for a request that waits.
            let waiting = Box::pin(async move {
                let place = self.place().await?;
                Ok(next.call(request).await?.holding(place))
            });
            return Either::Left(waiting);
        };
        let answer = next.call(request);
        Either::Right(async move { Ok(answer.await?.holding(place)) })
    }

    fn status(&self, next: Status) -> Status {
        if self.is_full() { next.max(Status::Busy) } else { next }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("max", &self.max)
            .field("running", &self.running())
            .field("waiting", &self.waiting())
            .field("refused", &self.refused())
            .finish()
    }
}
