//! `traceparent`: which trace, and which part of it (Trace Context §3.2).

use std::fmt;

use http::Extensions;

use crate::random::{random, random_u128};

/// Which trace a request is part of, and which part of it is served here.
///
/// Shown as a `traceparent` field has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Never 0.
    trace: u128,
    /// Never 0.
    span: u64,
    flags: u8,
}

/// Those who collect traces are to keep this one.
const SAMPLED: u8 = 1;
/// The trace's number is random, so it can be sampled by.
const RANDOM: u8 = 2;

/// `00-` and 32, 16 and 2 digits with hyphens between.
const BYTES: usize = 55;

impl TraceContext {
    /// That of a request behind [`Trace`](super::Trace).
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The trace's number, in 32 digits.
    pub fn trace_id(&self) -> impl fmt::Display {
        let trace = self.trace;
        fmt::from_fn(move |f| write!(f, "{trace:032x}"))
    }

    /// The number of the part that is served here, in 16 digits.
    pub fn span_id(&self) -> impl fmt::Display {
        let span = self.span;
        fmt::from_fn(move |f| write!(f, "{span:016x}"))
    }

    /// The trace's number.
    pub fn trace_number(&self) -> u128 {
        self.trace
    }

    /// The number of the part that is served here.
    pub fn span_number(&self) -> u64 {
        self.span
    }

    /// Whether those who collect traces are to keep this one.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// A new trace; so many of a hundred are to be kept. Which ones depends on their number alone, as
    /// OpenTelemetry's samplers have it, so that all of them keep the same.
    pub(super) fn begin(percent: u8) -> Self {
        let trace = random_u128().max(1);
        // Its last 56 bits are what is random of it for sure (Trace Context level 2 §3.2.2.4).
        let randomness = trace & ((1 << 56) - 1);
        let is_sampled = randomness * 100 >= u128::from(100 - percent.min(100)) << 56;
        let flags = RANDOM | if is_sampled { SAMPLED } else { 0 };
        Self { trace, span: random().max(1), flags }
    }

    /// A new part of the same trace.
    pub(super) fn child(self) -> Self {
        Self { span: random().max(1), ..self }
    }

    /// Reads a field of this version, and of later ones what is as in this one (§3.2.4).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(BYTES)?;
        let [v1, v2, b'-', ids @ ..] = head else { return None };
        let version = number(&[*v1, *v2])?;
        let is_well_ended = if version == 0 { rest.is_empty() } else { matches!(rest.first(), None | Some(b'-')) };
        if version == 0xff || !is_well_ended || ids[32] != b'-' || ids[49] != b'-' {
            return None;
        }
        let (trace, span, flags) = (number(&ids[..32])?, number(&ids[33..49])?, number(&ids[50..])?);
        let (span, flags) = (u64::try_from(span).ok()?, u8::try_from(flags).ok()?);
        (trace != 0 && span != 0).then_some(Self { trace, span, flags: flags & (SAMPLED | RANDOM) })
    }
}

/// At most 32 digits; upper case is none.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((number << 4) | u128::from(value))
    })
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, self.flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = TraceContext::parse(text.as_bytes()).map(|context| context.to_string());
        assert_eq!(found.as_deref(), expected, "{text}");
        for cut in 0..text.len().min(BYTES) {
            assert_eq!(TraceContext::parse(&text.as_bytes()[..cut]), None, "cut at byte {cut}");
        }
    }

    const IDS: &str = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";

    #[test]
    fn reads_what_the_specification_shows() {
        check(&format!("00-{IDS}-01"), Some(&format!("00-{IDS}-01")));
        check(&format!("00-{IDS}-00"), Some(&format!("00-{IDS}-00")));
        check(&format!("00-{IDS}-ff"), Some(&format!("00-{IDS}-03")));
    }

    #[test]
    fn so_many_of_a_hundred_are_to_be_kept() {
        let kept = |percent| (0..2000).filter(|_| TraceContext::begin(percent).is_sampled()).count();
        assert_eq!((kept(0), kept(100)), (0, 2000));
        // Beyond six standard deviations: it does not happen.
        assert!((400..800).contains(&kept(30)), "{}", kept(30));
    }

    #[test]
    fn reads_of_later_versions_what_it_knows() {
        check(&format!("cc-{IDS}-01"), Some(&format!("00-{IDS}-01")));
        check(&format!("cc-{IDS}-01-what-comes"), Some(&format!("00-{IDS}-01")));
        check(&format!("cc-{IDS}-01.what-comes"), None);
        check(&format!("ff-{IDS}-01"), None);
    }

    #[test]
    fn refuses_what_is_none() {
        check("", None);
        check(&format!("00-{IDS}-01-"), None);
        check(&format!("00-{}-01", IDS.to_uppercase()), None);
        check(&format!("00-{IDS}-0g"), None);
        check(&format!("00_{IDS}-01"), None);
        check(&format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16)), None);
        check(&format!("00-{}-{}-01", "1".repeat(32), "0".repeat(16)), None);
        check(&format!("00-{}é-01", "1".repeat(47)), None);
    }
}
