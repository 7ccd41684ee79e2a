//! The counts in this process: a bounded table of arrival times, sharded, without an allocation a
//! call.
//!
//! A key is a 64-bit hash under a secret seed, so nobody can aim at another's cell. The hash names
//! a shard and in it a set of eight cells, two cache lines. A key without a cell takes the one of
//! its set whose time is nearest. Where that is past, nothing is lost: a time that is past and none
//! at all are the same. Where it is not, the shard grows, and at its largest the newcomer *inherits*
//! the time of the key it replaces, which bounds the error in both directions:
//!
//! - No key is ever admitted more often than its rate allows, however many keys there are. A key
//!   that lost its cell finds a time at least as late when it returns, for times in a set only
//!   grow: it gains nothing by making others push it out.
//! - A newcomer is refused wrongly only while all eight keys of its set are themselves at their
//!   limit. To bring that about for one stranger in ten, an attacker must keep three quarters of
//!   all cells at their limit: with the default size and 10 calls a second for each key, 15 million
//!   calls a second.
//!
//! Two keys with the same hash count as one, among a million that befalls one table in forty million.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{Key, Rate, Store, Verdict};
use crate::Error;

/// Locks: two cores meet at one of them in one call of 32 or more, and only if both are inside at
/// once. Very small tables have fewer.
const SHARDS_MIN: usize = 32;

/// Cells of a set: fewer are full too soon, more are more cache lines a call.
const WAYS: usize = 8;

/// Cells by default: with a million keys that all count, a set holds four of its eight on average,
/// one key in a hundred shares. 30 MiB once all are in use.
const CELLS_MAX: usize = 1_966_080;

/// Sets of a shard when it is first used: two kilobytes.
const SETS_FIRST_MAX: usize = 16;

/// Arrival times by key, in a bounded amount of memory that is taken as keys come.
///
/// What it costs: 16 bytes a cell, and 4 KiB before the first call. Memory is not given back: who
/// was attacked once will be again.
pub struct Table {
    shards: Box<[Shard]>,
    /// A power of two.
    sets_max: usize,
    seed: RandomState,
    began: Instant,
}

/// On a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Sets>);

/// A power of two of sets, none at first. The first pieces are as long as each other and each
/// later one as long as all before it: a shard that grows leaves no holes in the heap.
#[derive(Default)]
struct Sets {
    pieces: Vec<Box<[Set]>>,
    length: usize,
    shared: u64,
}

/// The cells of some keys: of each the hash and the theoretical arrival time in nanoseconds since
/// the table began, 0 for a cell that is free.
#[derive(Clone, Default)]
#[repr(C, align(128))]
struct Set {
    hashes: [u64; WAYS],
    arrivals_ns: [u64; WAYS],
}

impl Table {
    /// A table of at most so many cells, or a few less for an even division. Make it twice as many
    /// as there may be keys at once.
    pub fn new(cells_max: usize) -> Self {
        let sets = (cells_max / WAYS).max(1);
        let sets_max = 1 << (sets / SHARDS_MIN).checked_ilog2().unwrap_or(0);
        Self {
            shards: (0..sets / sets_max).map(|_| Shard::default()).collect(),
            sets_max,
            seed: RandomState::new(),
            began: Instant::now(),
        }
    }

    /// Counts one call under `key`, unless it comes too soon.
    pub fn count(&self, key: &Key<'_>, rate: &Rate) -> Verdict {
        let hash = self.seed.hash_one(key);
        // Before the lock, which is held the shorter for it. A call that had to wait for the lock is
        // judged by a time a little too early, so if anything too strictly.
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut sets = self.shard(hash).lock();
        let (set, way, is_known) = self.cell(&mut sets, hash, now_ns);
        let set = sets.at(set);
        let arrival = &mut set.arrivals_ns[way];
        let is_inherited = !is_known && *arrival > now_ns;
        let (verdict, next) = rate.judge(*arrival, now_ns);
        if let Some(next) = next {
            *arrival = next;
            if !is_known {
                set.hashes[way] = hash;
            }
            sets.shared += u64::from(is_inherited);
        }
        verdict
    }

    /// The upper bits of the hash name the shard, the lower ones the set.
    fn shard(&self, hash: u64) -> &Shard {
        let at = ((hash >> 32) * self.shards.len() as u64) >> 32;
        &self.shards[usize::try_from(at).unwrap_or(0)]
    }

    /// Where the key's time is, or is to be: set, cell, and whether it is there already.
    fn cell(&self, sets: &mut Sets, hash: u64, now_ns: u64) -> (usize, usize, bool) {
        loop {
            if sets.length > 0 {
                let at = set_of(hash, sets.length);
                let set = sets.at(at);
                if let Some(way) = set.way_of(hash) {
                    return (at, way, true);
                }
                let (way, nearest) = set.nearest();
                if nearest <= now_ns || sets.length >= self.sets_max {
                    return (at, way, false);
                }
            }
            sets.grow(self.sets_max, now_ns);
        }
    }

    /// The memory taken so far.
    pub fn bytes(&self) -> usize {
        let sets = self.shards.iter().map(|shard| shard.lock().length).sum::<usize>();
        size_of_val(&*self.shards) + sets * size_of::<Set>()
    }

    /// How often a key took the cell of another that still counted: many say that the table is too
    /// small for the keys there are.
    pub fn shared(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().shared).sum()
    }
}

impl Store for Table {
    async fn take(&self, key: Key<'_>, rate: &Rate) -> Result<Verdict, Error> {
        Ok(self.count(&key, rate))
    }

    fn take_at_once(&self, key: &Key<'_>, rate: &Rate) -> Option<Verdict> {
        Some(self.count(key, rate))
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Sets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sets {
    fn at(&mut self, index: usize) -> &mut Set {
        let first = self.pieces[0].len();
        match (index / first).checked_ilog2() {
            None => &mut self.pieces[0][index],
            Some(log) => &mut self.pieces[log as usize + 1][index - (first << log)],
        }
    }

    /// Doubles the sets. Each hands what still counts and belongs there to the new one that is so
    /// far from it as there were sets: what was in different sets stays so, and all of it has room.
    fn grow(&mut self, sets_max: usize, now_ns: u64) {
        let old = self.length;
        let new = if old == 0 { sets_max.min(SETS_FIRST_MAX) } else { old };
        self.pieces.push(vec![Set::default(); new].into_boxed_slice());
        self.length = old + new;
        for at in 0..old {
            let mut moved = Set::default();
            let set = self.at(at);
            for way in 0..WAYS {
                let (hash, arrival_ns) = (set.hashes[way], set.arrivals_ns[way]);
                if arrival_ns > now_ns && set_of(hash, old * 2) != at {
                    (moved.hashes[way], moved.arrivals_ns[way]) = (hash, arrival_ns);
                    (set.hashes[way], set.arrivals_ns[way]) = (0, 0);
                }
            }
            *self.at(at + old) = moved;
        }
    }
}

impl Set {
    /// The cell of this key.
    fn way_of(&self, hash: u64) -> Option<usize> {
        // Without a branch for each: which one it is cannot be foretold.
        let equal = |(way, &held): (usize, &u64)| u32::from(held == hash) << way;
        let found = self.hashes.iter().enumerate().map(equal).sum::<u32>();
        (found != 0).then(|| found.trailing_zeros() as usize)
    }

    /// The cell whose time is nearest, and that time.
    fn nearest(&self) -> (usize, u64) {
        let mut nearest = (0, self.arrivals_ns[0]);
        for (way, &arrival) in self.arrivals_ns.iter().enumerate() {
            if arrival < nearest.1 {
                nearest = (way, arrival);
            }
        }
        nearest
    }
}

/// Which of so many sets, a power of two.
fn set_of(hash: u64, sets: usize) -> usize {
    usize::try_from(hash & (sets as u64 - 1)).unwrap_or(0)
}

impl Default for Table {
    fn default() -> Self {
        Self::new(CELLS_MAX)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("bytes", &self.bytes()).field("shared", &self.shared()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
