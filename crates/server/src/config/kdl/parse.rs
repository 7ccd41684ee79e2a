//! The parser: goes on behind a mistake, so that all are found at once.

use super::scan::{KEYWORDS, Scan, begins_number, is_disallowed, is_identifier, is_newline, is_space, is_word};
use super::{Block, Entry, Form, Gap, Name, Node, Nodes, Value, What, number, string};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::source::{Span, offset};

/// Braces within braces. The config has four; more is a mistake, and would take stack.
pub(crate) const DEPTH_MAX: usize = 32;

/// Reads a file. What could not be read is in `mistakes`, and left out.
pub(crate) fn parse(file: u32, text: &str, mistakes: &mut Mistakes) -> Nodes {
    let mut parser = Parser { scan: Scan { text, at: 0 }, file, depth: 0, mistakes };
    parser.scan.take("\u{feff}");
    parser.characters();
    parser.nodes(None).0
}

struct Parser<'t, 'm> {
    scan: Scan<'t>,
    file: u32,
    depth: usize,
    mistakes: &'m mut Mistakes,
}

/// How the reading of some nodes went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    Well,
    Badly,
}

/// What stood behind a `/-` within a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dropped {
    Entry,
    Block,
}

impl Parser<'_, '_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: offset(start), end: offset(end) }
    }

    fn mistake(&self, start: usize, end: usize, message: impl Into<String>) -> Mistake {
        Mistake::new(self.span(start, end), message)
    }

    /// Refuses characters that nobody sees.
    fn characters(&mut self) {
        let from = self.scan.at;
        let strange = self.scan.rest().char_indices().filter(|(_, c)| is_disallowed(*c));
        for (at, c) in strange {
            let start = from + at;
            let message = format!("the invisible character U+{:04X} may not stand in a config", u32::from(c));
            let help = format!("remove it, or write it as \\u{{{:x}}} in quotes", u32::from(c));
            self.mistakes.add(self.mistake(start, start + c.len_utf8(), message).help(help));
        }
    }

    /// Reads nodes up to the closing brace of the block that opened there, or to the end of the file.
    fn nodes(&mut self, opened: Option<usize>) -> (Nodes, Went) {
        let (mut nodes, mut went) = (Vec::new(), Went::Well);
        loop {
            let before = self.gap(&mut went);
            match self.scan.peek() {
                None => {
                    if let Some(start) = opened {
                        let help = "close it by `}` on a line of its own";
                        self.mistakes.add(self.mistake(start, start + 1, "this block has no end").help(help));
                        went = Went::Badly;
                    }
                    return (Nodes { nodes, end: before }, went);
                }
                Some('}') => {
                    self.scan.at += 1;
                    if opened.is_some() {
                        return (Nodes { nodes, end: before }, went);
                    }
                    let at = self.scan.at;
                    let help = "remove it, or look for a `}` too many above";
                    self.mistakes.add(self.mistake(at - 1, at, "there is no `{` for this `}`").help(help));
                    went = Went::Badly;
                }
                Some(';') => {
                    self.scan.at += 1;
                    let at = self.scan.at;
                    self.mistakes.add(self.mistake(at - 1, at, "there is nothing before this `;`").help("remove it"));
                    went = Went::Badly;
                }
                Some(_) => {
                    let node = self.node(before);
                    went = if node.as_ref().is_none_or(|node| node.is_broken) { Went::Badly } else { went };
                    nodes.extend(node);
                }
            }
        }
    }

    /// Goes behind space, ends of lines and comments between nodes.
    fn gap(&mut self, went: &mut Went) -> Vec<Gap> {
        let (mut gaps, mut newlines) = (Vec::new(), 0);
        loop {
            self.scan.take_while(is_space);
            if self.scan.take_newline() {
                newlines += 1;
                if newlines == 2 {
                    gaps.push(Gap::Blank);
                }
                continue;
            }
            if self.take_continuation() {
                continue;
            }
            if !self.scan.looks_at("//") && !self.scan.looks_at("/*") {
                return gaps;
            }
            newlines = 0;
            match self.comment() {
                Ok(comment) => gaps.push(Gap::Comment(comment)),
                Err(mistake) => {
                    self.mistakes.add(mistake);
                    *went = Went::Badly;
                }
            }
        }
    }

    /// Goes behind a `\` that ends a line, and means nothing where none has begun.
    fn take_continuation(&mut self) -> bool {
        let mut ahead = self.scan;
        let mut is_one = ahead.take("\\");
        while is_one && (!ahead.take_while(is_space).is_empty() || ahead.looks_at("/*")) {
            is_one = !ahead.looks_at("/*") || ahead.take_block_comment().is_some();
        }
        is_one &= ahead.peek().is_none_or(is_newline) || ahead.looks_at("//");
        self.scan.at += usize::from(is_one);
        is_one
    }

    /// Reads a comment, which is next: of a line, or between `/*` and `*/`.
    fn comment(&mut self) -> Result<Box<str>, Mistake> {
        let start = self.scan.at;
        if self.scan.looks_at("//") {
            return Ok(self.scan.take_while(|c| !is_newline(c)).trim_end().into());
        }
        match self.scan.take_block_comment() {
            Some(comment) => Ok(comment.into()),
            None => Err(self.mistake(start, start + 2, "this comment has no end").help("close it by `*/`")),
        }
    }

    fn node(&mut self, before: Vec<Gap>) -> Option<Node> {
        let is_dropped = self.scan.take("/-");
        let mut went = Went::Well;
        if is_dropped {
            self.gap(&mut went);
        }
        let start = self.scan.at;
        let name = match self.name() {
            Ok(name) => name,
            Err(mistake) => {
                self.mistakes.add(mistake);
                self.recover();
                return None;
            }
        };
        let span = name.span;
        let mut node =
            Node { before, is_dropped, is_broken: false, name, entries: Vec::new(), block: None, after: None, span };
        if let Err(mistake) = self.entries(&mut node, start) {
            self.mistakes.add(mistake);
            node.is_broken = true;
            self.recover();
        }
        node.is_broken |= went == Went::Badly;
        Some(node)
    }

    fn name(&mut self) -> Result<Name, Mistake> {
        let start = self.scan.at;
        let value = self.value()?;
        match value.what {
            What::Text { text, .. } => Ok(Name { text, span: value.span }),
            _ => Err(self.mistake(start, self.scan.at, "a word is missing here").help("a line begins with a word")),
        }
    }

    /// Reads what belongs to a node, its block and the end of its line included.
    fn entries(&mut self, node: &mut Node, start: usize) -> Result<(), Mistake> {
        // Behind a block stands nothing but blocks that do not count.
        let mut has_block = false;
        loop {
            let end = self.scan.at;
            let is_apart = self.space(node)?;
            let here = self.scan.at;
            if node.block.is_none() {
                node.span = self.span(start, end);
            }
            match self.scan.peek() {
                None | Some('}') => return Ok(()),
                Some(';') => {
                    self.scan.at += 1;
                    self.scan.take_while(is_space);
                    if self.scan.looks_at("//") {
                        node.after = Some(self.comment()?);
                    }
                    return Ok(());
                }
                Some('/') if self.scan.looks_at("//") => {
                    node.after = Some(self.comment()?);
                    return Ok(());
                }
                Some(next) if is_newline(next) => return Ok(()),
                Some('{') if node.block.is_none() => {
                    self.block(node)?;
                    has_block = true;
                }
                Some('/') if self.scan.looks_at("/-") => match self.dropped(node)? {
                    Dropped::Block => has_block = true,
                    Dropped::Entry if !has_block => {}
                    Dropped::Entry => return Err(self.mistake(here, self.scan.at, "nothing may follow a block")),
                },
                Some(_) if has_block => {
                    let help = "begin a new line, or separate by `;`";
                    return Err(self.mistake(here, self.run(here), "nothing may follow a block").help(help));
                }
                Some(_) if !is_apart => {
                    return Err(self.mistake(here, self.run(here), "a space is missing before this"));
                }
                Some(_) => {
                    let entry = self.entry()?;
                    node.entries.push(entry);
                }
            }
        }
    }

    /// Goes behind space within a node, and says whether there was any.
    fn space(&mut self, node: &mut Node) -> Result<bool, Mistake> {
        let mut is_apart = false;
        loop {
            is_apart |= !self.scan.take_while(is_space).is_empty();
            if self.scan.looks_at("/*") {
                let comment = self.comment()?;
                node.entries.push(Entry::Comment(comment));
            } else if self.scan.take("\\") {
                let at = self.scan.at;
                while !self.scan.take_while(is_space).is_empty() || self.scan.looks_at("/*") {
                    if self.scan.looks_at("/*") {
                        let comment = self.comment()?;
                        node.entries.push(Entry::Comment(comment));
                    }
                }
                let comment = if self.scan.looks_at("//") { Some(self.comment()?) } else { None };
                if !self.scan.take_newline() && self.scan.peek().is_some() {
                    let help = "end the line behind `\\`, or write a path within quotes";
                    return Err(self.mistake(at - 1, at, "`\\` joins this line with the next").help(help));
                }
                node.entries.push(Entry::Break(comment));
            } else {
                return Ok(is_apart);
            }
            is_apart = true;
        }
    }

    fn block(&mut self, node: &mut Node) -> Result<(), Mistake> {
        let start = self.scan.at;
        if self.depth == DEPTH_MAX {
            self.skip_block();
            let message = format!("this is more than {DEPTH_MAX} blocks deep");
            return Err(self.mistake(start, start + 1, message));
        }
        self.scan.at += 1;
        self.scan.take_while(is_space);
        let opening = if self.scan.looks_at("//") { Some(self.comment()?) } else { None };
        self.depth += 1;
        let (inside, went) = self.nodes(Some(start));
        self.depth -= 1;
        node.is_broken |= went == Went::Badly;
        node.block = Some(Block { opening, inside, span: self.span(start, self.scan.at) });
        Ok(())
    }

    /// Reads what follows `/-` within a node, and keeps it as it was written.
    fn dropped(&mut self, node: &mut Node) -> Result<Dropped, Mistake> {
        let start = self.scan.at;
        self.scan.at += 2;
        let mut went = Went::Well;
        self.gap(&mut went);
        let dropped = if self.scan.peek() == Some('{') {
            let block = node.block.take();
            let read = self.block(node);
            node.block = block;
            read?;
            Dropped::Block
        } else {
            self.entry()?;
            Dropped::Entry
        };
        node.entries.push(Entry::Comment(self.scan.text[start..self.scan.at].into()));
        Ok(dropped)
    }

    fn entry(&mut self) -> Result<Entry, Mistake> {
        let start = self.scan.at;
        let value = self.value()?;
        let end = self.scan.at;
        self.scan.take_while(is_space);
        if !self.scan.take("=") {
            self.scan.at = end;
            return Ok(Entry::Argument(value));
        }
        let What::Text { text, .. } = value.what else {
            return Err(self.mistake(start, end, "this cannot be the name of a property"));
        };
        self.scan.take_while(is_space);
        let name = Name { text, span: value.span };
        let ends = |next: char| is_newline(next) || matches!(next, ';' | '}' | '{');
        if self.scan.peek().is_none_or(ends) {
            return Err(self.mistake(start, self.scan.at, format!("`{}` has no value", name.text)));
        }
        Ok(Entry::Property(name, self.value()?))
    }

    fn value(&mut self) -> Result<Value, Mistake> {
        let start = self.scan.at;
        let what = match self.scan.peek() {
            Some('"') => self.text()?,
            Some('#') if self.scan.rest().trim_start_matches('#').starts_with('"') => self.text()?,
            Some('#') => self.keyword()?,
            Some('(') => {
                let end = self.run(start);
                let help = "remove it: what a value is follows from the word it belongs to";
                return Err(self.mistake(start, end, "types are not written in a config").help(help));
            }
            _ => self.bare()?,
        };
        // What follows at once belongs to it, or was meant to.
        let ends = |next: char| is_space(next) || is_newline(next) || matches!(next, ';' | '{' | '}' | '=' | '\\');
        let is_comment = || self.scan.looks_at("//") || self.scan.looks_at("/*");
        if !self.scan.peek().is_none_or(ends) && !is_comment() {
            return Err(self.unquoted(start));
        }
        Ok(Value { what, span: self.span(start, self.scan.at) })
    }

    fn text(&mut self) -> Result<What, Mistake> {
        string::text(&mut self.scan)
            .map_err(|bad| Mistake::new(self.span(bad.start, bad.end), bad.message).help(bad.help))
    }

    fn keyword(&mut self) -> Result<What, Mistake> {
        let start = self.scan.at;
        self.scan.at += 1;
        match self.scan.take_while(is_word) {
            "true" => Ok(What::Switch(true)),
            "false" => Ok(What::Switch(false)),
            "null" => Ok(What::Null),
            "inf" => Ok(What::Float(f64::INFINITY)),
            "-inf" => Ok(What::Float(f64::NEG_INFINITY)),
            "nan" => Ok(What::Float(f64::NAN)),
            _ => {
                let help = "behind `#` stands true, false, or a text in quotes; comments begin with `//`";
                Err(self.mistake(start, self.run(start), "this is no value").help(help))
            }
        }
    }

    /// Reads a word without quotes, or a number.
    fn bare(&mut self) -> Result<What, Mistake> {
        let start = self.scan.at;
        let word = self.scan.take_while(is_word);
        if begins_number(word) {
            return number::number(word).ok_or_else(|| self.unquoted(start));
        }
        if KEYWORDS.contains(&word) {
            let help = format!("write `#{word}`, or `\"{word}\"` if it is a text");
            return Err(self.mistake(start, self.scan.at, format!("`{word}` needs a `#` before it")).help(help));
        }
        if !is_identifier(word) {
            return Err(self.unquoted(start));
        }
        Ok(What::Text { text: word.into(), form: Form::Bare })
    }

    /// What starts there was meant to be a text.
    fn unquoted(&self, start: usize) -> Mistake {
        let end = self.run(start);
        let written = &self.scan.text[start..end];
        let mistake = self.mistake(start, end, format!("`{}` is no word and no number", written.escape_debug()));
        match written.contains(['"', '\\']) || written.is_empty() {
            true => mistake.help("put a space between values, and texts in quotes"),
            false => mistake.help(format!("put it in quotes: `\"{written}\"`")),
        }
    }

    /// The end of what is written without space from there on; it is at least one character.
    fn run(&self, start: usize) -> usize {
        let ends = |c: char| is_space(c) || is_newline(c) || matches!(c, ';' | '{' | '}');
        let rest = &self.scan.text[start..];
        let length = rest.find(ends).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        start + length.max(first)
    }

    /// Goes to the end of a line with a mistake. Blocks on it are read, as there may be more mistakes.
    fn recover(&mut self) {
        while let Some(next) = self.scan.peek() {
            let start = self.scan.at;
            match next {
                '}' => return,
                ';' => {
                    self.scan.at += 1;
                    return;
                }
                '{' if self.depth == DEPTH_MAX => self.skip_block(),
                '{' => {
                    self.scan.at += 1;
                    self.depth += 1;
                    self.nodes(Some(start));
                    self.depth -= 1;
                }
                '"' => drop(string::text(&mut self.scan)),
                '/' if self.scan.looks_at("/*") => drop(self.scan.take_block_comment()),
                '/' if self.scan.looks_at("//") => drop(self.scan.take_while(|c| !is_newline(c))),
                next if is_newline(next) => return,
                next => self.scan.at += next.len_utf8(),
            }
        }
    }

    /// Goes behind a block without looking at what is in it.
    fn skip_block(&mut self) {
        let mut depth = 0_usize;
        while let Some(next) = self.scan.peek() {
            match next {
                '"' => {
                    drop(string::text(&mut self.scan));
                    continue;
                }
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            self.scan.at += next.len_utf8();
            if depth == 0 {
                return;
            }
        }
    }
}
