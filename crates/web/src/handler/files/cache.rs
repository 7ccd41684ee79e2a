//! What is known of the files that were asked for lately.
//!
//! Each thread has a shard of its own (threads beyond the number of cores share), so the lock
//! around it is one that nobody else wants, and the counters in its entries stay with one core.
//! A file that all cores serve is kept once a core: that is what it costs.
//!
//! A shard has two halves. What is asked for goes into the young one; when that has its fill, it
//! becomes the old one, and what was in the old one and not asked for since is forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::entry::Entry;

/// What is known is believed for so long; with as much for the root, a change shows within a second.
pub(super) const FRESH: Duration = Duration::from_millis(500);
/// While one request looks again, the others go on with what is known, but no longer than this.
const STALE_MAX: Duration = Duration::from_millis(900);
/// A file that was changed just now is looked at again this soon.
const FRESH_UNSETTLED: Duration = Duration::from_millis(20);
/// What nobody asked for between two looks this far apart is forgotten, and deleted files give
/// their space back.
const IDLE: Duration = Duration::from_secs(10);

/// All shards together keep at most so many files and so many bytes of them, by default, and
/// at least so many in each.
const ENTRIES_MAX: usize = 16 * 1024;
const ENTRIES_SHARD_MIN: usize = 512;
const BYTES_MAX: usize = 64 * 1024 * 1024;
const BYTES_SHARD_MIN: usize = 2 * 1024 * 1024;
/// The same of descriptors that stay open. Connections need them more.
const DESCRIPTORS_MAX: usize = 512;
const DESCRIPTORS_SHARD_MIN: usize = 16;
/// Names of nothing that a shard remembers.
const MISSING_MAX: usize = 256;
/// Longer names are not remembered: they are a page in themselves.
const KEY_BYTES_MAX: usize = 1024;

/// What is known of a target.
#[derive(Debug)]
pub(super) enum Known {
    /// A file, seen lately.
    Fresh(Arc<Entry>),
    /// A file, seen some time ago: the caller looks again.
    Stale(Arc<Entry>),
    /// There was nothing lately.
    Missing,
    /// Nothing is known.
    Nothing,
}

/// What is known of the files that were asked for lately.
#[derive(Debug)]
pub(super) struct Cache {
    shards: Arc<[Mutex<Shard>]>,
    limits: Limits,
}

/// What one shard holds at most. Each half may hold half of it.
#[derive(Clone, Copy, Debug)]
struct Limits {
    entries: usize,
    bytes: usize,
    descriptors: usize,
}

#[derive(Debug, Default)]
struct Shard {
    young: Half,
    old: Half,
    /// Names of nothing, and when they were looked up.
    missing: HashMap<Box<[u8]>, Seen>,
    /// The task that forgets what is idle.
    sweeper: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Half {
    slots: HashMap<Box<[u8]>, Slot>,
    bytes: usize,
    descriptors: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    seen: Seen,
    /// Somebody looks again.
    is_checked: bool,
}

/// When, and in which generation of the root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) generation: u64,
}

impl Cache {
    pub(super) fn new() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let limits = Limits {
            entries: (ENTRIES_MAX / count).max(ENTRIES_SHARD_MIN),
            bytes: (BYTES_MAX / count).max(BYTES_SHARD_MIN),
            descriptors: (DESCRIPTORS_MAX / count).max(DESCRIPTORS_SHARD_MIN),
        };
        Self { shards: (0..count).map(|_| Mutex::default()).collect(), limits }
    }

    pub(super) fn set_bytes_max(&mut self, bytes: usize) {
        self.limits.bytes = bytes / self.shards.len();
    }

    pub(super) fn set_descriptors_max(&mut self, count: usize) {
        self.limits.descriptors = count / self.shards.len();
    }

    /// What is known of a target now, in this generation of the root.
    pub(super) fn get(&self, key: &[u8], now: Seen) -> Known {
        let mut shard = self.shard();
        let shard = &mut *shard;
        if let Some(slot) = shard.young.slots.get_mut(key) {
            return slot.known(now);
        }
        if let Some((key, slot)) = shard.old.remove(key) {
            return shard.insert(key, slot, self.limits).known(now);
        }
        match shard.missing.get(key) {
            Some(seen) if seen.is_within(FRESH, now) => Known::Missing,
            _ => Known::Nothing,
        }
    }

    /// Remembers a file as it was seen then.
    pub(super) fn put(&self, key: &[u8], entry: Arc<Entry>, seen: Seen) {
        if key.len() > KEY_BYTES_MAX {
            return;
        }
        let mut shard = self.shard();
        shard.forget(key);
        shard.insert(key.into(), Slot { entry, seen, is_checked: false }, self.limits);
        // The one before may have ended with the runtime that it was in.
        if shard.sweeper.as_ref().is_none_or(JoinHandle::is_finished)
            && let Ok(runtime) = Handle::try_current()
        {
            shard.sweeper = Some(runtime.spawn(sweep(Arc::downgrade(&self.shards), self.number())));
        }
    }

    /// Forgets a target; if it leads to nothing, that is remembered.
    pub(super) fn remove(&self, key: &[u8], missing: Option<Seen>) {
        let mut shard = self.shard();
        shard.forget(key);
        if let Some(seen) = missing
            && key.len() <= KEY_BYTES_MAX
        {
            if shard.missing.len() >= MISSING_MAX {
                shard.missing.clear();
            }
            shard.missing.insert(key.into(), seen);
        }
    }

    /// Forgets all that this thread knows, as when descriptors have run out.
    pub(super) fn clear(&self) {
        let mut shard = self.shard();
        (shard.young, shard.old) = (Half::default(), Half::default());
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.number()])
    }

    /// The number of this thread's shard.
    fn number(&self) -> usize {
        ordinal() % self.shards.len()
    }
}

impl Shard {
    fn insert(&mut self, key: Box<[u8]>, slot: Slot, limits: Limits) -> &mut Slot {
        let young = &self.young;
        let full = (young.slots.len() + 1) * 2 > limits.entries
            || (young.bytes + slot.entry.bytes()) * 2 > limits.bytes
            || (young.descriptors + slot.entry.descriptors()) * 2 > limits.descriptors;
        if full {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += slot.entry.bytes();
        self.young.descriptors += slot.entry.descriptors();
        self.young.slots.entry(key).insert_entry(slot).into_mut()
    }

    fn forget(&mut self, key: &[u8]) {
        self.missing.remove(key);
        if self.young.remove(key).is_none() {
            self.old.remove(key);
        }
    }

    fn is_empty(&self) -> bool {
        self.young.slots.is_empty() && self.old.slots.is_empty()
    }
}

impl Half {
    fn remove(&mut self, key: &[u8]) -> Option<(Box<[u8]>, Slot)> {
        let (key, slot) = self.slots.remove_entry(key)?;
        self.bytes -= slot.entry.bytes();
        self.descriptors -= slot.entry.descriptors();
        Some((key, slot))
    }
}

impl Slot {
    fn known(&mut self, now: Seen) -> Known {
        let fresh = if self.entry.is_settled { FRESH } else { FRESH_UNSETTLED };
        if self.seen.is_within(fresh, now) || (self.is_checked && self.seen.is_within(STALE_MAX, now)) {
            return Known::Fresh(self.entry.clone());
        }
        self.is_checked = true;
        Known::Stale(self.entry.clone())
    }
}

impl Seen {
    pub(super) fn is_within(&self, age: Duration, now: Self) -> bool {
        self.generation == now.generation && now.at.saturating_duration_since(self.at) < age
    }
}

/// Forgets what is idle, until nothing is left or the cache is gone.
async fn sweep(shards: Weak<[Mutex<Shard>]>, number: usize) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(shards) = shards.upgrade() else { return };
        let mut shard = lock(&shards[number]);
        shard.missing.clear();
        shard.old = std::mem::take(&mut shard.young);
        if shard.is_empty() {
            *shard = Shard::default();
            return;
        }
    }
}

/// The number of this thread among those that have asked.
fn ordinal() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static ORDINAL: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    ORDINAL.with(|ordinal| *ordinal)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("no panic while the lock is held")
}

#[cfg(test)]
mod tests;
