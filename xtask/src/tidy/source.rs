//! A Rust file with each byte known as code, comment or literal, so that rules do not trip over prose and strings.
//!
//! This is a lexer for exactly that question, not a parser: the compiler has already said that the file is Rust.

use std::path::{Path, PathBuf};

use crate::Failure;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Code,
    Comment,
    /// A string or character: quotes, prefix hashes and what is between them.
    Literal,
}

pub(super) struct Source {
    /// From the workspace's root, with `/` between its parts.
    pub(super) path: String,
    text: String,
    kinds: Vec<Kind>,
}

impl Source {
    /// Every `.rs` file below `root`, sorted by path. Hidden folders, `target` folders and symlinks are left out.
    pub(super) fn read_all(root: &Path) -> Result<Vec<Source>, Failure> {
        let mut paths = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let unreadable = |error| format!("cannot read {}: {error}", folder.display());
            for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let (kind, name) = (entry.file_type().map_err(unreadable)?, entry.file_name());
                if kind.is_dir() && name != "target" && !name.as_encoded_bytes().starts_with(b".") {
                    folders.push(entry.path());
                } else if kind.is_file() && name.as_encoded_bytes().ends_with(b".rs") {
                    paths.push(entry.path());
                }
            }
        }
        paths.sort();
        paths.into_iter().map(|path| Source::read(root, path)).collect()
    }

    fn read(root: &Path, path: PathBuf) -> Result<Source, Failure> {
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        Ok(Source::new(path, text))
    }

    pub(super) fn new(path: String, text: String) -> Source {
        let kinds = classify(text.as_bytes());
        Source { path, text, kinds }
    }

    pub(super) fn lines_count(&self) -> usize {
        self.text.lines().count()
    }

    /// The lines as written.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// The text with comments and literals blanked, byte for byte and line for line.
    pub(super) fn code(&self) -> String {
        self.masked(|kind| kind == Kind::Code)
    }

    /// The text with comments alone blanked.
    pub(super) fn without_comments(&self) -> String {
        self.masked(|kind| kind != Kind::Comment)
    }

    /// The text with all but comments blanked.
    pub(super) fn comments(&self) -> String {
        self.masked(|kind| kind == Kind::Comment)
    }

    fn masked(&self, keep: impl Fn(Kind) -> bool) -> String {
        let bytes = self.text.bytes().zip(&self.kinds);
        let masked = bytes.map(|(byte, &kind)| if byte == b'\n' || keep(kind) { byte } else { b' ' }).collect();
        String::from_utf8(masked).expect("characters are kept or blanked whole")
    }
}

/// Where `word` stands in `text` as a word of its own: its byte and its line, counted from 1.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    text.match_indices(word).filter_map(move |(at, _)| {
        let before = text.as_bytes()[..at].last();
        let after = text.as_bytes().get(at + word.len());
        let alone = !before.is_some_and(is_part) && !after.is_some_and(is_part);
        alone.then(|| (at, line_of(text, at)))
    })
}

/// The line byte `at` is on, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn classify(text: &[u8]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(text.len());
    while kinds.len() < text.len() {
        let at = kinds.len();
        let (kind, end) = next_piece(text, at);
        kinds.resize(end.clamp(at + 1, text.len()), kind);
    }
    kinds
}

/// What starts at `at`, and where it ends.
fn next_piece(text: &[u8], at: usize) -> (Kind, usize) {
    let rest = &text[at..];
    match rest {
        [b'/', b'/', ..] => (Kind::Comment, at + find(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => (Kind::Comment, at + block_comment(rest)),
        [b'"', ..] => (Kind::Literal, at + quoted(rest, b'"')),
        [b'r', b'"' | b'#', ..] if !continues_a_name(text, at) => match raw_string(rest) {
            Some(length) => (Kind::Literal, at + length),
            None => (Kind::Code, at + 1),
        },
        [b'\'', b'\\', ..] => (Kind::Literal, at + quoted(rest, b'\'')),
        [b'\'', first, ..] => {
            let close = 1 + utf8_length(*first);
            if rest.get(close) == Some(&b'\'') { (Kind::Literal, at + close + 1) } else { (Kind::Code, at + 1) }
        }
        _ => (Kind::Code, at + 1),
    }
}

/// Whether the `r` at `at` belongs to a name as in `bar"`, rather than opening `r"`, `br"` or `cr"`.
fn continues_a_name(text: &[u8], at: usize) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match &text[..at] {
        [.., before, b'b' | b'c'] => is_part(before),
        [b'b' | b'c'] | [] => false,
        [.., before] => is_part(before),
    }
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a literal between `quote`s, the opening one first in `text`.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of `r"…"` or `r#"…"#`; `None` if this is a raw name like `r#type`.
fn raw_string(text: &[u8]) -> Option<usize> {
    let hashes = text[1..].iter().take_while(|&&byte| byte == b'#').count();
    let body = 1 + hashes + 1;
    if text.get(body - 1) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    Some(find(&text[body..], &close).map_or(text.len(), |end| body + end + close.len()))
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn utf8_length(first: u8) -> usize {
    match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of `text` as code, runs of blanks drawn together.
    #[track_caller]
    fn check(text: &str, code: &str) {
        let source = Source::new("it.rs".to_owned(), text.to_owned());
        let left = source.code();
        assert_eq!(left.len(), text.len());
        assert_eq!(left.split_whitespace().collect::<Vec<_>>().join(" "), code);
    }

    #[test]
    fn blanks_comments_of_both_kinds() {
        check("a // unsafe\nb", "a b");
        check("a /* one /* nested */ unsafe */ b", "a b");
        check("//! unsafe", "");
        check("a / b", "a / b");
    }

    #[test]
    fn blanks_strings_with_escapes_and_hashes() {
        check(r#"f("unsafe \" still // in", x)"#, "f( , x)");
        check(r###"f(r#"a " quote"#, br"\", y)"###, "f( , b , y)");
        check(r#"bar"text""#, "bar");
        check("r#type + r#fn", "r#type + r#fn");
    }

    #[test]
    fn tells_characters_from_lifetimes() {
        check(r#"f('"', '\'', 'é', '/')"#, "f( , , , )");
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("'outer: loop { break 'outer }", "'outer: loop { break 'outer }");
    }

    #[test]
    fn survives_what_is_not_closed() {
        check("a \"never closed", "a");
        check("a /* never closed", "a");
        check("a r#\"never closed", "a");
        check("a \"\\", "a");
    }

    #[test]
    fn finds_whole_words_with_their_lines() {
        let found: Vec<_> = words("unsafe_code\n unsafe { un_unsafe }", "unsafe").collect();
        assert_eq!(found, [(13, 2)]);
    }
}
