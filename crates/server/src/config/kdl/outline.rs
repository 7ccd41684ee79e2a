//! What a file consists of, before the parser sees it: where its top-level nodes are, its blocks, texts and comments.
//!
//! The parser gives comments and what is behind `/-` back as mere space, recurses once for every `{`, `}` and `*` of
//! a comment, and twice as often for every `/-` within another. Therefore comments are taken out here and kept as
//! [`Note`]s, and what would take stack or has no end is refused. What values are is left to the parser.

use std::ops::Range;

use super::bad::Bad;
use super::parse::DEPTH_MAX;
use super::scan::{Scan, is_disallowed, is_newline, is_space};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::source::{Span, offset};

/// What is known of a file before it is parsed.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// The text with spaces in place of comments, and `_` in place of what cannot be read. It is as long as the text,
    /// but for the braces that are missing at its end.
    pub(super) plain: Vec<u8>,
    pub(super) notes: Vec<Note>,
    /// Texts in quotes.
    pub(super) texts: Vec<Range<usize>>,
    /// Blocks with their braces, by where they begin.
    pub(super) blocks: Vec<Range<usize>>,
    /// Where the nodes outside of all blocks are.
    pub(super) chunks: Vec<Range<usize>>,
    pub(super) bad: Bad,
}

/// What means nothing and is kept nevertheless.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) what: Remark,
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Remark {
    /// An empty line.
    Blank,
    /// A comment to the end of the line.
    Line,
    /// A comment between `/*` and `*/`, or something behind `/-`.
    Inner,
    /// The line goes on behind `\`, which may have a comment behind it.
    Break(Option<Range<usize>>),
}

/// Outlines a file. What has no end, or nothing before it, is in `mistakes`.
pub(super) fn outline(file: u32, text: &str, mistakes: &mut Mistakes) -> Outline {
    let found = Outline { plain: text.as_bytes().to_vec(), ..Outline::default() };
    let scan = Scan { text, at: 0 };
    let mut outliner =
        Outliner { scan, file, found, mistakes, open: Vec::new(), chunk: None, newlines: 0, is_first: true };
    if outliner.scan.take("\u{feff}") {
        outliner.blank(0);
    }
    outliner.characters();
    outliner.run();
    outliner.found
}

struct Outliner<'t, 'm> {
    scan: Scan<'t>,
    file: u32,
    found: Outline,
    mistakes: &'m mut Mistakes,
    /// The blocks that are open, as their places in `found.blocks`.
    open: Vec<usize>,
    /// Where the node began that is outside of all blocks.
    chunk: Option<usize>,
    /// Ends of lines since something stood there.
    newlines: usize,
    /// A node begins with what comes next.
    is_first: bool,
}

impl Outliner<'_, '_> {
    fn run(&mut self) {
        while let Some(next) = self.scan.peek() {
            let start = self.scan.at;
            if is_newline(next) {
                self.end_of_line();
                continue;
            }
            if is_space(next) {
                self.scan.at += next.len_utf8();
                continue;
            }
            self.newlines = 0;
            match next {
                '/' if self.scan.looks_at("//") => {
                    let span = self.line_comment();
                    self.found.notes.push(Note { what: Remark::Line, span });
                }
                '/' if self.scan.looks_at("/*") => self.comment(),
                '/' if self.scan.looks_at("/-") => self.dropped(),
                '\\' => self.continuation(),
                '"' | '#' if self.scan.is_text() => {
                    self.something(start);
                    self.text();
                }
                '{' => {
                    self.something(start);
                    self.open();
                }
                '}' => self.close(),
                ';' => {
                    self.something(start);
                    self.scan.at += 1;
                    self.end_of_node();
                }
                _ => {
                    self.something(start);
                    self.scan.at += next.len_utf8();
                }
            }
        }
        self.end_of_file();
    }

    fn mistake(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        let span = Span { file: self.file, start: offset(span.start), end: offset(span.end) };
        self.mistakes.add(Mistake::new(span, message).help(help));
    }

    /// Puts spaces from `start` to here.
    fn blank(&mut self, start: usize) {
        self.found.plain[start..self.scan.at].fill(b' ');
    }

    /// Takes out what cannot be read, from `start` to here.
    fn spoil(&mut self, start: usize) {
        self.found.plain[start..self.scan.at].fill(b'_');
        self.found.bad.add(start..self.scan.at);
    }

    /// Refuses characters that nobody sees.
    fn characters(&mut self) {
        let from = self.scan.at;
        let strange = self.scan.rest().char_indices().filter(|(_, c)| is_disallowed(*c));
        for (at, c) in strange {
            let span = from + at..from + at + c.len_utf8();
            self.found.plain[span.clone()].fill(b'_');
            self.found.bad.add(span.clone());
            let message = format!("the invisible character U+{:04X} may not stand in a config", u32::from(c));
            self.mistake(span, message, format!("remove it, or write it as \\u{{{:x}}} in quotes", u32::from(c)));
        }
    }

    /// Part of a node stands here.
    fn something(&mut self, start: usize) {
        self.chunk.get_or_insert(start);
        self.is_first = false;
    }

    fn end_of_node(&mut self) {
        self.is_first = true;
        if self.open.is_empty()
            && let Some(start) = self.chunk.take()
        {
            self.found.chunks.push(start..self.scan.at);
        }
    }

    fn end_of_line(&mut self) {
        self.end_of_node();
        let start = self.scan.at;
        self.scan.take_newline();
        self.newlines += 1;
        if self.newlines == 2 {
            self.found.notes.push(Note { what: Remark::Blank, span: start..self.scan.at });
        }
    }

    fn end_of_file(&mut self) {
        while let Some(block) = self.open.pop() {
            let start = self.found.blocks[block].start;
            self.mistake(start..start + 1, "this block has no end", "close it by `}` on a line of its own");
            self.found.bad.add(start..start + 1);
            self.found.plain.push(b'}');
            self.found.blocks[block].end = self.found.plain.len();
        }
        if let Some(start) = self.chunk {
            self.found.chunks.push(start..self.found.plain.len());
        }
    }

    fn line_comment(&mut self) -> Range<usize> {
        let start = self.scan.at;
        let length = self.scan.take_while(|c| !is_newline(c)).trim_end().len();
        self.blank(start);
        start..start + length
    }

    fn comment(&mut self) {
        let start = self.scan.at;
        if self.scan.take_block_comment().is_none() {
            self.mistake(start..start + 2, "this comment has no end", "close it by `*/`");
            self.found.bad.add(start..self.scan.at);
        }
        self.blank(start);
        self.found.notes.push(Note { what: Remark::Inner, span: start..self.scan.at });
    }

    /// Goes behind `\` and the end of its line; without one it is left to the parser, which refuses it.
    fn continuation(&mut self) {
        let start = self.scan.at;
        self.scan.at += 1;
        while !self.scan.take_while(is_space).is_empty() || self.scan.looks_at("/*") {
            if self.scan.looks_at("/*") {
                self.comment();
            }
        }
        let end = self.scan.at;
        let comment = if self.scan.looks_at("//") { Some(self.line_comment()) } else { None };
        match self.scan.take_newline() || self.scan.peek().is_none() {
            true => self.found.notes.push(Note { what: Remark::Break(comment), span: end..self.scan.at }),
            false => self.something(start),
        }
    }

    fn text(&mut self) {
        let start = self.scan.at;
        if self.scan.take_text().is_some() {
            return self.found.texts.push(start..self.scan.at);
        }
        self.spoil(start);
        let help = "close it by `\"` on the same line, or one over several lines by `\"\"\"` on a line of its own";
        self.mistake(start..self.scan.at, "this text has no end", help);
    }

    fn open(&mut self) {
        let start = self.scan.at;
        if self.open.len() == DEPTH_MAX {
            self.skip_block();
            self.spoil(start);
            self.blank(start);
            let message = format!("this is more than {DEPTH_MAX} blocks deep");
            return self.mistake(start..start + 1, message, "use fewer blocks");
        }
        self.scan.at += 1;
        self.open.push(self.found.blocks.len());
        self.found.blocks.push(start..start);
        self.is_first = true;
    }

    fn close(&mut self) {
        let start = self.scan.at;
        self.scan.at += 1;
        if let Some(block) = self.open.pop() {
            self.found.blocks[block].end = self.scan.at;
            self.is_first = false;
            return;
        }
        self.blank(start);
        self.found.bad.add(start..self.scan.at);
        let help = "remove it, or look for a `}` too many above";
        self.mistake(start..self.scan.at, "there is no `{` for this `}`", help);
    }

    /// Goes behind `/-` and what it takes out of the config: a node, an entry or a block.
    fn dropped(&mut self) {
        let start = self.scan.at;
        self.scan.at += 2;
        while self.scan.peek().is_some_and(|c| is_space(c) || is_newline(c) || c == '\\')
            || self.scan.looks_at("//")
            || self.scan.looks_at("/*")
        {
            self.skip();
        }
        let begin = self.scan.at;
        match self.scan.peek() {
            _ if self.is_first => self.skip_node(),
            Some('{') => self.skip_block(),
            _ => self.skip_entry(),
        }
        if self.scan.at == begin {
            self.mistake(start..start + 2, "nothing stands behind this `/-`", "remove it");
            self.found.bad.add(start..start + 2);
        }
        let length = self.scan.text[start..self.scan.at].trim_end().len();
        self.found.notes.push(Note { what: Remark::Inner, span: start..start + length });
        self.blank(start);
    }

    fn skip_node(&mut self) {
        while let Some(next) = self.scan.peek() {
            match next {
                '{' => self.skip_block(),
                '}' => return,
                ';' => return self.scan.at += 1,
                next if is_newline(next) => return,
                _ => self.skip(),
            }
        }
    }

    fn skip_entry(&mut self) {
        self.skip_value();
        let end = self.scan.at;
        self.scan.take_while(is_space);
        if self.scan.take("=") {
            self.scan.take_while(is_space);
            return self.skip_value();
        }
        self.scan.at = end;
    }

    fn skip_value(&mut self) {
        let ends = |c: char| is_space(c) || is_newline(c) || matches!(c, ';' | '{' | '}' | '=');
        while self.scan.peek().is_some_and(|c| !ends(c)) && !self.scan.looks_at("//") && !self.scan.looks_at("/*") {
            self.skip();
        }
    }

    fn skip_block(&mut self) {
        let start = self.scan.at;
        let mut depth = 0_usize;
        while let Some(next) = self.scan.peek() {
            match next {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {
                    self.skip();
                    continue;
                }
            }
            self.scan.at += 1;
            if depth == 0 {
                return;
            }
        }
        self.mistake(start..start + 1, "this block has no end", "close it by `}` on a line of its own");
    }

    /// Goes behind one thing that counts for nothing: a text, a comment, a `\` with the end of its line, a character.
    fn skip(&mut self) {
        match self.scan.peek() {
            Some('"' | '#') if self.scan.is_text() => drop(self.scan.take_text()),
            Some('/') if self.scan.looks_at("/*") => drop(self.scan.take_block_comment()),
            Some('/') if self.scan.looks_at("//") => drop(self.scan.take_while(|c| !is_newline(c))),
            Some('\\') => {
                self.scan.at += 1;
                self.scan.take_while(is_space);
                if self.scan.looks_at("//") {
                    self.scan.take_while(|c| !is_newline(c));
                }
                self.scan.take_newline();
            }
            next => self.scan.at += next.map_or(0, char::len_utf8),
        }
    }
}
