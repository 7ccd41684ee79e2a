//! The path of a request, undisguised: what routes are chosen by.
//!
//! Services look through disguises: a file is found by `/%61dmin/x`, `//admin/x` and `/admin%2Fx`
//! alike, or some program behind a proxy does it. Were routes chosen by the path as it was sent, such
//! a path would lead around the route that guards `/admin/*`. So it is chosen by what the path comes
//! to, and one that says `..` is not chosen for at all.

use std::borrow::Cow;
use std::fmt;

use crate::router::segment::is_dots;

/// A request's path with its escapes undone and without empty segments. The slash at its end stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a>(Cow<'a, [u8]>);

/// Why a path leads to no route: such a request is to be answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// A `%` without two hexadecimal digits.
    Escape,
    /// A segment `.` or `..`, encoded or not, or what is taken for one (`..;x`): it means another path, which other
    /// routes may guard.
    Dots,
}

impl<'a> Path<'a> {
    /// Reads the path of a URI. What is no path, as the `*` of `OPTIONS *`, stays as it is and
    /// leads to the routes for any path.
    ///
    /// # Errors
    ///
    /// If nobody can tell what it comes to.
    pub fn parse(path: &'a str) -> Result<Self, BadPath> {
        let written = path.as_bytes();
        if !written.starts_with(b"/") || is_plain(written) {
            return Ok(Self(Cow::Borrowed(written)));
        }
        let decoded = decode(written)?;
        let mut plain = Vec::with_capacity(decoded.len());
        for segment in decoded.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty()) {
            if is_dots(segment) {
                return Err(BadPath::Dots);
            }
            plain.push(b'/');
            plain.extend_from_slice(segment);
        }
        if decoded.ends_with(b"/") {
            plain.push(b'/');
        }
        Ok(Self(Cow::Owned(plain)))
    }

    /// What a pattern says of itself.
    pub(super) fn of_example(path: Vec<u8>) -> Path<'static> {
        Path(Cow::Owned(path))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Whether it is what it says: no escapes, no empty segment, none that begins with a dot, and nothing that is a slash
/// to some.
fn is_plain(path: &[u8]) -> bool {
    let mut before = 0;
    for &byte in path {
        if matches!(byte, b'%' | b'\\') || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    true
}

/// Undoes escapes once (RFC 3986 §2.1). An escaped slash becomes a slash: whoever serves may take it for one.
pub(super) fn decode(written: &[u8]) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(written.len());
    let mut left = written.iter();
    let hex = |digit: Option<&u8>| digit.and_then(|&digit| char::from(digit).to_digit(16)).ok_or(BadPath::Escape);
    while let Some(&byte) = left.next() {
        let byte = match byte {
            b'%' => (hex(left.next())? << 4 | hex(left.next())?).to_le_bytes()[0],
            byte => byte,
        };
        decoded.push(byte);
    }
    Ok(decoded)
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Escape => "a `%` without two hexadecimal digits",
            Self::Dots => "a segment `.` or `..`",
        })
    }
}

impl std::error::Error for BadPath {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, BadPath>) {
        let found = Path::parse(path);
        assert_eq!(found.as_ref().map(Path::bytes), expected.map(str::as_bytes).as_ref().copied(), "{path}");
    }

    #[test]
    fn a_plain_path_stays_as_it_is() {
        for path in ["/", "/a", "/a/b/", "/a.b/c..", "*", "", "/a..b", "/a;..", "/a;x=1/b"] {
            check(path, Ok(path));
        }
        assert!(matches!(Path::parse("/a/b").unwrap().0, Cow::Borrowed(_)), "nothing is allocated");
    }

    #[test]
    fn disguises_are_looked_through() {
        for path in
            ["/admin/x", "//admin/x", "/%61dmin/x", "/admin%2Fx", "/admin%2fx", "///admin//x", "%2F", "/%2Fadmin/x"]
        {
            let expected = if path.starts_with('/') { "/admin/x" } else { path };
            check(path, Ok(expected));
        }
        check("//", Ok("/"));
        check("/a//", Ok("/a/"));
        check("/.well-known/x", Ok("/.well-known/x"));
        check("/%252e%252e/", Ok("/%2e%2e/"));
    }

    #[test]
    fn what_means_another_path_is_refused() {
        for path in [
            "/..",
            "/.",
            "/a/../b",
            "/%2e%2e/x",
            "/a%2f..%2fb",
            "/.%2E/",
            "/a/./b",
            "/x/..;/admin",
            "/..%3bx/y",
            "/a%5c..%5cb",
            "/a\\..\\b",
        ] {
            check(path, Err(BadPath::Dots));
        }
        for path in ["/%", "/%2", "/%zz", "/a%+1"] {
            check(path, Err(BadPath::Escape));
        }
    }
}
