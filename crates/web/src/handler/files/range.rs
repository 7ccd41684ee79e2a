//! Ranges of bytes (RFC 9110 §14).

use http::{HeaderMap, header};

/// The most ranges of one request that are served; of more, the whole is sent instead.
const RANGES_MAX: usize = 32;
/// What is sent around each part of several: two ranges closer than this are sent as one.
const GAP_BYTES: u64 = 128;

/// Bytes from `start` to before `end`; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Span {
    pub(super) fn length(self) -> u64 {
        self.end - self.start
    }

    /// As `Content-Range` says it, of a whole so long.
    pub(super) fn content_range(self, whole: u64) -> String {
        format!("bytes {}-{}/{whole}", self.start, self.end - 1)
    }
}

/// What of a representation is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it: no range is asked for, or none that can be understood.
    Whole,
    /// One part.
    One(Span),
    /// Several parts that neither overlap nor touch, in the order they were asked for.
    Many(Vec<Span>),
    /// Parts that lie behind its end.
    Nothing,
}

/// Reads `Range`, for a representation of so many bytes.
///
/// Overlapping ranges are sent once, so that no request makes a reply larger than the file.
pub(super) fn select(headers: &HeaderMap, length: u64) -> Selection {
    let mut values = headers.get_all(header::RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Selection::Whole };
    let Some(ranges) = value.to_str().ok().and_then(ranges_of) else { return Selection::Whole };
    if length == 0 {
        return Selection::Whole; // There is no way to name a part of nothing.
    }
    let spans: Vec<Span> = ranges.iter().filter_map(|range| range.within(length)).collect();
    match *coalesce(spans) {
        [] => Selection::Nothing,
        [one] => Selection::One(one),
        ref many => Selection::Many(many.to_vec()),
    }
}

/// A range as it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-')?;
        match (first.trim_end(), last.trim_start()) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    fn within(self, length: u64) -> Option<Span> {
        let (start, end) = match self {
            Self::FromTo(first, last) => (first, last.saturating_add(1).min(length)),
            Self::From(first) => (first, length),
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (start < end).then_some(Span { start, end })
    }
}

/// The ranges of a header; `None` if it is of another unit, malformed, or asks for too many.
fn ranges_of(value: &str) -> Option<Vec<Range>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let members = set.split(',').map(str::trim).filter(|member| !member.is_empty());
    let ranges = members.take(RANGES_MAX + 1).map(Range::parse).collect::<Option<Vec<_>>>()?;
    (1..=RANGES_MAX).contains(&ranges.len()).then_some(ranges)
}

/// Digits, and no more than digits. More than can be counted is as good as the most that can.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Joins what overlaps or nearly touches. Where nothing does, the order stays.
fn coalesce(spans: Vec<Span>) -> Vec<Span> {
    let mut sorted = spans.clone();
    sorted.sort_unstable();
    let mut joined: Vec<Span> = Vec::with_capacity(sorted.len());
    for span in sorted {
        match joined.last_mut() {
            Some(last) if span.start <= last.end.saturating_add(GAP_BYTES) => last.end = last.end.max(span.end),
            _ => joined.push(span),
        }
    }
    if joined.len() == spans.len() { spans } else { joined }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of 10,000 bytes.
    #[track_caller]
    fn check(range: &str, expected: Selection) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        assert_eq!(select(&headers, 10_000), expected, "{range}");
    }

    fn one(start: u64, end: u64) -> Selection {
        Selection::One(Span { start, end })
    }

    fn many(spans: &[(u64, u64)]) -> Selection {
        Selection::Many(spans.iter().map(|&(start, end)| Span { start, end }).collect())
    }

    #[test]
    fn one_range() {
        check("bytes=0-499", one(0, 500));
        check("bytes=500-999", one(500, 1000));
        check("bytes=-500", one(9500, 10_000));
        check("bytes=9500-", one(9500, 10_000));
        check("bytes=0-0", one(0, 1));
        check("bytes=9999-9999", one(9999, 10_000));
        check("Bytes = 0 - 4 ", one(0, 5));
        check("bytes=,0-4,,", one(0, 5));
    }

    #[test]
    fn what_reaches_beyond_the_end_is_cut() {
        check("bytes=0-99999999999999999999999", one(0, 10_000));
        check("bytes=-20000", one(0, 10_000));
        check("bytes=9999-10000", one(9999, 10_000));
        check("bytes=0-1,20000-", one(0, 2));
    }

    #[test]
    fn what_lies_beyond_the_end_is_nothing() {
        check("bytes=10000-", Selection::Nothing);
        check("bytes=99999999999999999999999-", Selection::Nothing);
        check("bytes=-0", Selection::Nothing);
        check("bytes=10000-10001, 20000-, -0", Selection::Nothing);
    }

    #[test]
    fn what_is_not_understood_is_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-4",
            "bytes=0-1,x",
            "lines=0-1",
            "bytes=0-1-2",
            "bytes=+1-2",
            "bytes=--5",
            "bytes=0x1-2",
            "bytes:0-1",
            ",",
        ] {
            check(range, Selection::Whole);
        }
        let mut twice = HeaderMap::new();
        twice.append(header::RANGE, "bytes=0-1".parse().unwrap());
        twice.append(header::RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(select(&twice, 10), Selection::Whole);
        assert_eq!(select(&HeaderMap::new(), 10), Selection::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order() {
        check("bytes=0-0,-1", many(&[(0, 1), (9999, 10_000)]));
        check("bytes=5000-5009, 0-9", many(&[(5000, 5010), (0, 10)]));
    }

    #[test]
    fn ranges_that_overlap_or_nearly_touch_are_one() {
        check("bytes=0-,0-,0-", one(0, 10_000));
        check("bytes=0-99,100-199", one(0, 200));
        check("bytes=200-299,0-99", one(0, 300));
        check("bytes=5000-5999,0-9,5500-6500", many(&[(0, 10), (5000, 6501)]));
        check("bytes=0-9,200-209", many(&[(0, 10), (200, 210)]));
    }

    #[test]
    fn too_many_ranges_are_ignored() {
        let ranges = |count: u64| (0..count).map(|at| format!("{0}-{0}", at * 300)).collect::<Vec<_>>().join(",");
        let spans: Vec<_> = (0..32).map(|at| (at * 300, at * 300 + 1)).collect();
        check(&format!("bytes={}", ranges(32)), many(&spans));
        check(&format!("bytes={}", ranges(33)), Selection::Whole);
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, "bytes=0-".parse().unwrap());
        assert_eq!(select(&headers, 0), Selection::Whole);
    }

    proptest! {
        #[test]
        fn no_reply_is_larger_than_the_file(
            ranges in proptest::collection::vec((0_u64..3000, 0_u64..3000, 0_u8..3), 1..40),
            length in 1_u64..2000,
        ) {
            let range = |&(first, more, kind): &(u64, u64, u8)| match kind {
                0 => format!("{first}-{}", first + more),
                1 => format!("{first}-"),
                _ => format!("-{first}"),
            };
            let value = format!("bytes={}", ranges.iter().map(range).collect::<Vec<_>>().join(","));
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, value.parse().unwrap());
            let mut spans = match select(&headers, length) {
                Selection::Whole | Selection::Nothing => Vec::new(),
                Selection::One(span) => vec![span],
                Selection::Many(spans) => spans,
            };
            spans.sort();
            prop_assert!(spans.iter().all(|span| span.start < span.end && span.end <= length));
            prop_assert!(spans.windows(2).all(|pair| pair[0].end + GAP_BYTES < pair[1].start));
        }
    }
}
