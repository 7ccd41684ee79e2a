//! What the parser stumbled over, in our words: it says where, and what stands there says what is wrong.

use std::ops::Range;

use kdl::KdlDiagnostic;

use super::outline::Outline;
use super::scan::{KEYWORDS, begins_number, is_newline, is_space};

/// Something that cannot be read.
pub(super) struct Refusal {
    pub(super) place: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

/// What a diagnostic says about the top-level node in `chunk`. Of braces the outline has said what there is to say.
pub(super) fn refuse(
    text: &str,
    outline: &Outline,
    chunk: &Range<usize>,
    diagnostic: &KdlDiagnostic,
) -> Option<Refusal> {
    if diagnostic.label.as_deref() == Some("not closed") {
        return None;
    }
    let page = Page { text: &text[..chunk.end.min(text.len())], outline, start: chunk.start };
    let begin = chunk.start + diagnostic.span.offset();
    // The parser gives up where a value is missing, and says where it began.
    let misses_value = diagnostic.label.as_deref() == Some("not property value");
    let at = if misses_value { begin + diagnostic.span.len() } else { begin };
    let at = text.floor_char_boundary(at.clamp(chunk.start, page.text.len()));
    let mut refusal = if misses_value { page.property(at) } else { page.refuse(at, diagnostic) };
    if refusal.place.is_empty() {
        // A mistake is drawn at something.
        refusal.place.start = text.floor_char_boundary(refusal.place.end.saturating_sub(1));
    }
    Some(refusal)
}

/// The file up to the end of a top-level node.
struct Page<'t> {
    text: &'t str,
    outline: &'t Outline,
    /// Where the node begins.
    start: usize,
}

impl Page<'_> {
    fn refuse(&self, at: usize, diagnostic: &KdlDiagnostic) -> Refusal {
        let at = at + self.spaces(at);
        let before = self.text[self.start..at].trim_end_matches(is_space);
        if before.ends_with('}') && !self.ends(at) {
            let end = self.statement(at);
            return refusal(at..end, "nothing may follow a block", "begin a new line, or separate by `;`");
        }
        let place = self.run(at);
        if place.is_empty() {
            let end = self.start + self.text[self.start..].trim_end().len();
            return refusal(self.begin(end)..end, "something is missing behind this", "write the rest of it");
        }
        let written = self.text.get(place.clone()).unwrap_or_default();
        let is_name = diagnostic.label.as_deref() == Some("not node name");
        match written.chars().next() {
            Some('{') => refusal(place, "a word is missing before this block", "a line begins with a word"),
            Some(';') => refusal(place, "there is nothing before this `;`", "remove it"),
            Some('=') => refusal(place, "this `=` is not between a name and a value", "put texts with a `=` in quotes"),
            Some(_) if self.is_text(place.start) => self.bad_text(place, diagnostic),
            Some(_) if is_name && begins_number(written) && written.bytes().all(|byte| byte.is_ascii_digit()) => {
                refusal(place, "a word is missing here", "a line begins with a word")
            }
            _ => value(place, written),
        }
    }

    /// What is wrong with the value that was expected there.
    fn property(&self, at: usize) -> Refusal {
        let ahead = at + self.spaces(at);
        if self.ends(ahead) || self.text[ahead..].starts_with("/*") || self.text[ahead..].starts_with(['{', '}', ';']) {
            let end = self.text[self.start..at].trim_end_matches(is_space).len() + self.start;
            let start = self.begin(end);
            let name = self.text[start..end].trim_end_matches('=');
            let message = if name.is_empty() { "a value is missing".into() } else { format!("`{name}` has no value") };
            return refusal(start..end, message, "write one behind the `=`");
        }
        let start = self.begin(ahead);
        let start = self.text[start..ahead].rfind('=').map_or(start, |equals| start + equals + 1);
        let place = self.run(start);
        let written = self.text.get(place.clone()).unwrap_or_default();
        value(place, written)
    }

    fn bad_text(&self, place: Range<usize>, diagnostic: &KdlDiagnostic) -> Refusal {
        let message = diagnostic.message.as_deref().unwrap_or_default();
        let end = self.text_at(place.start).map_or(place.end, |text| text.end);
        if place.end > end {
            return refusal(place, "a space is missing behind this text", "put a space between values");
        }
        if message.starts_with("Multi-line string opening") {
            let help = "begin the text on the next line, or write it between single quotes";
            return refusal(place, "behind `\"\"\"` the line ends", help);
        }
        if self.text[place.clone()].contains("\"\"\"") {
            let help = "every line begins with the spaces that stand before the closing `\"\"\"`, which has its own \
                        line; and a backslash is written `\\\\`";
            return refusal(place, "the lines of this text are not indented as its last is", help);
        }
        let help = "write `\\\\` for a backslash; there are \\n \\r \\t \\b \\f \\s \\\" and \\u{…}";
        refusal(place, "in this text a `\\` escapes nothing", help)
    }

    fn text_at(&self, at: usize) -> Option<&Range<usize>> {
        let texts = &self.outline.texts;
        let found = texts.partition_point(|text| text.start <= at).checked_sub(1)?;
        Some(&texts[found]).filter(|text| text.end > at)
    }

    fn is_text(&self, at: usize) -> bool {
        self.text_at(at).is_some()
    }

    fn spaces(&self, at: usize) -> usize {
        let rest = &self.text[at..];
        rest.len() - rest.trim_start_matches(is_space).len()
    }

    /// Whether the line ends there.
    fn ends(&self, at: usize) -> bool {
        self.text[at..].chars().next().is_none_or(is_newline) || self.text[at..].starts_with("//")
    }

    /// What is written there without space; it is at least one character, if there is one.
    fn run(&self, at: usize) -> Range<usize> {
        let start = self.text_at(at).map_or(at, |text| text.start);
        if self.text[start..].starts_with('{') {
            return start..self.block_end(start);
        }
        let mut end = start;
        while let Some(next) = self.text[end..].chars().next() {
            match self.text_at(end) {
                Some(text) => end = text.end,
                None if end > start && delimits(next) => break,
                None => end += next.len_utf8(),
            }
            if end == start + next.len_utf8() && delimits(next) {
                break;
            }
        }
        start..end
    }

    /// Where what is written without space up to there begins.
    fn begin(&self, end: usize) -> usize {
        if let Some(text) = self.text_at(end.saturating_sub(1)) {
            return text.start;
        }
        self.text[self.start..end]
            .rfind(delimits)
            .map_or(self.start, |at| self.text.ceil_char_boundary(self.start + at + 1))
    }

    /// The end of what follows a block on its line.
    fn statement(&self, at: usize) -> usize {
        let mut end = at;
        while let Some(next) = self.text[end..].chars().next() {
            end = match self.text_at(end) {
                Some(text) => text.end,
                None if next == '{' => self.block_end(end),
                None if is_newline(next) || matches!(next, '}' | ';') || self.text[end..].starts_with("//") => break,
                None => end + next.len_utf8(),
            };
        }
        at + self.text[at..end].trim_end_matches(is_space).len()
    }

    fn block_end(&self, start: usize) -> usize {
        let blocks = &self.outline.blocks;
        let found = blocks.binary_search_by_key(&start, |block| block.start);
        found.map_or(start + 1, |found| blocks[found].end).min(self.text.len())
    }
}

fn value(place: Range<usize>, written: &str) -> Refusal {
    if written.starts_with('(') || (written.contains('(') && written.contains(')')) && !written.starts_with('"') {
        let help = "remove it: what a value is follows from the word it belongs to; put a text with braces in quotes";
        return refusal(place, "types are not written in a config", help);
    }
    if written.starts_with('#') {
        let help = "behind `#` stands true, false, or a text in quotes; comments begin with `//`";
        return refusal(place, "this is no value", help);
    }
    if written.starts_with('\\') {
        let help = "end the line behind `\\`, or write a path within quotes";
        return refusal(place, "`\\` joins this line with the next", help);
    }
    if KEYWORDS.contains(&written) {
        let message = format!("`{written}` needs a `#` before it");
        return refusal(place, message, format!("write `#{written}`, or `\"{written}\"` if it is a text"));
    }
    let message = format!("`{}` is no word and no number", written.escape_debug());
    match written.contains(['"', '\\']) || written.is_empty() {
        true => refusal(place, message, "put a space between values, and texts in quotes"),
        false => refusal(place, message, format!("put it in quotes: `\"{written}\"`")),
    }
}

fn refusal(place: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Refusal {
    Refusal { place, message: message.into(), help: help.into() }
}

/// What ends a word.
fn delimits(c: char) -> bool {
    is_space(c) || is_newline(c) || matches!(c, ';' | '{' | '}')
}
