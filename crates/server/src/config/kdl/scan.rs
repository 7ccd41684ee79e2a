//! Characters: what is space, what ends a line, and where texts and comments end.

use kdl::KdlIdentifier;

/// Where the reader is in a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Scan<'t> {
    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        match self.text.as_bytes().get(self.at) {
            Some(byte) if byte.is_ascii() => Some(char::from(*byte)),
            Some(_) => self.rest().chars().next(),
            None => None,
        }
    }

    pub(super) fn looks_at(&self, text: &str) -> bool {
        self.text.as_bytes()[self.at..].starts_with(text.as_bytes())
    }

    /// Goes behind `text` if it is next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.looks_at(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Goes behind all characters of this kind and gives them.
    pub(super) fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        while let Some(next) = self.peek().filter(|next| is(*next)) {
            self.at += next.len_utf8();
        }
        &self.text[start..self.at]
    }

    /// Goes behind one end of line.
    pub(super) fn take_newline(&mut self) -> bool {
        match self.peek() {
            Some('\r') if self.looks_at("\r\n") => self.at += 2,
            Some(next) if is_newline(next) => self.at += next.len_utf8(),
            _ => return false,
        }
        true
    }

    /// Goes behind `/* … */`, which may have others within; `None` if it does not end.
    pub(super) fn take_block_comment(&mut self) -> Option<&'t str> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            if self.take("/*") {
                depth += 1;
            } else if self.take("*/") {
                depth -= 1;
                if depth == 0 {
                    return Some(&self.text[start..self.at]);
                }
            } else {
                self.at += self.peek()?.len_utf8();
            }
        }
    }

    /// Whether a text in quotes is next, raw ones included.
    pub(super) fn is_text(&self) -> bool {
        match self.peek() {
            Some('"') => true,
            Some('#') => self.rest().trim_start_matches('#').starts_with('"'),
            _ => false,
        }
    }

    /// Goes behind a text in quotes, which is next; if it has no end, to the end of its line, where whoever reads on
    /// reads on, and says so by `None`.
    pub(super) fn take_text(&mut self) -> Option<()> {
        let mut ahead = *self;
        let hashes = "#".repeat(ahead.take_while(|c| c == '#').len());
        let is_raw = !hashes.is_empty();
        let opens_lines = ahead.looks_at("\"\"\"");
        let has_lines = opens_lines && (!is_raw || ahead.rest()[3..].starts_with(is_newline));
        let quotes = if has_lines { "\"\"\"" } else { "\"" };
        ahead.at += quotes.len();
        let found = ahead.take_to(&format!("{quotes}{hashes}"), is_raw, has_lines);
        match found {
            Some(()) => self.at = ahead.at,
            None => drop(self.take_while(|c| !is_newline(c))),
        }
        found
    }

    /// Goes behind the `close` of a text.
    fn take_to(&mut self, close: &str, is_raw: bool, has_lines: bool) -> Option<()> {
        loop {
            let next = self.peek()?;
            if next == '"' && self.take(close) {
                return Some(());
            }
            if is_newline(next) && !has_lines {
                return None;
            }
            self.at += next.len_utf8();
            if next == '\\' && !is_raw {
                // An escaped quote ends nothing; an escaped end of line is no end of line.
                let after = self.peek()?;
                match is_newline(after) || is_space(after) {
                    true => drop(self.take_while(|c| is_newline(c) || is_space(c))),
                    false => self.at += after.len_utf8(),
                }
            }
        }
    }
}

/// What ends a line (KDL 2, "Newline").
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What separates (KDL 2, "Whitespace").
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// What may stand nowhere in a file (KDL 2, "Disallowed Literal Code Points").
pub(super) fn is_disallowed(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Whether a number begins so: a digit, maybe with a sign before it.
pub(super) fn begins_number(text: &str) -> bool {
    text.strip_prefix(['+', '-']).unwrap_or(text).starts_with(|c: char| c.is_ascii_digit())
}

/// Words that need a `#` before them, or quotes around.
pub(super) const KEYWORDS: [&str; 6] = ["true", "false", "null", "inf", "-inf", "nan"];

/// Characters of words, as far as they are ASCII (KDL 2, "Identifier String").
pub(super) fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'\\' | b'/' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b';' | b'"' | b'#' | b'=')
}

/// Whether this is of such characters, and can be taken neither for a number nor for a keyword. Other words there are,
/// too.
pub(super) fn is_plain_word(text: &str) -> bool {
    let begins = |byte: &u8| !matches!(byte, b'+' | b'-' | b'.' | b'0'..=b'9');
    text.as_bytes().first().is_some_and(begins) && text.bytes().all(is_of_word) && !KEYWORDS.contains(&text)
}

/// Whether this can be written without quotes.
pub(crate) fn is_identifier(text: &str) -> bool {
    // What is in quotes stands for something else than itself.
    let is_word = || text.parse::<KdlIdentifier>().is_ok_and(|read| read.value() == text);
    is_plain_word(text) || (!text.contains(is_disallowed) && is_word())
}
