//! Frames that cost us work and the peer next to nothing, bounded by what they lead to.
//!
//! The `h2` crate bounds what such frames could make it hold: streams reset before they were looked at,
//! CONTINUATION frames, empty and tiny DATA frames. It does not bound how many it works through. Here
//! every frame that asks for work has a price, which what is written of replies pays, and time. Without
//! a clock of its own.

use tokio::time::Instant;

use super::frames::{END_STREAM, Seen, kind};

/// Bytes written that pay for one frame. The answer to a PING is 17, and does not.
pub(super) const BYTES_PER_FRAME: u64 = 32;

/// Frames that a reply pays for beside its bytes: its request, and what clients say of their windows.
pub(super) const FRAMES_PER_REPLY: u64 = 4;

/// Frames that a piece of a reply pays for beside its bytes: some clients answer each, on two windows.
pub(super) const FRAMES_PER_PIECE: u64 = 2;

/// Frames that a second pays for.
const FRAMES_PER_SECOND: u64 = 50;

/// Keeps the balance.
#[derive(Debug)]
pub(super) struct Flood {
    unpaid: u64,
    unpaid_max: u64,
    /// What has paid so far.
    worth: u64,
    /// Until when time has paid.
    paid_until: Instant,
}

impl Flood {
    /// At the start of a connection, which may leave so many frames unpaid.
    pub(super) fn new(unpaid_max: u32, now: Instant) -> Self {
        Self { unpaid: 0, unpaid_max: unpaid_max.into(), worth: 0, paid_until: now }
    }

    /// What a frame asks of us, in frames.
    pub(super) fn cost(frame: Seen) -> u64 {
        let pays_itself = frame.kind == kind::DATA && (frame.length > 0 || frame.flags & END_STREAM != 0);
        u64::from(!pays_itself)
    }

    /// Frames came that cost so much. `worth` is what has paid so far, and `now` is asked only when the
    /// balance is at stake. Whether this is a flood.
    pub(super) fn charge(&mut self, cost: u64, worth: u64, now: impl FnOnce() -> Instant) -> bool {
        if cost == 0 {
            return false;
        }
        let paid = worth - std::mem::replace(&mut self.worth, worth);
        self.unpaid = self.unpaid.saturating_sub(paid) + cost;
        self.unpaid > self.unpaid_max && !self.is_paid_by_time(now())
    }

    #[cold]
    fn is_paid_by_time(&mut self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.paid_until);
        let paid = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_mul(FRAMES_PER_SECOND) / 1000;
        if paid > 0 {
            self.paid_until = now;
            self.unpaid = self.unpaid.saturating_sub(paid);
        }
        self.unpaid <= self.unpaid_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// After so many frames, `worth` others that were paid and `seconds` later, does one more make a flood of at most
    /// ten?
    #[track_caller]
    fn check(times: usize, worth: u64, seconds: u64, expected: bool) {
        let begun = Instant::now();
        let mut flood = Flood::new(10, begun);
        for _ in 0..times {
            flood.charge(1, 0, || begun);
        }
        assert_eq!(flood.charge(1, worth, || begun + Duration::from_secs(seconds)), expected);
    }

    #[test]
    fn replies_and_time_pay_for_frames() {
        check(9, 0, 0, false);
        check(10, 0, 0, true);
        check(10, 1, 0, false);
        check(100, 50, 0, true);
        check(59, 0, 1, false);
        check(61, 0, 1, true);
    }

    #[test]
    fn data_pays_for_itself_unless_it_is_empty() {
        let cost = |kind, flags, length| Flood::cost(Seen { kind, flags, length });
        assert_eq!([cost(0, 0, 1), cost(0, 1, 0), cost(0, 0, 0)], [0, 0, 1]);
        assert_eq!([cost(1, 5, 99), cost(3, 0, 4), cost(6, 0, 8), cost(9, 4, 99)], [1; 4]);
    }
}
