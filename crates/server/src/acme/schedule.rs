//! When to ask for a certificate: a matter of arithmetic, the clock being told.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::folder::digest;

/// How much of its life renewals are spread over, so that certificates made together are not renewed
/// together.
const SPREAD: f64 = 0.05;

/// A moment, by the clock on the wall, which may be set, and by one that only goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) wall: SystemTime,
    pub(super) steady: Instant,
}

impl Now {
    pub(super) fn here() -> Self {
        Self { wall: SystemTime::now(), steady: Instant::now() }
    }
}

/// When a CA wants a certificate to be renewed (RFC 9773 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

/// A share of 1 that is always the same for the same text, and evenly spread over texts.
pub(super) fn share_of(text: &str) -> f64 {
    // FNV leaves the upper bits of short texts alike; a multiplication more mixes them.
    let mixed = (digest(text) ^ (digest(text) >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// When to renew a certificate that is valid from, and until, then: at a time within the CA's window,
/// or else at two thirds of its life and somewhat before.
pub(super) fn renewal(valid: (SystemTime, SystemTime), window: Option<Window>, share: f64) -> SystemTime {
    let (from, until) = valid;
    if let Some(Window { start, end }) = window {
        let width = end.duration_since(start).unwrap_or_default();
        // A CA may want it sooner, never later than is good for us.
        return (start + width.mul_f64(share)).min(until);
    }
    let life = until.duration_since(from).unwrap_or_default();
    from + life.mul_f64(2.0 / 3.0 - SPREAD * share)
}

/// When a certificate, valid from and until then, is to be replaced; `None` is at once, as it has expired.
pub(super) fn due(
    valid: (SystemTime, SystemTime),
    window: Option<Window>,
    share: f64,
    now: SystemTime,
) -> Option<SystemTime> {
    (now < valid.1).then(|| renewal(valid, window, share))
}

/// How long to wait after so many failures in a row: at first, and at most.
pub(super) fn back_off((first, most): (Duration, Duration), failures: u32, share: f64) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(most).mul_f64(1.0 - share / 4.0)
}

/// How long it may not be tried again, `back_off` after it failed. A clock that was set back since then
/// makes nobody wait longer than that.
pub(super) fn wait_left(failed_at: u64, back_off: Duration, now: SystemTime) -> Duration {
    now.duration_since(time(failed_at)).map_or(back_off, |passed| back_off.saturating_sub(passed))
}

/// How long a site waits before it is tried again: for as long as it has to, by a clock that never jumps.
#[derive(Debug)]
pub(super) struct Patience {
    bounds: (Duration, Duration),
    share: f64,
    not_before: Option<Instant>,
    /// Whether its certificate was obtained just now.
    is_fresh: bool,
    /// How often in a row what was obtained had to be renewed at once.
    in_vain: u32,
}

impl Patience {
    /// After so many failures in a row, the last of them then.
    pub(super) fn after(bounds: (Duration, Duration), share: f64, (failures, failed_at): (u32, u64), now: Now) -> Self {
        let mut patience = Self { bounds, share, not_before: None, is_fresh: false, in_vain: 0 };
        if failures > 0 {
            let wait = wait_left(failed_at, back_off(bounds, failures, share), now.wall);
            patience.not_before = Some(now.steady + wait);
        }
        patience
    }

    /// A certificate was obtained.
    pub(super) fn obtained(&mut self) {
        (self.not_before, self.is_fresh) = (None, true);
    }

    /// It failed, so often in a row by now, and this long at least nothing is to be tried.
    pub(super) fn failed(&mut self, failures: u32, at_least: Duration, now: Now) {
        let wait = if failures == 0 { Duration::ZERO } else { back_off(self.bounds, failures, self.share) };
        self.not_before = Some(now.steady + wait.max(at_least));
    }

    /// How long to wait until the next certificate is asked for, which is due then; at once, if nobody says.
    pub(super) fn left(&mut self, due: Option<SystemTime>, now: Now) -> Duration {
        let until_due = due.map_or(Duration::ZERO, |due| due.duration_since(now.wall).unwrap_or_default());
        match (std::mem::take(&mut self.is_fresh), until_due.is_zero()) {
            // A clock is wrong, ours or the CA's. More certificates mend neither.
            (true, true) => {
                self.in_vain = self.in_vain.saturating_add(1);
                self.not_before = Some(now.steady + back_off(self.bounds, self.in_vain, self.share));
            }
            (_, false) if self.in_vain > 0 => (self.in_vain, self.not_before) = (0, None),
            _ => {}
        }
        let waits = self.not_before.map_or(Duration::ZERO, |at| at.saturating_duration_since(now.steady));
        until_due.max(waits)
    }

    /// Whether what was obtained last had to be renewed at once.
    pub(super) fn is_in_vain(&self) -> bool {
        self.in_vain > 0
    }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(super) fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
