//! How many programs run at once, and how many requests wait for one of them to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unary_service::Error;

/// A place among those that run. It is given back when the program has ended, not when its reply has.
pub(super) type Place = OwnedSemaphorePermit;

pub(super) struct Places {
    max: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    wait_time: Duration,
}

impl Places {
    pub(super) fn new(max: usize, waiting_max: usize, wait_time: Duration) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { max, free: Arc::new(Semaphore::new(max)), waiting: AtomicUsize::new(0), waiting_max, wait_time }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.available_permits() == 0
    }

    /// A place, at once or after a while: first come, first served.
    pub(super) async fn take(&self) -> Result<Place, Error> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Ok(place);
        }
        let refusal = |why: String| Error::overloaded("waiting for a program to end").because(why);
        let one_more = |waiting| (waiting < self.waiting_max).then_some(waiting + 1);
        if self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return Err(refusal(format!("{} run and {} requests wait", self.max, self.waiting_max)));
        }
        let _waiting = Waiting(&self.waiting);
        match tokio::time::timeout(self.wait_time, self.free.clone().acquire_owned()).await {
            Ok(place) => Ok(place.expect("the semaphore is never closed")),
            Err(_) => Err(refusal(format!("none of {} ended within {:?}", self.max, self.wait_time))),
        }
    }
}

/// Counts one who waits, until it is dropped.
struct Waiting<'p>(&'p AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_waits_a_while() {
        let places = Places::new(1, 1, Duration::from_secs(10));
        let first = places.take().await.unwrap();
        assert!(places.is_full());
        let (waited, refused) = tokio::join!(places.take(), places.take());
        assert!(waited.unwrap_err().to_string().contains("none of 1 ended within 10s"));
        assert!(refused.unwrap_err().to_string().contains("1 run and 1 requests wait"));
        let (second, ()) = tokio::join!(places.take(), async { drop(first) });
        drop(second.unwrap());
        assert!(!places.is_full());
    }
}
