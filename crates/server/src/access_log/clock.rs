//! The time of day, which is the same for many lines that come together.

use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Tells the time in one format.
pub(crate) struct Clock {
    zone: TimeZone,
    format: &'static str,
    /// A second, and how it is shown.
    shown: (i64, String),
}

impl Clock {
    pub(crate) fn new(zone: TimeZone, format: &'static str) -> Self {
        Self { zone, format, shown: (i64::MIN, String::new()) }
    }

    /// A time to the second.
    pub(crate) fn at(&mut self, time: SystemTime) -> &str {
        let time = Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH);
        if self.shown.0 != time.as_second() {
            let zoned = Zoned::new(time, self.zone.clone());
            self.shown = (time.as_second(), zoned.strftime(self.format).to_string());
        }
        &self.shown.1
    }

    /// The milliseconds that [`Clock::at`] leaves out.
    pub(crate) fn millis(time: SystemTime) -> u32 {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.subsec_millis())
    }
}
