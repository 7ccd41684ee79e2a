//! Patterns: what a route says about the paths it answers, parsed once and then trusted.

use std::collections::HashSet;
use std::fmt;

use super::host::Host;
use super::segment;

/// Segments a pattern may have. The deepest paths of real sites have about ten; matching
/// recurses this deep at most, however long a request's path is.
pub const SEGMENTS_MAX: usize = 64;

/// Parameters a pattern may have, nested prefixes included. Bounds what a match keeps.
pub const PARAMS_MAX: usize = 16;

/// What a route says about the paths it answers; see [the language](super#patterns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: Box<str>,
    pub(super) host: Host,
    pub(super) segments: Vec<Segment>,
    pub(super) tail: Tail,
}

/// One segment of a path: what stands between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// These bytes, percent-decoded, with the slash before them, lest any be empty: comparing
    /// empty slices was measured at 40 ns, as libc's `memcmp` then reads where they dangle.
    Literal(Box<[u8]>),
    /// `{name}`: any one segment that is not empty.
    Parameter(Box<str>),
}

/// What may follow the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    End,
    /// `/{*name}`: a slash, then anything or nothing. The name may be empty.
    Below(Box<str>),
    /// `/*`: nothing, or what `{*}` takes.
    Under,
}

/// Why a route cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// The pattern makes no sense.
    Pattern {
        /// The pattern.
        pattern: String,
        /// Where in it, in bytes.
        at: usize,
        /// What is wrong, and what to write instead.
        problem: &'static str,
    },
    /// An earlier route answers everything this one would.
    Hidden {
        /// This route.
        route: String,
        /// The earlier one.
        earlier: String,
    },
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, RouteError> {
        let refuse = |(at, problem)| RouteError::Pattern { pattern: text.to_owned(), at, problem };
        let Some(slash) = text.find('/') else { return Err(refuse((text.len(), "a path begins with `/`"))) };
        let host = Host::parse(&text[..slash]).map_err(|problem| refuse((0, problem)))?;
        let (segments, tail) = path(text, slash).map_err(refuse)?;
        let pattern = Self { text: text.into(), host, segments, tail };
        let mut names = HashSet::new();
        if !pattern.names().filter(|name| !name.is_empty()).all(|name| names.insert(name)) {
            return Err(refuse((text.len(), "two parameters have the same name; rename one")));
        }
        if names.len() > PARAMS_MAX {
            return Err(refuse((text.len(), "more than 16 parameters")));
        }
        Ok(pattern)
    }

    /// This pattern beneath a prefix, `[host][/path]`. A lone `/` becomes the prefix itself.
    pub(super) fn beneath(&self, prefix: &str) -> Result<Self, RouteError> {
        let (own_host, path) = self.text.split_at(self.text.find('/').unwrap_or_default());
        let refuse = |at, problem| Err(RouteError::Pattern { pattern: prefix.to_owned(), at, problem });
        let (host, prefix_path) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
        if !host.is_empty() && !own_host.is_empty() {
            return refuse(0, "the routes beneath this host have hosts of their own");
        }
        let prefix_path = if prefix_path == "/" { "" } else { prefix_path };
        if prefix_path.ends_with('/') {
            return refuse(prefix.len() - 1, "a prefix does not end in `/`; leave it out");
        }
        if prefix_path.ends_with('*') || prefix_path.contains("{*") {
            return refuse(prefix.len() - 1, "nothing can stand beneath a wildcard");
        }
        let path = if path == "/" && !prefix_path.is_empty() { "" } else { path };
        Self::parse(&format!("{host}{own_host}{prefix_path}{path}"))
    }

    /// The names of its parameters in order; the wildcard's, if it has one, is the last.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let parameters = self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(&**name),
            Segment::Literal(_) => None,
        });
        parameters.chain(self.wildcard())
    }

    /// The name of its wildcard.
    pub(super) fn wildcard(&self) -> Option<&str> {
        match &self.tail {
            Tail::Below(name) => Some(name),
            Tail::End | Tail::Under => None,
        }
    }
}

type Problem = (usize, &'static str);

fn path(text: &str, start: usize) -> Result<(Vec<Segment>, Tail), Problem> {
    if let Some(at) = text.find(['?', '#']) {
        return Err((at, "a route matches the path only; take the query out"));
    }
    let mut segments = Vec::new();
    let mut at = start;
    while at < text.len() {
        let begin = at + 1;
        let end = text[begin..].find('/').map_or(text.len(), |length| begin + length);
        let written = &text[begin..end];
        if let Some(tail) = tail(written, begin)? {
            let last = end == text.len();
            return if last { Ok((segments, tail)) } else { Err((begin, "a wildcard is the last segment")) };
        }
        segments.push(one(written, begin)?);
        if segments.len() > SEGMENTS_MAX {
            return Err((begin, "more than 64 segments"));
        }
        at = end;
    }
    Ok((segments, Tail::End))
}

/// The tail, if this segment is one.
fn tail(written: &str, at: usize) -> Result<Option<Tail>, Problem> {
    if written == "*" {
        return Ok(Some(Tail::Under));
    }
    let Some(name) = written.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) else { return Ok(None) };
    let named = name.is_empty() || is_name(name);
    if named { Ok(Some(Tail::Below(name.into()))) } else { Err((at + 2, NAME)) }
}

fn one(written: &str, at: usize) -> Result<Segment, Problem> {
    if let Some(name) = written.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        return if is_name(name) { Ok(Segment::Parameter(name.into())) } else { Err((at + 1, NAME)) };
    }
    if let Some(brace) = written.find(['{', '}']) {
        return Err((
            at + brace,
            "a parameter is a whole segment, as in `/{name}/`; write a plain brace as %7B or %7D",
        ));
    }
    if let Some(star) = written.find('*') {
        return Err((at + star, "`*` stands alone in the last segment; write a plain star as %2A"));
    }
    let Some(literal) = segment::decode(written.as_bytes()) else {
        return Err((at, "a `%` is followed by two hexadecimal digits; write a plain one as %25"));
    };
    if segment::is_dots(&literal) {
        return Err((at, "`.` and `..` never match; write the path they lead to"));
    }
    Ok(Segment::Literal([b"/", &*literal].concat().into()))
}

const NAME: &str = "a name is made of letters, digits, `_` and `-`";

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern { pattern, at, problem } => {
                write!(f, "the route `{pattern}` makes no sense at byte {at}: {problem}")
            }
            Self::Hidden { route, earlier } => {
                write!(f, "the route `{route}` is hidden by the earlier `{earlier}`: remove one of them")
            }
        }
    }
}

impl std::error::Error for RouteError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: Result<(), Problem>) {
        let outcome = Pattern::parse(pattern).map(|_| ());
        let expected = expected.map_err(|(at, problem)| RouteError::Pattern { pattern: pattern.into(), at, problem });
        assert_eq!(outcome, expected);
    }

    #[test]
    fn reads_every_kind_of_segment() {
        let pattern = Pattern::parse("example.com/a/{id}/caf%C3%A9//{*rest}").expect("a good pattern");
        let literal = |text: &str| Segment::Literal(text.as_bytes().into());
        let parameter = Segment::Parameter("id".into());
        assert_eq!(pattern.segments, [literal("/a"), parameter, literal("/café"), literal("/")]);
        assert_eq!(pattern.tail, Tail::Below("rest".into()));
        assert_eq!(pattern.names().collect::<Vec<_>>(), ["id", "rest"]);
    }

    #[test]
    fn says_where_a_pattern_makes_no_sense() {
        check("users", Err((5, "a path begins with `/`")));
        check("/a?b", Err((2, "a route matches the path only; take the query out")));
        check("/a/{}", Err((4, NAME)));
        check("/a/*/b", Err((3, "a wildcard is the last segment")));
        check("/a/%2", Err((3, "a `%` is followed by two hexadecimal digits; write a plain one as %25")));
        check("/a/%2e./b", Err((3, "`.` and `..` never match; write the path they lead to")));
        check("/{a}/{a}", Err((8, "two parameters have the same name; rename one")));
        check("/*.php", Err((1, "`*` stands alone in the last segment; write a plain star as %2A")));
    }

    #[test]
    fn bounds_segments_and_parameters() {
        check(&"/a".repeat(SEGMENTS_MAX), Ok(()));
        check(&"/a".repeat(SEGMENTS_MAX + 1), Err((2 * SEGMENTS_MAX + 1, "more than 64 segments")));
        let many: String = (0..=PARAMS_MAX).map(|n| format!("/{{p{n}}}")).collect();
        check(&many, Err((many.len(), "more than 16 parameters")));
    }

    #[test]
    fn a_prefix_goes_in_front() {
        let beneath = |prefix, pattern| Pattern::parse(pattern).expect("a good pattern").beneath(prefix);
        let text = |prefix, pattern| beneath(prefix, pattern).expect("a good prefix").text;
        assert_eq!(&*text("/api", "/users/{id}"), "/api/users/{id}");
        assert_eq!(&*text("/api", "/"), "/api");
        assert_eq!(&*text("/", "/"), "/");
        assert_eq!(&*text("example.com", "/"), "example.com/");
        assert_eq!(&*text("/api", "example.com/x"), "example.com/api/x");
        beneath("/api/", "/x").expect_err("it ends in a slash");
        beneath("/a/*", "/x").expect_err("it is a wildcard");
        beneath("a.example", "b.example/x").expect_err("two hosts");
    }
}
