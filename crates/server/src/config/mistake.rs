//! Mistakes in a config: collected, so that all are said at once, each with its place and what to do.

mod nearest;
mod render;

use super::source::Span;

pub(crate) use nearest::nearest;
pub(crate) use render::{Colour, render};

/// Mistakes that are shown; the rest is counted. More than these nobody reads at once.
pub(crate) const SHOWN_MAX: usize = 30;

/// Mistakes that are kept, so that a file full of them costs no memory.
const KEPT_MAX: usize = 1_000;

/// Something in a config that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) span: Span,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) help: Option<String>,
    /// Another place that has to do with it, and how.
    pub(crate) other: Option<(Span, &'static str)>,
}

impl Mistake {
    pub(crate) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None, other: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(crate) fn with(self, span: Span, how: &'static str) -> Self {
        Self { other: Some((span, how)), ..self }
    }
}

/// All mistakes of a config.
#[derive(Debug, Default)]
pub(crate) struct Mistakes {
    kept: Vec<Mistake>,
    count: usize,
}

impl Mistakes {
    pub(crate) fn add(&mut self, mistake: Mistake) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(mistake);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many there are, those included that are not kept.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Those that are kept, by their places.
    pub(crate) fn sorted(&self) -> Vec<&Mistake> {
        let mut sorted: Vec<_> = self.kept.iter().collect();
        sorted.sort_by_key(|mistake| (mistake.span.file, mistake.span.start));
        sorted
    }
}
