//! A figure held against its bar.

use std::fmt;

/// Measuring the same thing twice differs by this much; a ratio that misses its bar by less has not missed it.
const TOLERANCE: f64 = 1.03;

/// What a figure must not exceed, and what it would be good to reach. Less is always better here.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bar {
    pub(crate) bar: Option<f64>,
    pub(crate) aim: Option<f64>,
}

impl Bar {
    pub(crate) const fn none() -> Bar {
        Bar { bar: None, aim: None }
    }

    pub(crate) const fn at_most(bar: f64) -> Bar {
        Bar { bar: Some(bar), aim: None }
    }

    pub(crate) const fn with_aim(bar: f64, aim: f64) -> Bar {
        Bar { bar: Some(bar), aim: Some(aim) }
    }

    pub(crate) const fn only_an_aim(aim: f64) -> Bar {
        Bar { bar: None, aim: Some(aim) }
    }

    /// The bar of the inverse: for what must not be less.
    pub(crate) fn inverted(self) -> Bar {
        Bar { bar: self.bar.map(f64::recip), aim: self.aim.map(f64::recip) }
    }

    pub(crate) fn verdict(self, figure: f64) -> Verdict {
        let reaches = |limit: Option<f64>, slack: f64| limit.is_some_and(|limit| figure <= limit * slack);
        match self {
            Bar { bar: None, aim: None } => Verdict::Shown,
            bar if reaches(bar.aim, 1.0) => Verdict::AimMet,
            bar if reaches(bar.bar, 1.0) => Verdict::Met,
            bar if reaches(bar.bar, TOLERANCE) => Verdict::MetWithinTolerance,
            Bar { bar: None, .. } => Verdict::AimMissed,
            _ => Verdict::Missed,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    AimMet,
    Met,
    MetWithinTolerance,
    /// There is an aim and no bar.
    AimMissed,
    Missed,
    /// For orientation only.
    Shown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::AimMet => "aim met",
            Verdict::Met => "met",
            Verdict::MetWithinTolerance => "met, within 3 %",
            Verdict::AimMissed => "short of the aim",
            Verdict::Missed => "MISSED",
            Verdict::Shown => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bar: Bar, figure: f64, verdict: Verdict) {
        assert_eq!(bar.verdict(figure), verdict);
    }

    #[test]
    fn tells_aim_bar_and_miss_apart() {
        let bar = Bar::with_aim(1.0, 0.9);
        check(bar, 0.9, Verdict::AimMet);
        check(bar, 0.91, Verdict::Met);
        check(bar, 1.0, Verdict::Met);
        check(bar, 1.03, Verdict::MetWithinTolerance);
        check(bar, 1.04, Verdict::Missed);
    }

    #[test]
    fn a_bar_alone_and_an_aim_alone_are_judged_alone() {
        check(Bar::at_most(0.1), 0.05, Verdict::Met);
        check(Bar::only_an_aim(1.25), 1.2, Verdict::AimMet);
        check(Bar::only_an_aim(1.25), 9.0, Verdict::AimMissed);
        check(Bar::none(), 9.0, Verdict::Shown);
    }
}
