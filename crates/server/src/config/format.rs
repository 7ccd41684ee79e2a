//! Writes a config canonically: one node a line, four spaces a block, no two empty lines together.
//! Comments stay, values stay as they were written. What it writes, it would write again.

use super::kdl::{Block, Entry, Gap, Name, Node, Nodes, is_identifier};
use super::source::{Source, Span};

const INDENT: &str = "    ";

/// What stands for a block where only a line is shown.
const BLOCK: &str = " { … }";

/// The whole file.
pub(super) fn format(nodes: &Nodes, source: &Source) -> String {
    let mut writer = Writer { source, text: String::with_capacity(source.text.len()), depth: 0 };
    writer.nodes(nodes);
    writer.text
}

/// The first line of a node: without comments and breaks, and `…` in place of what is in its block.
pub(super) fn line(node: &Node, source: &Source) -> Box<str> {
    let length = (node.span.end - node.span.start) as usize + BLOCK.len();
    let mut writer = Writer { source, text: String::with_capacity(length), depth: 0 };
    writer.line(node);
    if node.children().next().is_some() {
        writer.text += BLOCK;
    }
    writer.text.into()
}

/// The lines of a node's block, without comments and breaks.
pub(super) fn inside(node: &Node, source: &Source) -> Vec<Box<str>> {
    let length = node.block.as_ref().map_or(0, |block| block.span.end - block.span.start) as usize;
    let mut writer = Writer { source, text: String::with_capacity(length), depth: 0 };
    node.children().for_each(|child| writer.plain(child));
    writer.text.lines().map(Into::into).collect()
}

struct Writer<'s> {
    source: &'s Source,
    text: String,
    depth: usize,
}

impl Writer<'_> {
    fn nodes(&mut self, nodes: &Nodes) {
        for (at, node) in nodes.nodes.iter().enumerate() {
            self.gaps(&node.before, at == 0);
            self.node(node);
        }
        // Empty lines are between things, not behind the last.
        let last = nodes.end.iter().rposition(|gap| *gap != Gap::Blank).map_or(0, |at| at + 1);
        self.gaps(&nodes.end[..last], nodes.nodes.is_empty());
    }

    fn gaps(&mut self, gaps: &[Gap], is_first: bool) {
        let mut is_first = is_first;
        for gap in gaps {
            match gap {
                Gap::Blank if is_first => {}
                Gap::Blank => self.text.push('\n'),
                Gap::Comment(comment) => {
                    self.indent();
                    self.text += comment;
                    self.text.push('\n');
                }
            }
            is_first = false;
        }
    }

    fn node(&mut self, node: &Node) {
        self.indent();
        self.name(&node.name);
        node.entries.iter().for_each(|entry| self.entry(entry));
        if let Some(block) = &node.block {
            self.block(block);
        }
        if let Some(comment) = &node.after {
            self.text.push(' ');
            self.text += comment;
        }
        self.text.push('\n');
    }

    fn line(&mut self, node: &Node) {
        self.name(&node.name);
        let counts = |entry: &&Entry| matches!(entry, Entry::Argument(_) | Entry::Property(..));
        node.entries.iter().filter(counts).for_each(|entry| self.entry(entry));
    }

    fn plain(&mut self, node: &Node) {
        self.indent();
        self.line(node);
        if node.children().next().is_some() {
            self.text += " {\n";
            self.depth += 1;
            node.children().for_each(|child| self.plain(child));
            self.depth -= 1;
            self.indent();
            self.text.push('}');
        }
        self.text.push('\n');
    }

    fn block(&mut self, block: &Block) {
        self.text += " {";
        if block.inside.nodes.is_empty()
            && block.inside.end.iter().all(|gap| *gap == Gap::Blank)
            && block.opening.is_none()
        {
            self.text.push('}');
            return;
        }
        if let Some(comment) = &block.opening {
            self.text.push(' ');
            self.text += comment;
        }
        self.text.push('\n');
        self.depth += 1;
        self.nodes(&block.inside);
        self.depth -= 1;
        self.indent();
        self.text.push('}');
    }

    fn entry(&mut self, entry: &Entry) {
        if let Entry::Break(comment) = entry {
            self.text += " \\";
            if let Some(comment) = comment {
                self.text.push(' ');
                self.text += comment;
            }
            self.text.push('\n');
            self.indent();
            // The space before what follows makes it four.
            self.text += &INDENT[1..];
            return;
        }
        self.text.push(' ');
        match entry {
            Entry::Argument(value) => self.as_written(value.span),
            Entry::Property(name, value) => {
                self.name(name);
                self.text.push('=');
                self.as_written(value.span);
            }
            Entry::Comment(comment) => self.text += comment,
            Entry::Break(_) => {}
        }
    }

    /// A name without quotes where it needs none.
    fn name(&mut self, name: &Name) {
        match is_identifier(&name.text) {
            true => self.text += &name.text,
            false => self.as_written(name.span),
        }
    }

    fn as_written(&mut self, span: Span) {
        self.text += self.source.slice(span);
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.text += INDENT;
        }
    }
}
