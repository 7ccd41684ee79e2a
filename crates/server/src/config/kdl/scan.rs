//! Characters: what is space, what ends a line, what a word is made of.

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

/// What a word without quotes is made of.
pub(super) fn is_word(c: char) -> bool {
    let means_something = matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '#' | '=');
    !means_something && !is_space(c) && !is_newline(c) && !is_disallowed(c)
}

/// Whether a number begins so: a digit, maybe with a sign before it.
pub(super) fn begins_number(text: &str) -> bool {
    text.strip_prefix(['+', '-']).unwrap_or(text).starts_with(|c: char| c.is_ascii_digit())
}

/// Words that need a `#` before them, or quotes around.
pub(super) const KEYWORDS: [&str; 6] = ["true", "false", "null", "inf", "-inf", "nan"];

/// Whether this can be written without quotes.
pub(crate) fn is_identifier(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let like_number = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    !text.is_empty() && text.chars().all(is_word) && !like_number && !KEYWORDS.contains(&text)
}
