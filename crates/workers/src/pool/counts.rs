//! What became of requests that found no room at a worker.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What became of requests that found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that waited for room.
    pub waited: u64,
    /// How long they did, together.
    pub waited_time: Duration,
    /// Those of them that waited in vain: they were refused for that.
    pub late: u64,
    /// Those that were refused at once, as too many waited.
    pub refused: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) waited: AtomicU64,
    waited_ns: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Counting {
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        Counts {
            waited: self.waited.load(Relaxed),
            waited_time: Duration::from_nanos(self.waited_ns.load(Relaxed)),
            late: self.late.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }
}

/// A request's time in the queue, counted when it is over, however that comes.
pub(super) struct Wait<'p> {
    pub(super) counts: &'p Counting,
    pub(super) since: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let passed = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Counting::add(&self.counts.waited_ns, passed);
    }
}
