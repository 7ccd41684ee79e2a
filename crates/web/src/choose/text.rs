//! Texts to compare a header's or parameter's value with: `2`, `Bearer *`, `*json*`.

use std::fmt;

/// A text in which `*` stands for anything. Letters count as they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Box<str>);

impl Text {
    /// Takes the text as it is.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether a value is this. It takes time for the value's length times that of this text at most.
    pub fn matches(&self, value: &[u8]) -> bool {
        let Some((begin, rest)) = self.0.split_once('*') else { return self.0.as_bytes() == value };
        let Some(mut left) = value.strip_prefix(begin.as_bytes()) else { return false };
        let (between, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        for piece in between.split('*').filter(|piece| !piece.is_empty()) {
            // The first place is as good as any: it leaves the most for what follows.
            let Some(at) = left.windows(piece.len()).position(|window| window == piece.as_bytes()) else {
                return false;
            };
            left = &left[at + piece.len()..];
        }
        left.ends_with(end.as_bytes())
    }

    /// Whether it is all that `other` is. It errs on one side alone: what it affirms is so.
    pub fn covers(&self, other: &Self) -> bool {
        self == other || &*self.0 == "*" || (!other.0.contains('*') && self.matches(other.0.as_bytes()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, values: &[&str], others: &[&str]) {
        let matches = |value: &&str| Text::new(text).matches(value.as_bytes());
        assert!(values.iter().all(matches), "{text} is each of {values:?}");
        assert!(!others.iter().any(matches), "{text} is none of {others:?}");
    }

    #[test]
    fn a_star_stands_for_anything() {
        check("2", &["2"], &["", "22", "*"]);
        check("*", &["", "x"], &[]);
        check("a*", &["a", "ab"], &["", "ba"]);
        check("*json*", &["json", "application/json; q=1"], &["jso", "JSON"]);
        check("a*a", &["aa", "aba"], &["a"]);
        check("a*b*c", &["abc", "axbxc", "abbc"], &["acb", "ac"]);
        check("**", &["", "x"], &[]);
    }

    #[test]
    fn knows_what_it_covers() {
        assert!(Text::new("*").covers(&Text::new("a*")));
        assert!(Text::new("a*").covers(&Text::new("ab")));
        assert!(!Text::new("ab").covers(&Text::new("a*")));
        assert!(!Text::new("a").covers(&Text::new("b")));
    }
}
