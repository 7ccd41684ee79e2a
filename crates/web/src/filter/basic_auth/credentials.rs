//! What a client sends: a name and a password (RFC 7617 §2).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};

/// The longest name and password together. People's are shorter, and what is longer costs a digest
/// and a hash of it all.
const BYTES_MAX: usize = 1024;

/// A name and a password. Never shown.
pub(super) struct Credentials {
    /// `name:password`.
    bytes: Vec<u8>,
    colon: usize,
}

impl Credentials {
    /// Those of a request, unless there are none, two, or some that nobody can have.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(header::AUTHORIZATION).into_iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return None };
        let (scheme, encoded) = field.as_bytes().split_at_checked("Basic ".len())?;
        let encoded = encoded.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"Basic ") || encoded.len() > BYTES_MAX.div_ceil(3) * 4 {
            return None;
        }
        let bytes = STANDARD.decode(encoded).ok()?;
        let colon = bytes.iter().position(|&byte| byte == b':')?;
        (bytes.len() <= BYTES_MAX && colon > 0).then_some(Self { bytes, colon })
    }

    pub(super) fn name(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes[..self.colon]).ok()
    }

    pub(super) fn password(&self) -> &[u8] {
        &self.bytes[self.colon + 1..]
    }

    /// Both, and nothing else: what is the same for the same two only.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Option<(&str, &str)>) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        let found = Credentials::of(&headers);
        let found = found.as_ref().map(|found| (found.name().unwrap(), std::str::from_utf8(found.password()).unwrap()));
        assert_eq!(found, expected, "{fields:?}");
    }

    #[test]
    fn reads_a_name_and_a_password() {
        check(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], Some(("Aladdin", "open sesame")));
        check(&["bAsIC  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], Some(("Aladdin", "open sesame")));
        check(&["Basic dGVzdDoxMjPCow=="], Some(("test", "123£")));
        check(&["Basic YTpiOmM="], Some(("a", "b:c")));
        check(&["Basic YTo="], Some(("a", "")));
    }

    #[test]
    fn what_is_none_is_not_looked_at() {
        for field in ["", "Basic", "Basic ", "Basic QQ==", "Basic Om4=", "Basic %%%", "Bearer YTpi", "BasicYTpi"] {
            check(&[field], None);
        }
        check(&["Basic YTpi", "Basic YTpi"], None);
        check(&[&format!("Basic {}", STANDARD.encode(format!("a:{}", "b".repeat(BYTES_MAX))))], None);
    }
}
