//! Amounts with their units: durations, sizes, rates.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Serialize, Serializer};

pub(super) const DURATIONS: &str = "write a number and a unit (ms, s, m, h, d), as in \"30s\" or \"1h30m\"";
pub(super) const SIZES: &str =
    "write a number and a unit (B, KB, MB, GB, or KiB, MiB, GiB for powers of two), as in \"16KiB\"";
pub(super) const RATES: &str = "write a number and a unit (/s, /m, /h, /d), as in \"100/s\"";

/// The longest duration: nothing waits for more than a hundred years, and sums of two do not overflow.
const MS_MAX: u64 = 100 * 365 * 86_400_000;

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const PERIODS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: NonZeroU32,
    pub(crate) period: Duration,
}

pub(super) fn duration(text: &str) -> Option<Duration> {
    let (mut left, mut total_ms) = (text, 0_u64);
    // Units go from the larger to the smaller, each at most once.
    let mut unit_max = u64::MAX;
    while !left.is_empty() {
        let digits = left.find(|c: char| !c.is_ascii_digit())?;
        let (count, after) = left.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (_, unit_ms) = DURATION_UNITS.into_iter().find(|(unit, _)| *unit == &after[..end])?;
        if unit_ms >= unit_max {
            return None;
        }
        unit_max = unit_ms;
        total_ms = total_ms.checked_add(count.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
        left = &after[end..];
    }
    (!text.is_empty() && total_ms <= MS_MAX).then(|| Duration::from_millis(total_ms))
}

pub(super) fn size(text: &str) -> Option<u64> {
    let (unit, bytes) = SIZE_UNITS.into_iter().find(|(unit, _)| text.ends_with(unit))?;
    let count = text.strip_suffix(unit)?.trim_end();
    count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse::<u64>().ok()?.checked_mul(bytes))?
}

pub(super) fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let (_, seconds) = PERIODS.into_iter().find(|(period, _)| *period == unit.trim())?;
    let count = count.trim();
    let count = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse().ok())??;
    Some(Rate { count, period: Duration::from_secs(seconds) })
}

pub(super) fn pace(text: &str) -> Option<u64> {
    size(text.strip_suffix("/s")?.trim_end())
}

/// A duration as it may be written.
pub(crate) fn show_duration(duration: Duration) -> String {
    let (mut left, mut text) = (u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), String::new());
    for (unit, unit_ms) in DURATION_UNITS.into_iter().rev() {
        if left >= unit_ms {
            text += &format!("{}{unit}", left / unit_ms);
            left %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size as it may be written.
pub(crate) fn show_size(bytes: u64) -> String {
    let (mut count, mut unit) = (bytes, "B");
    for larger in ["KiB", "MiB", "GiB"] {
        if count == 0 || count % 1024 != 0 {
            break;
        }
        (count, unit) = (count / 1024, larger);
    }
    format!("{count}{unit}")
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            PERIODS.into_iter().find(|(_, seconds)| *seconds == self.period.as_secs()).map_or("", |(unit, _)| unit);
        write!(f, "{}/{unit}", self.count)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_duration(text: &str, expected_ms: Option<u64>) {
        assert_eq!(duration(text), expected_ms.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_have_units() {
        check_duration("5s", Some(5_000));
        check_duration("250ms", Some(250));
        check_duration("1h30m", Some(5_400_000));
        check_duration("2d", Some(172_800_000));
        check_duration("0s", Some(0));
        check_duration("1m500ms", Some(60_500));
        for bad in ["", "5", "s", "5 s", "1.5s", "-5s", "5S", "5s5s", "5s1m", "36501d", "99999999999999999999d"] {
            check_duration(bad, None);
        }
        for text in ["1d2h3m4s5ms", "0s", "30s"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
    }

    #[track_caller]
    fn check_size(text: &str, expected: Option<u64>) {
        assert_eq!(size(text), expected, "{text}");
    }

    #[test]
    fn sizes_have_units() {
        check_size("16KiB", Some(16_384));
        check_size("1MB", Some(1_000_000));
        check_size("10 B", Some(10));
        check_size("0B", Some(0));
        for bad in ["", "16", "KiB", "16kb", "1.5MB", "-1B", "99999999999GiB", "16K"] {
            check_size(bad, None);
        }
        assert_eq!(pace("500B/s"), Some(500));
        assert_eq!(pace("500B"), None);
    }

    #[test]
    fn rates_have_units() {
        for text in ["100/s", "20/m", "1000/h", "5/d"] {
            assert_eq!(rate(text).map(|rate| rate.to_string()).as_deref(), Some(text));
        }
        for bad in ["", "100", "/s", "0/s", "-1/s", "1.5/s", "1/w", "4294967296/s", "1/s/s", "+1/s"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }
}
