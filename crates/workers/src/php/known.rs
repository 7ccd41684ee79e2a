//! What paths meant lately: to look for a program costs as much as all else that a small request takes.
//!
//! What is known is believed for as long as the root is, so that a change shows within a second. Each thread has a
//! shard of its own (threads beyond the number of cores share), so that nobody waits for its lock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::script::Found;
use crate::host::shelf::here;

/// What is known is believed for so long.
const FRESH: Duration = Duration::from_millis(500);

/// Paths that a shard knows. When it has its fill it begins anew: most of it is out of date by then.
const PATHS_MAX: usize = 512;

/// Longer paths are not remembered.
const PATH_BYTES_MAX: usize = 256;

/// What a path means, and where that is.
#[derive(Debug)]
pub(super) struct Meant {
    pub(super) found: Found,
    /// The folder, through all links.
    pub(super) root: Arc<Path>,
    /// The program's file in there, if it is one.
    pub(super) file: PathBuf,
}

/// What paths meant lately.
#[derive(Debug)]
pub(super) struct Known(Box<[Mutex<Shard>]>);

type Shard = HashMap<Box<str>, Seen>;

#[derive(Debug)]
struct Seen {
    at: Instant,
    /// Of the root.
    generation: u64,
    meant: Arc<Meant>,
}

impl Known {
    pub(super) fn new() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        Self((0..count).map(|_| Mutex::default()).collect())
    }

    /// What a path meant within half a second, in this generation of the root.
    pub(super) fn get(&self, path: &str, now: Instant, generation: u64) -> Option<Arc<Meant>> {
        let shard = self.shard();
        let seen = shard.get(path)?;
        let is_fresh = seen.generation == generation && now.duration_since(seen.at) < FRESH;
        is_fresh.then(|| seen.meant.clone())
    }

    /// Notes what was found, having been looked for from `at` on.
    pub(super) fn put(&self, path: &str, at: Instant, generation: u64, meant: Arc<Meant>) {
        if path.len() > PATH_BYTES_MAX {
            return;
        }
        let mut shard = self.shard();
        if shard.len() >= PATHS_MAX && !shard.contains_key(path) {
            shard.clear();
        }
        shard.insert(path.into(), Seen { at, generation, meant });
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        self.0[here() % self.0.len()].lock().expect("no panic while the lock is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Arc<Meant> {
        Arc::new(Meant { found: Found::Nothing, root: Path::new("/").into(), file: PathBuf::new() })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_is_believed_for_half_a_second() {
        let (known, at) = (Known::new(), Instant::now());
        known.put("/a", at, 1, nothing());
        let is_known = |path, after, generation| known.get(path, at + after, generation).is_some();
        assert!(is_known("/a", FRESH - Duration::from_millis(1), 1));
        assert!(!is_known("/a", FRESH, 1));
        assert!(!is_known("/a", Duration::ZERO, 2), "the folder is another one");
        assert!(!is_known("/b", Duration::ZERO, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let (known, at) = (Known::new(), Instant::now());
        for number in 0..3 * PATHS_MAX {
            known.put(&format!("/{number}"), at, 1, nothing());
            assert!(known.shard().len() <= PATHS_MAX);
        }
        known.put(&"x".repeat(PATH_BYTES_MAX + 1), at, 1, nothing());
        assert!(known.get(&"x".repeat(PATH_BYTES_MAX + 1), at, 1).is_none());
    }
}
