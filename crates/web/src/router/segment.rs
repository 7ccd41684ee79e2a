//! Segments: what stands between two slashes of a path, percent-decoded one by one, so that an
//! encoded slash never separates anything.

use std::borrow::Cow;
use std::hash::{BuildHasherDefault, Hasher};

/// The segment with its percent-sequences decoded (RFC 3986 §2.1); `None` if one is malformed.
pub(crate) fn decode(segment: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(first) = segment.iter().position(|&byte| byte == b'%') else { return Some(Cow::Borrowed(segment)) };
    let mut decoded = segment[..first].to_vec();
    let mut left = &segment[first..];
    while let Some((&byte, after)) = left.split_first() {
        if byte == b'%' {
            let &[high, low, ref after @ ..] = after else { return None };
            decoded.push(hex(high)? << 4 | hex(low)?);
            left = after;
        } else {
            decoded.push(byte);
            left = after;
        }
    }
    Some(Cow::Owned(decoded))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Whether this decoded segment is `.` or `..`, which mean another path (RFC 3986 §5.2.4), or is taken for one by
/// somebody: some servers drop what is behind a `;` first, and some take `\` for a slash.
pub(crate) fn is_dots(decoded: &[u8]) -> bool {
    let name = |part: &[u8]| part.iter().position(|&byte| byte == b';').unwrap_or(part.len());
    let parts = decoded.split(|&byte| matches!(byte, b'/' | b'\\'));
    decoded.contains(&b'.') && parts.into_iter().any(|part| matches!(&part[..name(part)], b"." | b".."))
}

/// Whether any segment of this path is `.` or `..`, encoded or not.
pub(crate) fn has_dots(path: &str) -> bool {
    let dots = |segment: &[u8]| decode(segment).is_some_and(|segment| is_dots(&segment));
    path.contains(['.', '%']) && path.as_bytes().split(|&byte| byte == b'/').any(dots)
}

/// Hashes a segment of a path or the name of a host, eight bytes a step. The keys of the tables
/// are the operator's and no peer can add one, so nobody can make them collide on purpose.
#[derive(Default)]
pub(crate) struct Short(u64);

/// See [`Short`].
pub(crate) type BuildShort = BuildHasherDefault<Short>;

impl Hasher for Short {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let last = rest.iter().fold(0, |last, &byte| last << 8 | u64::from(byte));
        self.write_u64(last);
    }

    fn write_u64(&mut self, word: u64) {
        // An odd number without pattern: the golden ratio's fraction in 64 bits.
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, length: usize) {
        self.write_u64(length as u64);
    }

    fn finish(&self) -> u64 {
        // The table takes its slot from the low bits, where a product mixes least.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_whole_sequences_only() {
        assert_eq!(decode(b"a%2Fb%c3%A9").as_deref(), Some("a/bé".as_bytes()));
        assert_eq!(decode(b"plain").as_deref(), Some(&b"plain"[..]));
        for malformed in [&b"%"[..], b"a%2", b"%zz", b"%+1"] {
            assert_eq!(decode(malformed), None);
        }
    }

    #[test]
    fn sees_through_encoded_dots() {
        for path in ["/a/../b", "/.", "/%2e%2E/x", "/a/.%2e", "/a/%2e/"] {
            assert!(has_dots(path), "{path}");
        }
        for path in ["/a/.b/...", "/a..b", "/%2e%2e%2e", "/.well-known/x", "/%252e%252e/"] {
            assert!(!has_dots(path), "{path}");
        }
    }
}
