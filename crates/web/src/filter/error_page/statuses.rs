//! Which statuses a page is for.

use std::ops::RangeInclusive;
use std::str::FromStr;

use http::StatusCode;

use crate::setting::BadSetting;

/// A status of a failure, as in `404`, all of a class, as in `5xx`, or a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(RangeInclusive<u16>);

impl Statuses {
    /// The statuses from the first to the last; those that are no failures get no page.
    pub fn range(first: u16, last: u16) -> Self {
        Self(first..=last)
    }

    pub(super) fn contain(&self, status: StatusCode) -> bool {
        self.0.contains(&status.as_u16())
    }
}

impl FromStr for Statuses {
    type Err = BadSetting;

    fn from_str(text: &str) -> Result<Self, BadSetting> {
        let range = match text {
            "4xx" => 400..=499,
            "5xx" => 500..=599,
            text => {
                let status = text.parse().ok().filter(|status| (400..=599).contains(status) && text.len() == 3);
                let status = status.ok_or_else(|| {
                    BadSetting::new(format!("`{text}` is no status of a failure: write it as in 404, 4xx or 5xx"))
                })?;
                status..=status
            }
        };
        Ok(Self(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, inside: &[u16], outside: &[u16]) {
        let statuses: Statuses = text.parse().unwrap();
        for (list, expected) in [(inside, true), (outside, false)] {
            for &status in list {
                assert_eq!(statuses.contain(StatusCode::from_u16(status).unwrap()), expected, "{status} in {text}");
            }
        }
    }

    #[test]
    fn one_or_a_class() {
        check("404", &[404], &[403, 405, 200]);
        check("4xx", &[400, 499], &[399, 500]);
        check("5xx", &[500, 599], &[499, 600]);
    }

    #[test]
    fn only_failures_have_pages() {
        for text in ["", "2xx", "200", "304", "600", "x", "4XX", "0404", "+404", "404-410"] {
            assert!(text.parse::<Statuses>().is_err(), "{text}");
        }
    }
}
