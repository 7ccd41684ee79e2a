//! Waiting: for what will come, never longer than a bound, and for a quiet moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long anything may take that should take no time: a machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How often is looked at what tells nobody that it changed.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds. For what sends no event: a count in `/proc`, a closed port.
///
/// # Panics
///
/// If it does not hold within [`PATIENCE`]; `what` says what was waited for.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(PATIENCE, what, condition);
}

/// The same for what may take longer, such as what is tried again after a while.
///
/// # Panics
///
/// If it does not hold within `patience`; `what` says what was waited for.
#[track_caller]
pub fn eventually_within(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < patience, "waited {patience:?} in vain: {what}");
        pause(LOOK_EVERY);
    }
}

/// Lets time pass, where that is what is tested: a peer that is slow.
#[expect(clippy::disallowed_methods, reason = "no event loop here: tests wait for another process")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Keeps tests that load the machine, or measure time, from running beside each other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
