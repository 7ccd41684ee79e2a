//! Conditional requests (RFC 9110 §13).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// What a representation can be recognised by, as far as that can be trusted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Validators<'a> {
    /// Its strong entity tag, with the quotes.
    pub(super) tag: Option<&'a HeaderValue>,
    /// In whole seconds.
    pub(super) modified: Option<SystemTime>,
}

/// What the preconditions make of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer it.
    Proceed,
    /// The client has it already.
    NotModified,
    /// It is not what the client takes it for.
    Failed,
}

/// Whether a request has any conditions, or asks for a part: most have none, and this is what that
/// costs them.
pub(super) fn is_particular(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let name = name.as_str();
        name.starts_with("if-") || name == "range"
    })
}

/// Evaluates the preconditions of a GET or HEAD for something that exists, in the order of
/// RFC 9110 §13.2.2. `If-Range`, the last of them, is [`range_holds`].
pub(super) fn evaluate(headers: &HeaderMap, validators: Validators<'_>) -> Verdict {
    if headers.contains_key(header::IF_MATCH) {
        if !any_tag(headers, header::IF_MATCH, |tag| is_strong_match(tag, validators)) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, header::IF_UNMODIFIED_SINCE), validators.modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        if any_tag(headers, header::IF_NONE_MATCH, |tag| is_weak_match(tag, validators)) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, header::IF_MODIFIED_SINCE), validators.modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a range may be served: there is no `If-Range`, or it names just this representation.
pub(super) fn range_holds(headers: &HeaderMap, validators: Validators<'_>, now: SystemTime) -> bool {
    let mut values = headers.get_all(header::IF_RANGE).iter();
    let Some(value) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    if value.as_bytes().ends_with(b"\"") {
        return is_strong_match(value.as_bytes().trim_ascii(), validators);
    }
    // A date is strong once its second is over: then no other change can share it (§8.8.2.2).
    let is_over = |modified: SystemTime| modified + Duration::from_secs(1) <= now;
    let modified = validators.modified.filter(|&modified| is_over(modified));
    modified.is_some() && date(headers, header::IF_RANGE) == modified
}

fn is_strong_match(tag: &[u8], validators: Validators<'_>) -> bool {
    // One that begins with `W/` is equal to none of ours.
    validators.tag.is_some_and(|ours| ours.as_bytes() == tag)
}

fn is_weak_match(tag: &[u8], validators: Validators<'_>) -> bool {
    is_strong_match(tag.strip_prefix(b"W/").unwrap_or(tag), validators)
}

/// Whether one of the listed tags matches, or the star, which is for whatever exists.
fn any_tag(headers: &HeaderMap, name: HeaderName, matches: impl Fn(&[u8]) -> bool) -> bool {
    let mut values = headers.get_all(name).iter().map(|value| value.as_bytes());
    values.any(|value| value.trim_ascii() == b"*" || Tags(value).any(&matches))
}

/// The entity tags of a list: they may contain commas. What is no tag ends the list.
struct Tags<'a>(&'a [u8]);

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let list = &self.0[start..];
        let opening = if list.starts_with(b"W/") { 2 } else { 0 };
        if list.get(opening) != Some(&b'"') {
            return None;
        }
        let length = list[opening + 1..].iter().position(|&byte| byte == b'"')?;
        let (tag, rest) = list.split_at(opening + length + 2);
        self.0 = rest;
        Some(tag)
    }
}

/// A date, if there is just one and it can be read: others are to be ignored (§13.1.3, §13.1.4).
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| httpdate::parse_http_date(value.trim()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const EXACTLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        map
    }

    /// A representation tagged `"a,b"`, modified EXACTLY.
    #[track_caller]
    fn check(conditions: &[(&'static str, &'static str)], expected: Verdict) {
        let tag = HeaderValue::from_static("\"a,b\"");
        let modified = httpdate::parse_http_date(EXACTLY).ok();
        let validators = Validators { tag: Some(&tag), modified };
        assert_eq!(evaluate(&headers(conditions), validators), expected, "{conditions:?}");
    }

    use Verdict::{Failed, NotModified, Proceed};

    #[test]
    fn without_conditions_it_is_answered() {
        check(&[], Proceed);
        check(&[("range", "bytes=0-")], Proceed);
    }

    #[test]
    fn if_match_compares_strongly() {
        check(&[("if-match", "\"a,b\"")], Proceed);
        check(&[("if-match", "*")], Proceed);
        check(&[("if-match", "\"x\", \"a,b\"")], Proceed);
        check(&[("if-match", "\"x\""), ("if-match", "\"a,b\"")], Proceed);
        check(&[("if-match", "W/\"a,b\"")], Failed);
        check(&[("if-match", "\"x\"")], Failed);
        check(&[("if-match", "a,b")], Failed);
        check(&[("if-match", "")], Failed);
    }

    #[test]
    fn if_unmodified_since_counts_without_if_match() {
        check(&[("if-unmodified-since", BEFORE)], Failed);
        check(&[("if-unmodified-since", EXACTLY)], Proceed);
        check(&[("if-unmodified-since", AFTER)], Proceed);
        check(&[("if-unmodified-since", "yesterday")], Proceed);
        check(&[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)], Proceed);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        check(&[("if-none-match", "\"a,b\"")], NotModified);
        check(&[("if-none-match", "W/\"a,b\"")], NotModified);
        check(&[("if-none-match", "*")], NotModified);
        check(&[("if-none-match", "\"x\" , ,W/\"y\",\"a,b\"")], NotModified);
        check(&[("if-none-match", "\"a\"")], Proceed);
        check(&[("if-none-match", "\"a,b")], Proceed);
        check(&[("if-none-match", "nonsense, \"a,b\"")], Proceed);
    }

    #[test]
    fn if_modified_since_counts_without_if_none_match() {
        check(&[("if-modified-since", AFTER)], NotModified);
        check(&[("if-modified-since", EXACTLY)], NotModified);
        check(&[("if-modified-since", BEFORE)], Proceed);
        check(&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified);
        check(&[("if-modified-since", "Sun Nov  6 08:49:37 1994")], NotModified);
        check(&[("if-modified-since", "1994")], Proceed);
        check(&[("if-modified-since", AFTER), ("if-modified-since", AFTER)], Proceed);
        check(&[("if-none-match", "\"x\""), ("if-modified-since", AFTER)], Proceed);
    }

    #[test]
    fn the_first_to_fail_decides() {
        check(&[("if-match", "\"x\""), ("if-none-match", "\"a,b\"")], Failed);
        check(&[("if-unmodified-since", BEFORE), ("if-none-match", "\"a,b\"")], Failed);
        check(&[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")], NotModified);
        check(&[("if-unmodified-since", AFTER), ("if-modified-since", AFTER)], NotModified);
    }

    #[test]
    fn what_cannot_be_recognised_matches_only_the_star() {
        let evaluate = |conditions| evaluate(&headers(conditions), Validators::default());
        assert_eq!(evaluate(&[("if-none-match", "\"a,b\"")]), Proceed);
        assert_eq!(evaluate(&[("if-modified-since", AFTER)]), Proceed);
        assert_eq!(evaluate(&[("if-unmodified-since", BEFORE)]), Proceed);
        assert_eq!(evaluate(&[("if-match", "\"a,b\"")]), Failed);
        assert_eq!(evaluate(&[("if-match", "*")]), Proceed);
    }

    #[track_caller]
    fn check_range(if_range: &[&'static str], now: &str, expected: bool) {
        let tag = HeaderValue::from_static("\"a,b\"");
        let validators = Validators { tag: Some(&tag), modified: httpdate::parse_http_date(EXACTLY).ok() };
        let conditions: Vec<_> = if_range.iter().map(|value| ("if-range", *value)).collect();
        let now = httpdate::parse_http_date(now).unwrap();
        assert_eq!(range_holds(&headers(&conditions), validators, now), expected, "{if_range:?}");
    }

    #[test]
    fn a_range_needs_the_very_same_bytes() {
        check_range(&[], AFTER, true);
        check_range(&["\"a,b\""], AFTER, true);
        check_range(&["W/\"a,b\""], AFTER, false);
        check_range(&["\"x\""], AFTER, false);
        check_range(&["*"], AFTER, false);
        check_range(&["\"a,b\"", "\"a,b\""], AFTER, false);
        check_range(&[EXACTLY], AFTER, true);
        check_range(&[AFTER], AFTER, false);
        check_range(&[BEFORE], AFTER, false);
        check_range(&[EXACTLY], EXACTLY, false);
        check_range(&["soon"], AFTER, false);
    }
}
