//! Headers that are kept of each request because somebody wants to read them in the log.

use std::fmt;

use http::header::{HeaderMap, HeaderName};

use super::texts::cut;

/// How many headers a log keeps at most.
pub const HEADERS_MAX: usize = 8;

/// How much is kept of each: all of them wait in memory with their event. What is longer is cut.
pub const HEADER_BYTES_MAX: usize = 256;

/// A header of requests or of replies that a log keeps. None by which others could pass as the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    of: Message,
    name: HeaderName,
}

/// Which of the two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// As the client sent it, before any filter of its route.
    Request,
    /// As it leaves the last filter of its route.
    Reply,
}

/// The name is of a header that is logged for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretHeader;

impl Header {
    /// The header of this name.
    ///
    /// # Errors
    ///
    /// It says who somebody is in a way that others can repeat ([`is_secret`]).
    pub fn new(of: Message, name: HeaderName) -> Result<Self, SecretHeader> {
        if is_secret(name.as_str()) { Err(SecretHeader) } else { Ok(Self { of, name }) }
    }
}

/// Whether a header by this name, in lower case, says who somebody is in a way that others can repeat.
pub fn is_secret(name: &str) -> bool {
    matches!(name, "cookie" | "cookie2" | "set-cookie" | "set-cookie2" | "authentication-info")
        || ["auth", "authorization", "key", "passwd", "password", "secret", "token"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// What was in the headers that a log keeps, in the order in which they were asked for.
#[derive(Clone, Default)]
pub struct Headers(Box<[Option<Box<[u8]>>]>);

impl Headers {
    /// The header that was asked for at this place, if it was there; all its lines, with a comma between two.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        self.0.get(at)?.as_deref()
    }

    pub(super) fn learn(&mut self, of: Message, asked: &[Header], fields: &HeaderMap) {
        if self.0.len() != asked.len() {
            self.0 = vec![None; asked.len()].into();
        }
        for (header, text) in asked.iter().zip(&mut self.0).filter(|(header, _)| header.of == of) {
            *text = text_of(&header.name, fields);
        }
    }

    /// These, for tests of what is done with them.
    pub fn of<'t>(texts: impl IntoIterator<Item = Option<&'t [u8]>>) -> Self {
        Self(texts.into_iter().map(|text| text.map(Box::from)).collect())
    }
}

fn text_of(name: &HeaderName, fields: &HeaderMap) -> Option<Box<[u8]>> {
    let mut lines = fields.get_all(name).iter().filter(|value| !value.is_sensitive());
    let mut text = Vec::new();
    text.extend_from_slice(start(lines.next()?.as_bytes()));
    for line in lines {
        if text.len() > HEADER_BYTES_MAX {
            break;
        }
        text.extend_from_slice(b", ");
        text.extend_from_slice(start(line.as_bytes()));
    }
    text.truncate(cut(&text, HEADER_BYTES_MAX));
    Some(text.into())
}

/// No more of a line than shows that it is too long.
fn start(line: &[u8]) -> &[u8] {
    &line[..line.len().min(HEADER_BYTES_MAX + 1)]
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|text| text.as_deref().map(String::from_utf8_lossy))).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(lines: &[&str], expected: Option<&str>) {
        let name = HeaderName::from_static("x-a");
        let fields = lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap())).collect();
        let asked = [Header::new(Message::Request, name).unwrap()];
        let mut kept = Headers::default();
        kept.learn(Message::Request, &asked, &fields);
        assert_eq!(kept.get(0).map(|text| str::from_utf8(text).unwrap()), expected);
        kept.learn(Message::Reply, &asked, &HeaderMap::new());
        assert_eq!(kept.get(0).map(|text| str::from_utf8(text).unwrap()), expected, "a reply has headers of its own");
    }

    #[test]
    fn a_header_is_kept_up_to_a_length() {
        let (fits, long) = ("x".repeat(HEADER_BYTES_MAX), "x".repeat(HEADER_BYTES_MAX * 9));
        check(&[], None);
        check(&[""], Some(""));
        check(&["a", "b, c"], Some("a, b, c"));
        check(&[&long, "b"], Some(&fits));
        check(&[&fits[1..], "b", "c"], Some(&format!("{},", &fits[1..])));
    }

    #[test]
    fn what_is_marked_as_sensitive_is_not_kept() {
        let name = HeaderName::from_static("x-a");
        let mut value = HeaderValue::from_static("hush");
        value.set_sensitive(true);
        assert_eq!(text_of(&name, &HeaderMap::from_iter([(name.clone(), value)])), None);
    }

    #[test]
    fn nobody_gets_what_proves_who_somebody_is() {
        let secrets = [
            "Authorization",
            "Proxy-Authorization",
            "X-Forwarded-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "X-Csrf-Token",
            "X-Client-Secret",
            "X-Auth",
            "Token",
            "Apikey",
            "Api_Key",
        ];
        for name in secrets {
            let of_both = [Message::Request, Message::Reply].map(|of| Header::new(of, name.parse().unwrap()));
            assert_eq!(of_both, [Err(SecretHeader), Err(SecretHeader)], "{name}");
        }
        assert!(Header::new(Message::Request, "X-Tenant".parse().unwrap()).is_ok());
    }
}
