//! Certificates as JSON has them.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use unary_net::tls::{Certificate, Validity};

use super::status::time_text;

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Whoever renews one by hand wants to know this long before it expires. One of days has less.
const SOON_MAX: Duration = DAY.saturating_mul(14);
const SOON_SHARE: u32 = 5;

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CertificateStatus {
    pub(crate) names: Vec<String>,
    pub(crate) issuer: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    /// Negative once it has expired.
    pub(crate) days_left: i64,
    pub(crate) is_valid: bool,
    /// Somebody should see to it.
    pub(crate) is_due: bool,
}

impl CertificateStatus {
    pub(super) fn of(certificate: &Certificate, now: SystemTime) -> Self {
        let (from, until) = (certificate.not_before(), certificate.not_after());
        let life = until.duration_since(from).unwrap_or_default();
        let soon = SOON_MAX.min(life / SOON_SHARE);
        Self {
            names: certificate.names().iter().map(ToString::to_string).collect(),
            issuer: certificate.issuer().to_owned(),
            not_before: time_text(from),
            not_after: time_text(until),
            days_left: days_until(until, now),
            is_valid: matches!(certificate.validity(now), Validity::Valid(_)),
            is_due: until.duration_since(now).map_or(true, |left| left < soon),
        }
    }
}

/// Whole days, rounded down: one that has expired has -1 at most.
fn days_until(time: SystemTime, now: SystemTime) -> i64 {
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(now).map_or_else(|past| -1 - days(past.duration()), days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole() {
        let now = SystemTime::UNIX_EPOCH + DAY * 100;
        for (after, expected) in [(DAY * 3, 3), (DAY * 2 + Duration::from_secs(1), 2), (Duration::ZERO, 0)] {
            assert_eq!(days_until(now + after, now), expected);
        }
        assert_eq!(days_until(now - Duration::from_secs(1), now), -1);
        assert_eq!(days_until(now - DAY * 3, now), -4);
    }
}
