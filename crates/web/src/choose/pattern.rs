//! Patterns of paths in routes that are tried in order.

use std::fmt;

use super::path::{Path, decode};
use crate::router::segment::is_dots;

/// Segments a pattern may have; the deepest paths of real sites have about ten.
pub const SEGMENTS_MAX: usize = 64;

/// What a route says about the paths it takes.
///
/// | written | takes |
/// |---|---|
/// | `/about` | this path alone |
/// | `/api/*` | `/api` and all beneath it |
/// | `/users/{id}` | one segment in place of `{id}` |
/// | `*.php` | any path that ends so |
/// | `/img/*.png` | any path beneath `/img` that ends so |
/// | `*` | any path |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    pub(super) segments: Vec<Segment>,
    pub(super) tail: Tail,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// These bytes, with the slash before them.
    Literal(Box<[u8]>),
    /// `{name}`: any one segment.
    Parameter(Box<str>),
}

/// What may follow the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing.
    End,
    /// A slash.
    Slash,
    /// `/*`: nothing, or a slash and anything.
    Under,
    /// `/*.png`: a slash, anything, and this.
    Beneath(Box<[u8]>),
    /// `*.php`: anything, and this. There are no segments before it.
    Anywhere(Box<[u8]>),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPattern {
    /// Where in it, in bytes.
    pub at: usize,
    /// What is wrong, and what to write instead.
    pub problem: &'static str,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// If it could match no path, or says more than a pattern can.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let bad = |at, problem| Err(BadPattern { at, problem });
        if let Some(at) = text.find(['?', '#']) {
            return bad(at, "a route matches the path only: match the query by `query` within `match`");
        }
        let mut pattern = Self { text: text.into(), segments: Vec::new(), tail: Tail::End };
        if let Some(ending) = text.strip_prefix('*') {
            pattern.tail = if ending.is_empty() { Tail::Under } else { Tail::Anywhere(literal(ending, 1)?) };
            return Ok(pattern);
        }
        let Some(names) = text.strip_prefix('/') else {
            return bad(0, "a path begins with `/`, or with `*` where its end counts, as in `*.php`");
        };
        let mut at = 1;
        let mut segments = names.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            match segment.split_once('*') {
                Some(("", "")) if is_last => pattern.tail = Tail::Under,
                Some(("", ending)) if is_last => pattern.tail = Tail::Beneath(literal(ending, at + 1)?),
                Some((before, _)) => {
                    return bad(
                        at + before.len(),
                        "`*` begins the last segment, and there is one; write a plain one as %2A",
                    );
                }
                None if segment.is_empty() && is_last => pattern.tail = Tail::Slash,
                None => pattern.segments.push(one(segment, at)?),
            }
            at += segment.len() + 1;
        }
        if pattern.segments.len() > SEGMENTS_MAX {
            return bad(0, "more than 64 segments");
        }
        let names: Vec<_> = pattern.parameters().collect();
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return bad(0, "two parameters have the same name");
        }
        Ok(pattern)
    }

    /// Whether it takes this path.
    pub fn matches(&self, path: &Path<'_>) -> bool {
        let path = path.bytes();
        match &self.tail {
            Tail::Anywhere(ending) => path.starts_with(b"/") && path.ends_with(ending),
            _ if self.is_any() => true,
            tail => self.after_segments(path).is_some_and(|rest| tail.takes(rest)),
        }
    }

    /// Whether it takes any path.
    pub fn is_any(&self) -> bool {
        self.segments.is_empty() && self.tail == Tail::Under
    }

    /// What this path has in place of `{name}`.
    pub fn parameter<'p>(&self, path: &'p Path<'_>, name: &str) -> Option<&'p [u8]> {
        let at =
            self.segments.iter().position(|segment| matches!(segment, Segment::Parameter(own) if **own == *name))?;
        path.bytes().split(|&byte| byte == b'/').nth(at + 1)
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }

    /// What all paths begin with that it takes, without a slash at its end: `/api` of `/api/*`. Empty if they have no
    /// beginning in common.
    pub fn mount(&self) -> Vec<u8> {
        let literals = self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(bytes) => Some(&bytes[..]),
            Segment::Parameter(_) => None,
        });
        literals.flatten().copied().collect()
    }

    /// Whether it takes all that `other` takes. It errs on one side alone: what it affirms is so.
    pub fn covers(&self, other: &Self) -> bool {
        if let Tail::Anywhere(ending) = &self.tail {
            return other.known_end(0).ends_with(ending);
        }
        if other.segments.len() < self.segments.len() || matches!(other.tail, Tail::Anywhere(_)) {
            return self.is_any();
        }
        let covered = |(own, other): (&Segment, &Segment)| match own {
            Segment::Parameter(_) => true,
            Segment::Literal(_) => own == other,
        };
        let further = self.segments.len();
        let has_rest = other.segments.len() > further;
        self.segments.iter().zip(&other.segments).all(covered)
            && match &self.tail {
                Tail::Under => true,
                Tail::End => !has_rest && other.tail == Tail::End,
                Tail::Slash => !has_rest && other.tail == Tail::Slash,
                Tail::Beneath(ending) => match &other.tail {
                    Tail::Beneath(end) => end.ends_with(ending),
                    _ => other.known_end(further).get(1..).is_some_and(|end| end.ends_with(ending)),
                },
                Tail::Anywhere(_) => false,
            }
    }

    /// A path it takes.
    pub(super) fn example(&self) -> Vec<u8> {
        let mut path: Vec<u8> = Vec::new();
        for segment in &self.segments {
            path.extend_from_slice(match segment {
                Segment::Literal(literal) => literal,
                Segment::Parameter(_) => b"/x",
            });
        }
        match &self.tail {
            Tail::End => {}
            Tail::Slash => path.push(b'/'),
            Tail::Under if path.is_empty() => path.push(b'/'),
            Tail::Under => {}
            Tail::Beneath(ending) => {
                path.extend_from_slice(b"/x");
                path.extend_from_slice(ending);
            }
            Tail::Anywhere(ending) => {
                if !ending.starts_with(b"/") {
                    path.extend_from_slice(b"/x");
                }
                path.extend_from_slice(ending);
            }
        }
        path
    }

    /// The literal segments it begins with, as a path.
    pub(super) fn literal_prefix(&self) -> Vec<u8> {
        let literals = self.segments.iter().map_while(|segment| match segment {
            Segment::Literal(literal) => Some(&**literal),
            Segment::Parameter(_) => None,
        });
        literals.flatten().copied().collect()
    }

    /// What is left of a path behind the segments, if it has them.
    fn after_segments<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let mut left = path;
        for segment in &self.segments {
            left = match segment {
                Segment::Literal(literal) => {
                    let after = left.strip_prefix(&**literal)?;
                    (after.is_empty() || after[0] == b'/').then_some(after)?
                }
                Segment::Parameter(_) => {
                    let value = left.strip_prefix(b"/")?;
                    let end = value.iter().position(|&byte| byte == b'/').unwrap_or(value.len());
                    (end > 0).then(|| &value[end..])?
                }
            };
        }
        Some(left)
    }

    /// With what every path it takes ends, of the segments from `first` on and the tail.
    fn known_end(&self, first: usize) -> Vec<u8> {
        let tail: &[u8] = match &self.tail {
            Tail::Under => return Vec::new(),
            Tail::Beneath(ending) | Tail::Anywhere(ending) => return ending.to_vec(),
            Tail::Slash => b"/",
            Tail::End => b"",
        };
        let own = &self.segments[first..];
        let begin = own.iter().rposition(|segment| matches!(segment, Segment::Parameter(_))).map_or(0, |at| at + 1);
        let literals = own[begin..].iter().flat_map(|segment| match segment {
            Segment::Literal(literal) => &**literal,
            Segment::Parameter(_) => b"",
        });
        literals.chain(tail).copied().collect()
    }
}

impl Tail {
    fn takes(&self, rest: &[u8]) -> bool {
        match self {
            Self::End => rest.is_empty(),
            Self::Slash => rest == b"/",
            Self::Under => true,
            Self::Beneath(ending) => rest.strip_prefix(b"/").is_some_and(|rest| rest.ends_with(ending)),
            Self::Anywhere(_) => false,
        }
    }
}

fn one(segment: &str, at: usize) -> Result<Segment, BadPattern> {
    if let Some(name) = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
        return match is_name {
            true => Ok(Segment::Parameter(name.into())),
            false => Err(BadPattern { at: at + 1, problem: "a name is made of letters, digits, `_` and `-`" }),
        };
    }
    let decoded = literal(segment, at)?;
    if decoded.is_empty() || decoded.contains(&b'/') {
        return Err(BadPattern { at, problem: "paths are matched without empty segments and escaped slashes" });
    }
    if is_dots(&decoded) {
        return Err(BadPattern { at, problem: DOTS });
    }
    Ok(Segment::Literal([b"/", &*decoded].concat().into()))
}

/// Text that stands for itself: escapes undone, as they are in paths.
fn literal(text: &str, at: usize) -> Result<Box<[u8]>, BadPattern> {
    let bad = |within, problem| Err(BadPattern { at: at + within, problem });
    if let Some(star) = text.find('*') {
        return bad(star, "there is one `*`; write a plain one as %2A");
    }
    if let Some(brace) = text.find(['{', '}']) {
        return bad(brace, "a parameter is a whole segment, as in `/{name}/`; write a plain brace as %7B or %7D");
    }
    let Ok(decoded) = decode(text.as_bytes()) else {
        return bad(0, "a `%` is followed by two hexadecimal digits; write a plain one as %25");
    };
    // Text begins in the middle of a segment, or is one.
    if decoded.split(|&byte| byte == b'/').skip(1).any(is_dots) {
        return bad(0, DOTS);
    }
    if decoded.windows(2).any(|pair| pair == b"//") {
        return bad(0, "paths are matched without empty segments");
    }
    Ok(decoded.into())
}

const DOTS: &str = "`.` and `..` never match; write the path they lead to";

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem)
    }
}

impl std::error::Error for BadPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, taken: &[&str], not_taken: &[&str]) {
        let pattern = Pattern::parse(pattern).expect("a good pattern");
        let matches = |path: &str| pattern.matches(&Path::parse(path).expect("a good path"));
        taken.iter().for_each(|path| assert!(matches(path), "{pattern} takes {path}"));
        not_taken.iter().for_each(|path| assert!(!matches(path), "{pattern} does not take {path}"));
    }

    #[test]
    fn takes_what_it_says() {
        check("/about", &["/about", "/%61bout", "//about"], &["/about/", "/abouts", "/about/us", "/"]);
        check("/about/", &["/about/"], &["/about"]);
        check("/", &["/", "//"], &["/a", "*"]);
        check("/api/*", &["/api", "/api/", "/api/x/y"], &["/apis", "/", "/x/api"]);
        check("/a%20b/*", &["/a%20b/c"], &["/a+b"]);
        check("*", &["/", "/a/b", "*"], &[]);
        check("/*", &["/", "/a/b", "*"], &[]);
        check("*.php", &["/a.php", "/a/b.php", "/.php"], &["/a.php/x", "/a.PHP", "/php"]);
        check("*/feed", &["/feed", "/a/feed"], &["/feed/", "/xfeed"]);
        check("/img/*.png", &["/img/a.png", "/img/a/b.png"], &["/img.png", "/a.png", "/img/a.jpg", "/imgs/a.png"]);
        check("/u/{id}", &["/u/7", "/u/x%2Ey"], &["/u", "/u/", "/u/7/"]);
        check("/u/{id}/*", &["/u/7", "/u/7/", "/u/7/a"], &["/u/", "/u"]);
    }

    #[test]
    fn gives_what_stands_for_a_parameter() {
        let pattern = Pattern::parse("/u/{user}/p/{post}").unwrap();
        let path = Path::parse("/u/a%20b/p/7").unwrap();
        assert_eq!(pattern.parameter(&path, "user"), Some(&b"a b"[..]));
        assert_eq!(pattern.parameter(&path, "post"), Some(&b"7"[..]));
        assert_eq!(pattern.parameter(&path, "other"), None);
    }

    #[track_caller]
    fn refuse(text: &str, at: usize) {
        assert_eq!(Pattern::parse(text).map_err(|bad| bad.at).expect_err(text), at, "{text}");
    }

    #[test]
    fn says_where_it_makes_no_sense() {
        refuse("about", 0);
        refuse("", 0);
        refuse("/a?b", 2);
        refuse("/a/*/b", 3);
        refuse("/a*", 2);
        refuse("**", 1);
        refuse("/a/{}", 4);
        refuse("/a/x{b}", 4);
        refuse("/a//b", 3);
        refuse("/a/../b", 3);
        refuse("/a/%2", 3);
        refuse("/a%2Fb", 1);
        refuse("/{a}/{a}", 0);
        refuse(&"/a".repeat(SEGMENTS_MAX + 1), 0);
    }

    #[track_caller]
    fn covers(wide: &str, narrow: &str, expected: bool) {
        let parse = |text| Pattern::parse(text).expect("a good pattern");
        assert_eq!(parse(wide).covers(&parse(narrow)), expected, "{wide} over {narrow}");
    }

    #[test]
    fn knows_what_it_covers() {
        for narrow in ["/a", "/a/*", "*.php", "*", "/", "/{x}"] {
            covers("*", narrow, true);
            covers("/*", narrow, true);
            covers("/b", narrow, false);
        }
        covers("/a/*", "/a", true);
        covers("/a/*", "/a/b/", true);
        covers("/a/*", "/a/*.php", true);
        covers("/a/*", "/ab", false);
        covers("/a", "/a/*", false);
        covers("/{x}", "/a", true);
        covers("/a", "/{x}", false);
        covers("/{x}/*", "/a/{y}", true);
        covers("*.php", "/a/b.php", true);
        covers("*.php", "/a/*.php", true);
        covers("*.php", "*index.php", true);
        covers("*.php", "/a/*", false);
        covers("/a/*.php", "/a/b/c.php", true);
        covers("/a/*.php", "/a.php", false);
        covers("/a/*b", "/a/b", true);
    }
}
