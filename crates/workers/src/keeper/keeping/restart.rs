//! When a server that ended is started anew: at once, unless servers keep ending.

use std::time::{Duration, Instant};

/// A server that served for so long ended for a new reason.
const STEADY: Duration = Duration::from_secs(1);

/// So many may end one after another before the next has to wait.
const AT_ONCE_MAX: u32 = 3;

/// How long it has to wait then: doubled from the first to the second with each further one. Whoever
/// connects meanwhile is queued by the kernel.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

#[derive(Debug, Default)]
pub(super) struct Restart {
    /// Servers that ended soon, one after another.
    in_a_row: u32,
    due: Option<Instant>,
}

impl Restart {
    /// When the next server is to be started, if one is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// One has ended, after serving for so long, and the next is due then.
    pub(super) fn later(&mut self, now: Instant, served: Duration) -> Instant {
        self.in_a_row = if served >= STEADY { 0 } else { self.in_a_row.saturating_add(1) };
        let due = now + back_off(self.in_a_row);
        self.due = Some(due);
        due
    }

    /// It is started, or is no longer wanted.
    pub(super) fn begin(&mut self) {
        self.due = None;
    }
}

fn back_off(in_a_row: u32) -> Duration {
    match in_a_row.checked_sub(AT_ONCE_MAX) {
        None | Some(0) => Duration::ZERO,
        Some(beyond) => BACK_OFF.0.saturating_mul(1 << (beyond - 1).min(16)).min(BACK_OFF.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(in_a_row: u32, expected_ms: u64) {
        assert_eq!(back_off(in_a_row), Duration::from_millis(expected_ms), "after {in_a_row}");
    }

    #[test]
    fn the_first_are_started_at_once_and_further_ones_ever_later() {
        check(0, 0);
        check(1, 0);
        check(3, 0);
        check(4, 100);
        check(5, 200);
        check(10, 6_400);
        check(11, 10_000);
        check(u32::MAX, 10_000);
    }

    #[test]
    fn one_that_served_steadily_ends_the_row() {
        let (now, mut restart) = (Instant::now(), Restart::default());
        for _ in 0..8 {
            restart.later(now, Duration::ZERO);
        }
        assert!(restart.due() > Some(now));
        assert_eq!(restart.later(now, STEADY), now);
    }
}
