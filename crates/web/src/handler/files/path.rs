//! The path of a request as the name of something beneath the root.
//!
//! Percent-encoding is undone once, and every disguise is looked through after that: what is left
//! are plain names between slashes. File names are bytes on Unix, so nothing is asked of them but
//! that they are names.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::settings::Hidden;

/// What a request's path names: bytes without a leading slash, each name between single slashes,
/// with a slash at the end for a folder. The root is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target<'a>(Cow<'a, [u8]>);

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not a path in percent-encoding at all.
    Malformed,
    /// Hidden, or out of bounds: as good as not there.
    Nothing,
}

impl<'a> Target<'a> {
    /// Reads the path of a URI.
    pub(super) fn parse(path: &'a str, hidden: Hidden) -> Result<Self, Refusal> {
        let names = path.strip_prefix('/').ok_or(Refusal::Malformed)?.as_bytes();
        if is_plain(names) {
            return Ok(Self(Cow::Borrowed(names)));
        }
        let mut decoded = Vec::with_capacity(names.len());
        let (folder, names) = match names.strip_suffix(b"/") {
            Some(names) => (true, names),
            None => (false, names),
        };
        for name in names.split(|&byte| byte == b'/') {
            if name.is_empty() {
                continue; // Sloppy links say `a//b`; what they mean is clear and leads nowhere else.
            }
            if !decoded.is_empty() {
                decoded.push(b'/');
            }
            let start = decoded.len();
            decode(name, &mut decoded)?;
            if !is_servable(&decoded[start..], hidden) {
                return Err(Refusal::Nothing);
            }
        }
        if folder && !decoded.is_empty() {
            decoded.push(b'/');
        }
        Ok(Self(Cow::Owned(decoded)))
    }

    /// A file of the site's own settings, such as its page for what is not found.
    pub(super) fn of_setting(path: &str) -> Target<'static> {
        Target(Cow::Owned(path.trim_start_matches('/').as_bytes().to_vec()))
    }

    /// All of it: what is remembered of this target is found by this.
    pub(super) fn key(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn into_owned(self) -> Target<'static> {
        Target(Cow::Owned(self.0.into_owned()))
    }

    /// Whether its last name is that of a file with an extension, which no page of an application has.
    pub(super) fn has_extension(&self) -> bool {
        self.names().next_back().is_some_and(|name| name.contains(&b'.'))
    }

    /// Whether it asks for a folder: it is the root or ends in a slash.
    pub(super) fn is_folder(&self) -> bool {
        self.0.is_empty() || self.0.ends_with(b"/")
    }

    /// Relative to the root, without a slash at the end.
    pub(super) fn path(&self) -> &Path {
        let bytes = self.0.strip_suffix(b"/").unwrap_or(&self.0);
        Path::new(OsStr::from_bytes(bytes))
    }

    /// Its names, from the root's child down; none for the root.
    pub(super) fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
    }
}

/// Whether a name may be served: never `.` or `..`, and what is hidden only where that is wanted, but for
/// `.well-known` (RFC 8615).
pub(super) fn is_servable(name: &[u8], hidden: Hidden) -> bool {
    let is_hidden = name.first() == Some(&b'.') && name != b".well-known";
    let may = match hidden {
        Hidden::Refused => !is_hidden,
        Hidden::Served => name != b"." && name != b"..",
    };
    may && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0))
}

/// Whether it can be taken as it is: no escapes, no empty name, no dot where one would mean something.
fn is_plain(names: &[u8]) -> bool {
    let mut before = b'/';
    for &byte in names {
        if matches!(byte, b'%' | b'\\' | 0) || (before == b'/' && matches!(byte, b'.' | b'/')) {
            return false;
        }
        before = byte;
    }
    true
}

fn decode(name: &[u8], decoded: &mut Vec<u8>) -> Result<(), Refusal> {
    let mut rest = name.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (hex(rest.next())?, hex(rest.next())?);
                high << 4 | low
            }
            byte => byte,
        });
    }
    Ok(())
}

fn hex(digit: Option<&u8>) -> Result<u8, Refusal> {
    let value = digit.and_then(|&digit| char::from(digit).to_digit(16)).ok_or(Refusal::Malformed)?;
    u8::try_from(value).map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, Refusal>) {
        let expected = expected.map(|key| Target(Cow::Borrowed(key.as_bytes())));
        assert_eq!(Target::parse(path, Hidden::Refused), expected, "{path}");
    }

    #[test]
    fn names_are_taken_as_they_are() {
        check("/", Ok(""));
        check("/a", Ok("a"));
        check("/a/b.css", Ok("a/b.css"));
        check("/a/", Ok("a/"));
        check("/a..b/c..", Ok("a..b/c.."));
        check("/.well-known/acme", Ok(".well-known/acme"));
        check("/%2ewell-known/x", Ok(".well-known/x"));
    }

    #[test]
    fn escapes_are_undone_once() {
        check("/a%20b", Ok("a b"));
        check("/%C3%A9/", Ok("\u{e9}/"));
        check("/%252e%252e/x", Ok("%2e%2e/x"));
        check("/a%3Fb", Ok("a?b"));
        let name = Target::parse("/%ff%c0%ae", Hidden::Refused).map(|target| target.key().to_vec());
        assert_eq!(name, Ok(vec![0xff, 0xc0, 0xae]), "names are bytes");
    }

    #[test]
    fn empty_names_are_passed_over() {
        check("//", Ok(""));
        check("//a//b//", Ok("a/b/"));
        check("///example.com/", Ok("example.com/"));
    }

    #[test]
    fn nothing_climbs() {
        let climbing = [
            "/..",
            "/../x",
            "/a/..",
            "/a/../b",
            "/%2e%2e/x",
            "/.%2e/x",
            "/%2E./x",
            "/a/./b",
            "/.",
            "/..%2fx",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/..\\x",
            "/..%5cx",
            "/a%00",
            "/a/..%00/b",
            "/%2e",
            "/x/%2e%2e%2f",
        ];
        for path in climbing {
            check(path, Err(Refusal::Nothing));
            assert_eq!(Target::parse(path, Hidden::Served), Err(Refusal::Nothing), "{path}");
        }
    }

    #[test]
    fn hidden_names_are_not_there() {
        for path in ["/.git/config", "/a/.env", "/%2eenv", "/.well-knownx", "/.htpasswd", "/a/.b/c"] {
            check(path, Err(Refusal::Nothing));
            assert!(Target::parse(path, Hidden::Served).is_ok(), "{path}, where it is wanted");
        }
    }

    #[test]
    fn broken_escapes_are_malformed() {
        for path in ["", "*", "a", "/%", "/%2", "/%zz", "/%+1", "/a%2"] {
            check(path, Err(Refusal::Malformed));
        }
    }

    /// Paths made of what disguises are made of.
    fn disguised() -> impl Strategy<Value = String> {
        const PIECES: [&str; 15] =
            ["/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "%25", "%c0%ae", "a", "b.c", "%"];
        proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12)
            .prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn whatever_is_parsed_stays_beneath_the_root(
            path in prop_oneof![disguised(), "/\\PC*"],
            hidden in proptest::sample::select(&[Hidden::Refused, Hidden::Served][..]),
        ) {
            if let Ok(target) = Target::parse(&path, hidden) {
                prop_assert!(!target.path().is_absolute());
                prop_assert!(!target.key().contains(&0));
                for name in target.names() {
                    prop_assert!(is_servable(name, hidden) && name != b".." && name != b".");
                }
                let plain = target.path().components().all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(plain);
            }
        }
    }
}
