//! The places of a file that cannot be read.

use std::collections::BTreeMap;
use std::ops::Range;

/// Places, by where they begin.
#[derive(Debug, Default)]
pub(super) struct Bad(BTreeMap<usize, usize>);

impl Bad {
    pub(super) fn add(&mut self, place: Range<usize>) {
        let end = self.0.entry(place.start).or_default();
        *end = place.end.max(*end);
    }

    /// Whether one of them is in this place, or around it.
    pub(super) fn touches(&self, place: &Range<usize>) -> bool {
        self.0.range(..place.end).next_back().is_some_and(|(_, end)| *end > place.start)
    }
}
