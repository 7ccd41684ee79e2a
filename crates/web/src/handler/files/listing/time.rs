//! Dates as people and programs read them, in UTC.

use std::time::SystemTime;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// A moment by the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Moment {
    /// Times before 1970 are 1970.
    pub(super) fn of(time: SystemTime) -> Self {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (days, in_day) = (seconds / DAY_SECONDS, seconds % DAY_SECONDS);
        let (year, month, day) = date(days);
        Self { year, month, day, hour: in_day / 3600, minute: in_day / 60 % 60, second: in_day % 60 }
    }

    /// `2024-02-29 17:05`
    pub(super) fn short(self) -> String {
        let Self { year, month, day, hour, minute, .. } = self;
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
    }

    /// `2024-02-29T17:05:09Z` (RFC 3339)
    pub(super) fn exact(self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The date so many days after 1970-01-01. Years are counted from March, so that the leap day is
/// the last of its year, and in cycles of 400, which all have the same length.
fn date(days: u64) -> (u64, u64, u64) {
    const CYCLE_DAYS: u64 = 146_097;
    const CENTURY_DAYS: u64 = 36_524;
    const FOUR_YEARS_DAYS: u64 = 1461;
    let days = days + 719_468; // Since the first of March of the year 0.
    let (cycle, day) = (days / CYCLE_DAYS, days % CYCLE_DAYS);
    let century = (day / CENTURY_DAYS).min(3);
    let day = day - century * CENTURY_DAYS;
    let (fours, day) = (day / FOUR_YEARS_DAYS, day % FOUR_YEARS_DAYS);
    let single = (day / 365).min(3);
    let day = day - single * 365;
    let year = cycle * 400 + century * 100 + fours * 4 + single;
    let month = (5 * day + 2) / 153; // Of five months from March or August on, 153 days.
    let day = day - (153 * month + 2) / 5 + 1;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(seconds: u64, expected: &str) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(Moment::of(time).exact(), expected);
    }

    #[test]
    fn days_have_their_dates() {
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(951_868_800, "2000-03-01T00:00:00Z");
        check(1_709_226_309, "2024-02-29T17:05:09Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
        check(253_402_300_799, "9999-12-31T23:59:59Z");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let expected = match before {
                (y, 12, 31) => (y + 1, 1, 1),
                (y, m, d) if d == days_of(y, m) => (y, m + 1, 1),
                (y, m, d) => (y, m, d + 1),
            };
            assert_eq!((year, month, day), expected);
            before = expected;
        }
    }

    fn days_of(year: u64, month: u64) -> u64 {
        match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}
