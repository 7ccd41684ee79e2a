//! From the text of a file to its tree: outlined, read or parsed a top-level node at a time, and what cannot be read
//! taken out.

use std::ops::Range;

use kdl::{KdlDiagnostic, KdlNode};

use super::outline::{Outline, outline};
use super::parsed::Parsed;
use super::plain;
use super::refusal::{Refusal, refuse};
use super::tree::Tree;
use super::{Nodes, Span};
use crate::config::mistake::{Mistake, Mistakes};
use crate::config::source::offset;

/// Braces within braces. The config has four; more is a mistake, and would take stack.
pub(crate) const DEPTH_MAX: usize = 32;

/// How often a top-level node is parsed until nothing in it is wrong: each time the mistakes found so far are out.
const ROUNDS_MAX: usize = 16;

/// Which of the nodes outside of all blocks are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those with these names. The others are passed over; what is wrong within them is not seen.
    Named(&'static [&'static str]),
}

/// Reads a file. What could not be read is in `mistakes`, and left out.
pub(crate) fn parse(file: u32, text: &str, which: Which, mistakes: &mut Mistakes) -> Nodes {
    let mut reading = Reading { file, text, outline: outline(file, text, mistakes), mistakes };
    let chunks = std::mem::take(&mut reading.outline.chunks);
    let (mut nodes, mut noted) = (Vec::with_capacity(chunks.len()), 0);
    for chunk in chunks.into_iter().filter(|chunk| which.has(&text[chunk.start..])) {
        let Some(parsed) = reading.chunk(chunk) else { continue };
        let mut tree = reading.tree(noted);
        nodes.extend(tree.node(parsed));
        noted = tree.noted();
    }
    let end = reading.tree(noted).gaps(text.len());
    Nodes { nodes, end }
}

impl Which {
    /// Whether the node that begins this text may be one of them. A name in quotes may be any.
    fn has(self, text: &str) -> bool {
        let Self::Named(names) = self else { return true };
        !text.starts_with(|first: char| first.is_ascii_alphabetic()) || names.iter().any(|name| text.starts_with(name))
    }
}

struct Reading<'t, 'm> {
    file: u32,
    text: &'t str,
    outline: Outline,
    mistakes: &'m mut Mistakes,
}

impl Reading<'_, '_> {
    /// Reads a top-level node; `None` if even what is good in it cannot be made out.
    fn chunk(&mut self, chunk: Range<usize>) -> Option<Parsed> {
        let is_good = !self.outline.bad.touches(&chunk);
        let plain = is_good.then(|| plain::read(&self.outline.plain, &chunk)).flatten();
        plain.or_else(|| self.parsed(chunk))
    }

    /// Has the crate parse it.
    fn parsed(&mut self, chunk: Range<usize>) -> Option<Parsed> {
        let before = self.mistakes.count();
        for _ in 0..ROUNDS_MAX {
            let plain = String::from_utf8_lossy(&self.outline.plain[chunk.clone()]);
            match KdlNode::parse(&plain) {
                Ok(node) => return Some(Parsed::of_crate(chunk.start, &node)),
                Err(error) if self.take_out(&chunk, &error.diagnostics) => {}
                Err(_) => break,
            }
        }
        if self.mistakes.count() == before {
            let line = self.text[chunk.start..].lines().next().unwrap_or_default().len();
            let mistake = Mistake::new(self.span(&chunk), "this is no KDL");
            let help = "a node is a name, its values and a block: `listen \":80\"`, `site \"a.test\" { … }`";
            self.refuse(chunk.start..chunk.start + line, mistake.help(help));
        }
        None
    }

    /// Takes out what the parser stumbled over; false if there is nothing left to take out.
    fn take_out(&mut self, chunk: &Range<usize>, diagnostics: &[KdlDiagnostic]) -> bool {
        let mut refusals: Vec<_> =
            diagnostics.iter().filter_map(|diagnostic| refuse(self.text, &self.outline, chunk, diagnostic)).collect();
        refusals.sort_by_key(|refusal| refusal.place.start);
        let (mut is_out, mut behind) = (false, 0);
        for Refusal { place, message, help } in refusals {
            // What follows on a line may be wrong only because of what is before it.
            if place.start < behind {
                continue;
            }
            let line = self.text[place.end..].find('\n').map_or(self.text.len(), |length| place.end + length);
            behind = line;
            if self.outline.bad.touches(&place) {
                // Not even a word may stand there.
                let plain = &mut self.outline.plain[place];
                is_out |= plain.iter().any(|byte| *byte != b' ');
                plain.fill(b' ');
                continue;
            }
            self.outline.plain[place.clone()].fill(b'_');
            is_out = true;
            let mistake = Mistake::new(self.span(&place), message).help(help);
            self.refuse(place, mistake);
        }
        is_out
    }

    /// What makes ours of the nodes from here on, of which so many notes are no part.
    fn tree(&mut self, noted: usize) -> Tree<'_, '_> {
        Tree::new(self.file, self.text, &self.outline, noted, self.mistakes)
    }

    fn refuse(&mut self, place: Range<usize>, mistake: Mistake) {
        self.outline.bad.add(place);
        self.mistakes.add(mistake);
    }

    fn span(&self, place: &Range<usize>) -> Span {
        Span { file: self.file, start: offset(place.start), end: offset(place.end.min(self.text.len())) }
    }
}
