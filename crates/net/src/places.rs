//! The connection cap: a place for each connection, over all event loops.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Socket;
use crate::listener::Acceptor;

/// How often it is said, at most, that all places are taken.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// How often connections had to wait for others to end. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<AtomicU64>);

impl Waits {
    /// So often until now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Places for connections. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Arc<Semaphore>,
    max: usize,
    waits: Waits,
    said: Mutex<Option<Instant>>,
}

impl Places {
    /// So many.
    pub(crate) fn new(max: usize) -> Self {
        let free = Arc::new(Semaphore::new(max));
        Self(Arc::new(Inner { free, max, waits: Waits::default(), said: Mutex::default() }))
    }

    /// Lets the next connection in. Who waits for one holds no place: it would be missing on another loop.
    pub(crate) async fn let_in(&self, acceptor: &Acceptor) -> (io::Result<Socket>, OwnedSemaphorePermit) {
        loop {
            let mut place = Some(self.take().await);
            let accepted = std::future::poll_fn(|task| {
                let Some(place) = place.take().or_else(|| self.try_take()) else { return Poll::Ready(None) };
                acceptor.poll_accept(task).map(|accepted| Some((accepted, place)))
            });
            if let Some(accepted) = accepted.await {
                return accepted;
            }
        }
    }

    /// A place, if one is free.
    pub(crate) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.free.clone().try_acquire_owned().ok()
    }

    async fn take(&self) -> OwnedSemaphorePermit {
        if let Some(place) = self.try_take() {
            return place;
        }
        self.say();
        self.0.free.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Whether nobody has one.
    pub(crate) fn are_all_free(&self) -> bool {
        self.0.free.available_permits() == self.0.max
    }

    /// How often all of them were taken.
    pub(crate) fn waits(&self) -> Waits {
        self.0.waits.clone()
    }

    #[cold]
    fn say(&self) {
        self.0.waits.0.fetch_add(1, Ordering::Relaxed);
        let (now, mut said) = (Instant::now(), self.0.said.lock().unwrap_or_else(PoisonError::into_inner));
        if said.is_none_or(|said| now.duration_since(said) >= SAY_EVERY) {
            *said = Some(now);
            let max = self.0.max;
            tracing::warn!(max, "as many connections are open as there may be; further ones wait until others end");
        }
    }
}
