//! When to ask for a certificate: a matter of arithmetic, the clock being told.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::folder::digest;

/// How much of its life renewals are spread over, so that certificates made together are not renewed
/// together.
const SPREAD: f64 = 0.05;

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

/// Takes one of so many orders within so long; or says how long to wait for the next.
pub(super) fn take_order(times: &mut Vec<u64>, max: u32, per: Duration, now: SystemTime) -> Result<(), Duration> {
    let (now, max) = (seconds(now), max.max(1) as usize);
    // What was asked for in what is now the future was asked for just now: a clock that is set back
    // allows no more.
    times.iter_mut().for_each(|time| *time = (*time).min(now));
    times.retain(|time| now - time < per.as_secs());
    times.sort_unstable();
    if times.len() < max {
        times.push(now);
        return Ok(());
    }
    let oldest = times[times.len() - max];
    Err(Duration::from_secs((oldest + per.as_secs()).saturating_sub(now).max(1)))
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;

    fn day(day: u64) -> SystemTime {
        time(day * DAY)
    }

    #[track_caller]
    fn check_renewal(window: Option<(u64, u64)>, share: f64, expected_day: f64) {
        let window = window.map(|(start, end)| Window { start: day(start), end: day(end) });
        let at = renewal((day(100), day(190)), window, share);
        assert!((seconds(at) as f64 / DAY as f64 - expected_day).abs() < 0.01, "{at:?}");
    }

    #[test]
    fn renews_at_two_thirds_of_a_life_and_somewhat_before() {
        check_renewal(None, 0.0, 160.0);
        check_renewal(None, 1.0, 155.5);
    }

    #[test]
    fn renews_when_the_ca_wants_it() {
        check_renewal(Some((130, 140)), 0.5, 135.0);
        check_renewal(Some((90, 95)), 0.5, 92.5);
        check_renewal(Some((300, 400)), 0.5, 190.0);
        check_renewal(Some((140, 130)), 0.5, 140.0);
    }

    #[test]
    fn waits_longer_with_every_failure_but_not_forever() {
        let bounds = (Duration::from_secs(60), Duration::from_secs(12 * 3600));
        let waits: Vec<u64> = (1..=12).map(|failures| back_off(bounds, failures, 0.0).as_secs()).collect();
        assert_eq!(waits[..3], [60, 120, 240]);
        assert_eq!(waits[11], 12 * 3600);
        assert_eq!(back_off(bounds, u32::MAX, 1.0).as_secs(), 9 * 3600);
    }

    #[test]
    fn a_clock_that_jumps_makes_nobody_wait_for_years() {
        let (failed_at, minute) = (seconds(day(100)), Duration::from_secs(60));
        assert_eq!(wait_left(failed_at, minute, day(100) + minute / 2), minute / 2);
        assert_eq!(wait_left(failed_at, minute, day(101)), Duration::ZERO);
        assert_eq!(wait_left(failed_at, minute, day(10)), minute);
    }

    #[test]
    fn orders_are_bounded_whatever_the_clock_does() {
        let hour = Duration::from_secs(3600);
        let mut times = Vec::new();
        for _ in 0..3 {
            take_order(&mut times, 3, hour, day(100)).unwrap();
        }
        assert_eq!(take_order(&mut times, 3, hour, day(100)), Err(hour));
        assert_eq!(take_order(&mut times, 3, hour, day(10)), Err(hour), "the clock was set back");
        assert_eq!(take_order(&mut times, 3, hour, day(10) + hour / 2), Err(hour / 2));
        take_order(&mut times, 3, hour, day(10) + hour).unwrap();
        assert_eq!(times.len(), 1);
    }

    #[test]
    fn shares_are_spread() {
        let shares: Vec<f64> = (0..1000).map(|at| share_of(&format!("{at}.example.com"))).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
