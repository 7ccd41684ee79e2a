//! A rate, and the arithmetic of GCRA on it. No clock here: nanoseconds in, nanoseconds out.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::Verdict;

/// How often: so many calls in a period at a steady pace, and how many may come at once.
///
/// Read from text as `100/s`, `20/m`, `1000/h` or `5/d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From one call to the next at the steady pace.
    interval_ns: u64,
    burst: NonZeroU32,
}

/// A window is as long as a burst takes at the steady pace. This is 292 years, and two of them are
/// a number of nanoseconds.
const WINDOW_NS_MAX: u64 = i64::MAX as u64;

impl Rate {
    /// So many calls per period. As many may come at once, unless [`Rate::burst`] says otherwise.
    ///
    /// A period of no length, or one too short for so many calls, is taken as a call a nanosecond.
    pub fn new(count: NonZeroU32, period: Duration) -> Self {
        let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        let interval_ns = (period_ns / u64::from(count.get())).clamp(1, WINDOW_NS_MAX);
        Self { interval_ns, burst: count }.burst(count)
    }

    /// So many may come at once; the steady pace stays.
    pub fn burst(self, burst: NonZeroU32) -> Self {
        let most = u32::try_from(WINDOW_NS_MAX / self.interval_ns).unwrap_or(u32::MAX);
        Self { burst: burst.min(NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN)), ..self }
    }

    /// How many may come at once.
    pub fn quota(&self) -> u32 {
        self.burst.get()
    }

    /// How long it takes until all of the quota is there again.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.window_ns())
    }

    fn window_ns(&self) -> u64 {
        self.interval_ns * u64::from(self.burst.get())
    }

    /// Judges a call that comes now, of a key whose theoretical arrival time is `arrival`: when
    /// all that it took will be paid back. Gives the next such time if the call is admitted.
    pub fn judge(&self, arrival_ns: u64, now_ns: u64) -> (Verdict, Option<u64>) {
        let (owed, window) = (arrival_ns.saturating_sub(now_ns), self.window_ns());
        let tolerated = window - self.interval_ns;
        if owed > tolerated {
            return (Verdict::Refused { retry: Duration::from_nanos(owed - tolerated) }, None);
        }
        let owed = owed + self.interval_ns;
        let left = window - owed;
        let remaining = u32::try_from(left / self.interval_ns).unwrap_or(u32::MAX);
        let next = Duration::from_nanos(self.interval_ns - left % self.interval_ns);
        (Verdict::Admitted { remaining, next }, Some(now_ns.saturating_add(owed)))
    }
}

/// Why a text is no rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRate(String);

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, BadRate> {
        let bad = || BadRate(text.to_owned());
        let (count, unit) = text.split_once('/').ok_or_else(bad)?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 60 * 60,
            "d" => 24 * 60 * 60,
            _ => return Err(bad()),
        };
        let count = count.trim().parse().map_err(|_| bad())?;
        Ok(Self::new(count, Duration::from_secs(seconds)))
    }
}

impl fmt::Display for BadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no rate: write a number from 1 up and a unit, as in 100/s, 20/m, 1000/h or 5/d", self.0)
    }
}

impl std::error::Error for BadRate {}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    /// Plays calls at these nanoseconds and gives which of them were admitted.
    fn play(rate: Rate, calls: &[u64]) -> Vec<bool> {
        let mut arrival = 0;
        let admitted = calls.iter().map(|&now| {
            let (verdict, next) = rate.judge(arrival, now);
            arrival = next.unwrap_or(arrival);
            assert_eq!(next.is_some(), matches!(verdict, Verdict::Admitted { .. }));
            next.is_some()
        });
        admitted.collect()
    }

    #[test]
    fn a_burst_comes_at_once_and_the_rest_at_the_steady_pace() {
        let tenth = SECOND / 10;
        let burst = rate("10/s").burst(NonZeroU32::new(2).unwrap());
        assert_eq!(play(burst, &[0, 0, 0]), [true, true, false]);
        assert_eq!(play(burst, &[0, 0, tenth - 1, tenth, tenth]), [true, true, false, true, false]);
        assert_eq!(play(burst, &[0, 0, 5 * tenth, 5 * tenth, 5 * tenth]), [true, true, true, true, false]);
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let one = rate("1/s");
        assert_eq!(play(one, &[0, 1, 2, 3, SECOND]), [true, false, false, false, true]);
    }

    #[track_caller]
    fn check(arrival_ns: u64, now_ns: u64, expected: Verdict) {
        let rate = rate("60/m").burst(NonZeroU32::new(5).unwrap());
        assert_eq!(rate.judge(arrival_ns, now_ns).0, expected);
    }

    #[test]
    fn says_what_is_left_and_when_it_is_more() {
        let seconds = Duration::from_secs;
        check(0, 0, Verdict::Admitted { remaining: 4, next: seconds(1) });
        check(SECOND * 2, 0, Verdict::Admitted { remaining: 2, next: seconds(1) });
        check(SECOND * 3 / 2, 0, Verdict::Admitted { remaining: 2, next: Duration::from_millis(500) });
        check(SECOND * 4, 0, Verdict::Admitted { remaining: 0, next: seconds(1) });
        check(SECOND * 5, 0, Verdict::Refused { retry: seconds(1) });
        check(SECOND * 5, SECOND / 2, Verdict::Refused { retry: Duration::from_millis(500) });
    }

    #[track_caller]
    fn check_text(text: &str, expected: Option<(u32, u64)>) {
        let found = text.parse::<Rate>().ok().map(|rate| (rate.quota(), rate.window().as_secs()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_counts_with_units() {
        check_text("100/s", Some((100, 1)));
        check_text("20 / m", Some((20, 60)));
        check_text("1/h", Some((1, 3600)));
        check_text("24/d", Some((24, 86_400)));
        for bad in ["", "100", "100/", "/s", "0/s", "-1/s", "1.5/s", "1/w", "4294967296/s", "1/s/s"] {
            check_text(bad, None);
        }
    }

    #[test]
    fn no_rate_is_too_large_for_its_arithmetic() {
        let longest = Rate::new(NonZeroU32::MIN, Duration::MAX).burst(NonZeroU32::MAX);
        let fastest = Rate::new(NonZeroU32::MAX, Duration::ZERO).burst(NonZeroU32::MAX);
        for (rate, now) in [(longest, 0), (longest, u64::MAX), (fastest, 0), (fastest, u64::MAX)] {
            assert_eq!(play(rate, &[now]), [true]);
            rate.judge(u64::MAX, now);
        }
        assert_eq!((longest.quota(), fastest.quota()), (1, u32::MAX));
    }
}
