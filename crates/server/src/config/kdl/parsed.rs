//! Nodes as the parser gives them, with their places in the file: what `tree` makes ours of.

use std::ops::Range;

use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};

use super::{Form, What};

/// A node: what its name and its entries stand for, each with where it is in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parsed {
    pub(super) name: Box<str>,
    pub(super) name_place: Range<usize>,
    /// Whether a type annotation stands before it.
    pub(super) is_typed: bool,
    pub(super) entries: Vec<ParsedEntry>,
    /// What is between its braces, if it has any.
    pub(super) children: Option<Vec<Parsed>>,
    /// The whole of it, with the space behind it.
    pub(super) place: Range<usize>,
}

/// An argument, or a property with its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ParsedEntry {
    pub(super) name: Option<(Box<str>, Range<usize>)>,
    pub(super) what: What,
    /// Where its value is.
    pub(super) value_place: Range<usize>,
    /// The whole of it.
    pub(super) place: Range<usize>,
    pub(super) is_typed: bool,
}

impl Parsed {
    /// A node of the crate's, of which the text begins at `base`.
    pub(super) fn of_crate(base: usize, node: &KdlNode) -> Self {
        let nodes = |document: &KdlDocument| document.nodes().iter().map(|node| Self::of_crate(base, node)).collect();
        Self {
            name: node.name().value().into(),
            name_place: place(base, node.name().span()),
            is_typed: node.ty().is_some(),
            entries: node.entries().iter().map(|entry| ParsedEntry::of_crate(base, entry)).collect(),
            children: node.children().map(nodes),
            place: place(base, node.span()),
        }
    }
}

impl ParsedEntry {
    fn of_crate(base: usize, entry: &KdlEntry) -> Self {
        let written = entry.format().map_or("", |format| &*format.value_repr);
        let place = place(base, entry.span());
        let what = match entry.value() {
            KdlValue::String(text) => What::Text { text: text.as_str().into(), form: form(written) },
            KdlValue::Integer(number) => What::Integer(*number),
            KdlValue::Float(number) => What::Float(*number),
            KdlValue::Bool(on) => What::Switch(*on),
            KdlValue::Null => What::Null,
        };
        Self {
            name: entry.name().map(|name| (name.value().into(), self::place(base, name.span()))),
            what,
            value_place: place.end.saturating_sub(written.len())..place.end,
            place,
            is_typed: entry.ty().is_some(),
        }
    }
}

fn place(base: usize, span: miette::SourceSpan) -> Range<usize> {
    base + span.offset()..base + span.offset() + span.len()
}

fn form(written: &str) -> Form {
    match written.as_bytes().first() {
        Some(b'"') => Form::Quoted,
        Some(b'#') => Form::Raw,
        _ => Form::Bare,
    }
}
