//! KDL, version 2 of the language: text in, a tree with every comment out.
//!
//! The language is left to the crate `kdl`, which says what a node, a name and a value is. Here its nodes become the tree
//! that the rest of the config is read from and printed again, in three steps:
//!
//! - `outline` takes comments out and finds the nodes outside of all blocks, and what the crate could not bear, such as
//!   ten thousand blocks within one another;
//! - `parse` reads these nodes one by one: those that are written plainly itself (`plain`), as the crate takes a
//!   millisecond for three kilobytes; all others by the crate. Where one does not parse, what is wrong in it is said in our
//!   words (`refusal`) and taken out, and it is parsed again, so that all mistakes are said at once;
//! - `tree` puts names, values and comments together.
//!
//! Type annotations are refused: `(u8)1` means nothing here. What is behind `/-` is a comment and may be anything.

mod bad;
mod outline;
mod parse;
mod parsed;
mod plain;
mod refusal;
mod scan;
mod tree;

use super::source::Span;

pub(crate) use parse::{Which, parse};
pub(crate) use scan::is_identifier;

/// Nodes, one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// What stands behind the last.
    pub(crate) end: Vec<Gap>,
}

/// A node: a word with what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What stands before it, on lines of its own.
    pub(crate) before: Vec<Gap>,
    /// Something in it could not be read, so that what seems to be missing may be there.
    pub(crate) is_broken: bool,
    pub(crate) name: Name,
    pub(crate) entries: Vec<Entry>,
    pub(crate) block: Option<Block>,
    /// A comment behind it on its last line.
    pub(crate) after: Option<Box<str>>,
    /// The node without its block.
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: Box<str>,
    pub(crate) span: Span,
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    Argument(Value),
    Property(Name, Value),
    /// What counts for nothing, as it was written: a comment, or something behind `/-`.
    Comment(Box<str>),
    /// The line goes on behind `\`, which may have a comment behind it.
    Break(Option<Box<str>>),
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) what: What,
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    Text { text: Box<str>, form: Form },
    Integer(i128),
    Float(f64),
    Switch(bool),
    Null,
}

/// How a text was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Bare,
    Quoted,
    /// Between `#"` and `"#`: it is what it is.
    Raw,
}

/// Braces and what is between them.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// A comment behind the opening brace.
    pub(crate) opening: Option<Box<str>>,
    pub(crate) inside: Nodes,
    pub(crate) span: Span,
}

/// What stands between nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// At least one empty line.
    Blank,
    /// A comment or a node behind `/-`, as it was written.
    Comment(Box<str>),
}

impl Node {
    /// What is between its braces.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Node> {
        self.block.iter().flat_map(|block| &block.inside.nodes)
    }
}

#[cfg(test)]
mod tests;
