//! Patterns of paths: `*.css`, `/assets/**`, `/img/*.jpg`.

/// A pattern of paths beneath the root.
///
/// `*` stands for any characters but slashes, `**` for any at all, `?` for one that is no slash.
/// With a slash in it the pattern is of the whole path, without one of the file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glob {
    tokens: Vec<Token>,
    of_name: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Some,
    All,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        let of_name = !pattern.contains('/');
        let mut tokens = Vec::new();
        for &byte in pattern.trim_start_matches('/').as_bytes() {
            let token = match byte {
                b'*' => Token::Some,
                b'?' => Token::One,
                byte => Token::Byte(byte),
            };
            match (tokens.last(), token) {
                (Some(Token::Some | Token::All), Token::Some) => {
                    *tokens.last_mut().expect("it has a last") = Token::All
                }
                _ => tokens.push(token),
            }
        }
        Self { tokens, of_name }
    }

    /// Whether a path, relative to the root, is one of these.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        matches(&self.tokens, if self.of_name { name } else { path })
    }
}

/// Every token is tried at every place once: time grows with pattern times path, however many stars.
fn matches(tokens: &[Token], text: &[u8]) -> bool {
    // Whether the tokens so far match exactly the first `i` bytes.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for &token in tokens {
        let mut before = reached[0];
        reached[0] = before && matches!(token, Token::Some | Token::All);
        for (at, &byte) in text.iter().enumerate() {
            let here = reached[at + 1];
            reached[at + 1] = match token {
                Token::Byte(wanted) => before && byte == wanted,
                Token::One => before && byte != b'/',
                Token::Some => here || (reached[at] && byte != b'/'),
                Token::All => here || reached[at],
            };
            before = here;
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: bool) {
        assert_eq!(Glob::new(pattern).matches(path.as_bytes()), expected, "{pattern} on {path}");
    }

    #[test]
    fn without_a_slash_it_is_of_the_name() {
        check("*.css", "a/b/site.css", true);
        check("*.css", "site.css.map", false);
        check("favicon.???", "favicon.ico", true);
        check("index.html", "deep/index.html", true);
        check("*", "anything/at.all", true);
    }

    #[test]
    fn with_a_slash_it_is_of_the_path() {
        check("/index.html", "index.html", true);
        check("/index.html", "deep/index.html", false);
        check("/assets/**", "assets/a/b.js", true);
        check("/assets/**", "assetsx/a", false);
        check("/img/*.jpg", "img/a.jpg", true);
        check("/img/*.jpg", "img/a/b.jpg", false);
        check("/**/*.min.js", "a/b/c.min.js", true);
        check("/a?b", "a/b", false);
    }

    #[test]
    fn stars_stand_for_nothing_too() {
        check("a*b", "ab", true);
        check("**", "", true);
        check("a**", "a", true);
        check("***x", "x", true);
        check("?", "", false);
    }

    #[test]
    fn many_stars_take_no_longer() {
        check(&"*a".repeat(200), &"a".repeat(5000), true);
        check(&format!("{}b", "*a".repeat(200)), &"a".repeat(5000), false);
    }
}
