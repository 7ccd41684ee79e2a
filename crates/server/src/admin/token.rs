//! What is to be shown at a port: `Authorization: Bearer TOKEN`.

use std::hint::black_box;

use http::{HeaderMap, header};

use crate::config::Secret;

/// The token that opens a port.
#[derive(Clone)]
pub(super) struct Token(Box<[u8]>);

impl Token {
    pub(super) fn new(secret: &Secret) -> Self {
        Self(secret.0.as_bytes().into())
    }

    /// Whether these fields show it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(field), None) = (shown.next(), shown.next()) else { return false };
        match field.as_bytes().split_at_checked(SCHEME.len()) {
            Some((scheme, token)) => scheme.eq_ignore_ascii_case(SCHEME) && self.is(token),
            None => false,
        }
    }

    /// Takes as long for a token that is nearly right as for any other of its length.
    fn is(&self, shown: &[u8]) -> bool {
        let mut differs = u8::from(shown.len() != self.0.len() || shown.is_empty());
        for (at, byte) in shown.iter().enumerate() {
            let right = self.0[at % self.0.len().max(1)..].first().copied().unwrap_or_default();
            differs = black_box(differs | (byte ^ right));
        }
        differs == 0
    }
}

const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, opens: bool) {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, field.parse().unwrap())]);
        assert_eq!(Token::new(&Secret("secret".into())).is_in(&headers), opens, "{field:?}");
    }

    #[test]
    fn one_token_opens() {
        check("Bearer secret", true);
        check("bearer secret", true);
        for field in ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer secretsecret", "secret"] {
            check(field, false);
        }
        check("Basic secret", false);
        check("Bearer  secret", false);
    }

    #[test]
    fn an_empty_token_opens_nothing() {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer ".parse().unwrap())]);
        assert!(!Token::new(&Secret("".into())).is_in(&headers));
        assert!(!Token::new(&Secret("x".into())).is_in(&HeaderMap::new()));
    }
}
