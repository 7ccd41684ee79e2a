//! Reads nodes that are written plainly, as nearly all are, without the parser, which takes a hundred times as long.
//!
//! What is plain: names and bare texts of ASCII, texts in quotes on one line, raw ones too, whole numbers, `#true`,
//! `#false` and `#null`, `name=value` without spaces, blocks with a space before them, lines that go on behind a `\`. A node that has anything else in it, right
//! or wrong, is none of these; it is left whole to the parser. Of a node that is plain this reads what the parser
//! would, which a test compares.

use std::ops::Range;

use super::parsed::{Parsed, ParsedEntry};
use super::scan::{is_newline, is_of_word, is_plain_word};
use super::{Form, What};

/// Digits of a number that is plain. It fits whatever numbers are kept in.
const DIGITS_MAX: usize = 18;

/// Reads the top-level node that stands at `chunk` of a text without comments; `None` if it is not plain.
pub(super) fn read(text: &[u8], chunk: &Range<usize>) -> Option<Parsed> {
    let mut reader = Reader { text: &text[..chunk.end], at: chunk.start };
    let node = reader.node()?;
    if reader.peek() == Some(b';') {
        reader.at += 1;
        reader.spaces();
    }
    (reader.at == chunk.end).then_some(node)
}

struct Reader<'t> {
    /// The text up to the end of the node.
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    /// Reads a node, and goes behind the space after it. Blocks are no deeper than the outline lets them be.
    fn node(&mut self) -> Option<Parsed> {
        let start = self.at;
        let name = match self.peek()? {
            b'"' => self.quoted()?,
            _ => self.bare()?.into(),
        };
        let name_place = start..self.at;
        let (mut entries, mut children) = (Vec::new(), None);
        loop {
            let is_apart = self.spaces();
            match self.peek() {
                None | Some(b'\n' | b'\r' | b';' | b'}') => break,
                Some(_) if !is_apart => return None,
                Some(b'{') => {
                    children = Some(self.block()?);
                    self.spaces();
                    if !matches!(self.peek(), None | Some(b'\n' | b'\r' | b';' | b'}')) {
                        return None;
                    }
                    break;
                }
                Some(_) => entries.push(self.entry()?),
            }
        }
        Some(Parsed { name, name_place, is_typed: false, entries, children, place: start..self.at })
    }

    fn block(&mut self) -> Option<Vec<Parsed>> {
        self.at += 1;
        let mut nodes = Vec::new();
        loop {
            match self.peek()? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Some(nodes);
                }
                _ => {
                    nodes.push(self.node()?);
                    // The end of its line, or the brace behind it, is next otherwise.
                    self.at += usize::from(self.peek() == Some(b';'));
                }
            }
        }
    }

    fn entry(&mut self) -> Option<ParsedEntry> {
        let start = self.at;
        let is_property = self.text[start..].iter().find(|byte| !is_of_word(**byte)) == Some(&b'=');
        let mut name = None;
        if is_property {
            let text = self.bare()?.into();
            name = Some((text, start..self.at));
            self.at += 1;
        }
        let value_start = self.at;
        let what = self.value()?;
        let (place, value_place) = (start..self.at, value_start..self.at);
        Some(ParsedEntry { name, what, value_place, place, is_typed: false })
    }

    fn value(&mut self) -> Option<What> {
        Some(match self.peek()? {
            b'"' => What::Text { text: self.quoted()?, form: Form::Quoted },
            b'#' if self.text[self.at..].iter().find(|byte| **byte != b'#') == Some(&b'"') => {
                What::Text { text: self.raw()?.into(), form: Form::Raw }
            }
            b'#' => {
                self.at += 1;
                match self.word() {
                    b"true" => What::Switch(true),
                    b"false" => What::Switch(false),
                    b"null" => What::Null,
                    _ => return None,
                }
            }
            b'-' | b'0'..=b'9' => {
                let digits = str::from_utf8(self.word()).ok()?;
                let is_plain = digits.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
                if !is_plain || digits.len() > DIGITS_MAX {
                    return None;
                }
                What::Integer(digits.parse().ok()?)
            }
            _ => What::Text { text: self.bare()?.into(), form: Form::Bare },
        })
    }

    /// A text without quotes.
    fn bare(&mut self) -> Option<&'t str> {
        str::from_utf8(self.word()).ok().filter(|word| is_plain_word(word))
    }

    /// What stands there of characters that words are made of.
    fn word(&mut self) -> &'t [u8] {
        let (text, start) = (self.text, self.at);
        let length = text[start..].iter().position(|byte| !is_of_word(*byte));
        self.at = length.map_or(text.len(), |length| start + length);
        &text[start..self.at]
    }

    /// What a text in quotes stands for.
    fn quoted(&mut self) -> Option<Box<str>> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let (all, start) = (self.text, self.at);
            let length = all[start..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            self.at += length + 1;
            text += str::from_utf8(&all[start..start + length]).ok().filter(|piece| !piece.contains(is_newline))?;
            match (all[start + length], self.peek()) {
                (b'"', Some(b'"')) => return None,
                (b'"', _) => break,
                (_, Some(escaped)) => text.push(unescape(escaped)?),
                (_, None) => return None,
            }
            self.at += 1;
        }
        Some(text.into())
    }

    /// A text between `#"` and `"#`, or between as many more of them.
    fn raw(&mut self) -> Option<&'t str> {
        let all = &self.text[self.at..];
        let hashes = all.iter().take_while(|byte| **byte == b'#').count();
        let inside = &all[hashes + 1..];
        let is_end = |rest: &[u8]| {
            let behind = rest.strip_prefix(b"\"").and_then(|behind| behind.get(..hashes));
            behind.is_some_and(|behind| behind.iter().all(|byte| *byte == b'#'))
        };
        let length = (0..inside.len()).find(|at| is_end(&inside[*at..]))?;
        self.at += hashes + 1 + length + 1 + hashes;
        let text = str::from_utf8(&inside[..length]).ok()?;
        (!inside.starts_with(b"\"\"") && !text.contains(is_newline)).then_some(text)
    }

    /// Goes behind spaces, and ends of lines behind a `\`; false if there are none.
    fn spaces(&mut self) -> bool {
        let start = self.at;
        loop {
            let rest = &self.text[self.at..];
            let blank = |bytes: &[u8]| bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
            self.at += match rest {
                [b' ' | b'\t', ..] => blank(rest),
                [b'\\', behind @ ..] => match &behind[blank(behind)..] {
                    [b'\r', b'\n', ..] => 1 + blank(behind) + 2,
                    [b'\n' | b'\r', ..] => 1 + blank(behind) + 1,
                    _ => return self.at > start,
                },
                _ => return self.at > start,
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }
}

/// What stands for itself or something else behind a `\` (KDL 2, "Escapes"); others are not plain.
fn unescape(escaped: u8) -> Option<char> {
    Some(match escaped {
        b'"' | b'\\' => char::from(escaped),
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b's' => ' ',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        _ => return None,
    })
}
