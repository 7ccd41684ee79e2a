//! From the nodes of the parser to ours: with what they stand for, where they are, and the comments around them.

use std::ops::Range;

use super::outline::{Note, Outline, Remark};
use super::parsed::{Parsed, ParsedEntry};
use super::{Block, Entry, Gap, Name, Node, Nodes, Span, Value};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::source::offset;

/// Builds the tree. It is given the nodes in their order, as each takes the notes before and in it.
pub(super) struct Tree<'t, 'm> {
    file: u32,
    text: &'t str,
    outline: &'t Outline,
    notes: &'t [Note],
    mistakes: &'m mut Mistakes,
}

impl<'t, 'm> Tree<'t, 'm> {
    /// Goes on behind so many notes.
    pub(super) fn new(
        file: u32,
        text: &'t str,
        outline: &'t Outline,
        noted: usize,
        mistakes: &'m mut Mistakes,
    ) -> Self {
        Self { file, text, outline, notes: &outline.notes[noted..], mistakes }
    }

    /// How many notes the nodes so far have taken.
    pub(super) fn noted(&self) -> usize {
        self.outline.notes.len() - self.notes.len()
    }

    /// A node; `None` if its name cannot be read.
    pub(super) fn node(&mut self, node: Parsed) -> Option<Node> {
        let name = node.name_place;
        if self.outline.bad.touches(&name) {
            return None;
        }
        let before = self.gaps(name.start);
        let mut is_broken = node.is_typed && self.refuse_type(name.clone());
        let mut entries = Vec::with_capacity(node.entries.len());
        let mut end = name.end;
        for entry in node.entries {
            let place = entry.place.clone();
            self.within(place.end, &mut entries);
            end = place.end;
            if entry.is_typed {
                is_broken |= self.refuse_type(place);
            } else if !self.outline.bad.touches(&place) {
                entries.push(self.entry(entry));
            }
        }
        let span = self.span(&(name.start..end));
        let block =
            node.children.and_then(|children| Some((children, self.block_at(end)?))).map(|(children, place)| {
                self.within(place.start, &mut entries);
                end = place.end;
                let opening = self.line_comment(place.start + 1);
                let mut nodes = Vec::with_capacity(children.len());
                nodes.extend(children.into_iter().filter_map(|child| self.node(child)));
                let inside = Nodes { nodes, end: self.gaps(place.end - 1) };
                Block { opening, inside, span: self.span(&place) }
            });
        let after = self.behind(end, &mut entries);
        is_broken |= self.outline.bad.touches(&(name.start..end));
        // A mistake behind the last entry belongs to it too.
        is_broken |= self.outline.bad.touches(&node.place);
        let name = Name { text: node.name, span: self.span(&name) };
        Some(Node { before, is_broken, name, entries, block, after, span })
    }

    /// What stands up to there, between nodes.
    pub(super) fn gaps(&mut self, limit: usize) -> Vec<Gap> {
        let mut gaps = Vec::new();
        while let Some(note) = self.next(limit) {
            match &note.what {
                Remark::Blank => gaps.push(Gap::Blank),
                Remark::Line | Remark::Inner => gaps.push(Gap::Comment(self.slice(&note.span))),
                Remark::Break(comment) => gaps.extend(comment.as_ref().map(|span| Gap::Comment(self.slice(span)))),
            }
        }
        gaps
    }

    /// What stands up to there, within a node.
    fn within(&mut self, limit: usize, entries: &mut Vec<Entry>) {
        while let Some(note) = self.next(limit) {
            self.keep(note, entries);
        }
    }

    fn keep(&self, note: &Note, entries: &mut Vec<Entry>) {
        match &note.what {
            Remark::Blank => {}
            Remark::Line | Remark::Inner => entries.push(Entry::Comment(self.slice(&note.span))),
            Remark::Break(comment) => entries.push(Entry::Break(comment.as_ref().map(|span| self.slice(span)))),
        }
    }

    /// What stands behind a node on its last line, of which the comment that ends it is given.
    fn behind(&mut self, end: usize, entries: &mut Vec<Entry>) -> Option<Box<str>> {
        let mut at = end;
        let mut is_ended = false;
        while let Some(note) = self.notes.first().filter(|note| note.span.start >= at) {
            let between = &self.outline.plain[at..note.span.start];
            is_ended |= between.contains(&b';');
            let is_near = between.iter().all(|byte| matches!(byte, b' ' | b'\t' | b';' | b'\\'));
            if !is_near || matches!(note.what, Remark::Blank) || (is_ended && !matches!(note.what, Remark::Line)) {
                return None;
            }
            self.notes = &self.notes[1..];
            if matches!(note.what, Remark::Line) {
                return Some(self.slice(&note.span));
            }
            self.keep(note, entries);
            at = note.span.end;
        }
        None
    }

    /// The comment that stands there alone on the rest of the line.
    fn line_comment(&mut self, at: usize) -> Option<Box<str>> {
        let note = self.notes.first().filter(|note| matches!(note.what, Remark::Line) && note.span.start >= at)?;
        let is_near = self.outline.plain[at..note.span.start].iter().all(|byte| matches!(byte, b' ' | b'\t'));
        if !is_near {
            return None;
        }
        self.notes = &self.notes[1..];
        Some(self.slice(&note.span))
    }

    fn next(&mut self, limit: usize) -> Option<&'t Note> {
        let (first, rest) = self.notes.split_first().filter(|(first, _)| first.span.start < limit)?;
        self.notes = rest;
        Some(first)
    }

    /// The first block from there on.
    fn block_at(&self, at: usize) -> Option<Range<usize>> {
        let start = at + self.outline.plain[at..].iter().position(|byte| *byte == b'{')?;
        let blocks = &self.outline.blocks;
        blocks.binary_search_by_key(&start, |block| block.start).ok().map(|found| blocks[found].clone())
    }

    fn entry(&self, entry: ParsedEntry) -> Entry {
        let value = Value { what: entry.what, span: self.span(&entry.value_place) };
        match entry.name {
            None => Entry::Argument(value),
            Some((text, place)) => Entry::Property(Name { text, span: self.span(&place) }, value),
        }
    }

    fn refuse_type(&mut self, place: Range<usize>) -> bool {
        let help = "remove it: what a value is follows from the word it belongs to";
        self.mistakes.add(Mistake::new(self.span(&place), "types are not written in a config").help(help));
        true
    }

    fn slice(&self, place: &Range<usize>) -> Box<str> {
        self.text.get(place.clone()).unwrap_or_default().into()
    }

    fn span(&self, place: &Range<usize>) -> Span {
        // Braces that are missing at the end are not in the text.
        let [start, end] = [place.start, place.end].map(|at| offset(at.min(self.text.len())));
        Span { file: self.file, start, end }
    }
}
