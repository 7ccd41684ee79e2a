//! The index: paths to values, one node per segment. Looking a path up costs the same with ten
//! routes and with a thousand, allocates nothing, and goes no deeper than the deepest route.

use std::collections::HashMap;

use super::pattern::{PARAMS_MAX, Pattern, Segment, Tail};
use super::segment::{self, BuildShort};

/// Values by path. At each segment a literal wins over a parameter and a parameter over a
/// wildcard; where that leads nowhere, the next is tried.
///
/// In the worst case, a literal and a parameter beside each other on every level, a look-up visits
/// every node once; in a trie of ordinary routes, about one node a segment.
#[derive(Clone, Debug)]
pub(super) struct Trie<T> {
    children: HashMap<Box<[u8]>, Trie<T>, BuildShort>,
    parameter: Option<Box<Trie<T>>>,
    here: Option<T>,
    below: Option<Below<T>>,
}

#[derive(Clone, Debug)]
struct Below<T> {
    value: T,
    /// Whether the path that ends here is meant too.
    under: bool,
}

/// Where the parameters of a match stand in the path, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Captures {
    count: usize,
    /// Offsets fit 16 bits: `http::Uri` holds no more, and [`Trie::find`] sees to it.
    values: [(u16, u16); PARAMS_MAX],
    rest: Option<u16>,
}

impl<T> Trie<T> {
    /// The value for this path, which begins with a slash. What its parameters took goes into
    /// `captures`, which is empty before, and not returned: copying it costs more than a look-up.
    pub(super) fn find(&self, path: &str, captures: &mut Captures) -> Option<&T> {
        if path.len() > usize::from(u16::MAX) {
            return None;
        }
        self.walk(path.as_bytes(), 0, captures)
    }

    /// `at` is where the next segment's slash stands, or where the path ends.
    fn walk(&self, path: &[u8], at: usize, captures: &mut Captures) -> Option<&T> {
        if at == path.len() {
            return self.here.as_ref().or_else(|| self.wildcard(true, at, captures));
        }
        let start = at + 1;
        let end = path[start..].iter().position(|&byte| byte == b'/').map_or(path.len(), |length| start + length);
        let child = self.child(&path[at..end]);
        if let Some(found) = child.and_then(|child| child.walk(path, end, captures)) {
            return Some(found);
        }
        if let Some(child) = self.parameter.as_ref().filter(|_| start < end) {
            captures.push(start, end);
            if let Some(found) = child.walk(path, end, captures) {
                return Some(found);
            }
            captures.count -= 1;
        }
        self.wildcard(false, at, captures)
    }

    fn child(&self, segment: &[u8]) -> Option<&Self> {
        if self.children.is_empty() {
            return None;
        }
        self.children.get(&*segment::decode(segment)?)
    }

    fn wildcard(&self, at_end: bool, at: usize, captures: &mut Captures) -> Option<&T> {
        let below = self.below.as_ref().filter(|below| below.under || !at_end)?;
        captures.rest = Some(offset(at));
        Some(&below.value)
    }

    /// The value for exactly this pattern, names of parameters aside.
    pub(super) fn get_mut(&mut self, pattern: &Pattern) -> Option<&mut T> {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(literal) => node.children.get_mut(literal)?,
                Segment::Parameter(_) => node.parameter.as_mut()?,
            };
        }
        node.slot(&pattern.tail)
    }

    fn slot(&mut self, tail: &Tail) -> Option<&mut T> {
        match tail {
            Tail::End => self.here.as_mut(),
            Tail::Below(_) => self.below.as_mut().filter(|below| !below.under).map(|below| &mut below.value),
            Tail::Under => self.below.as_mut().filter(|below| below.under).map(|below| &mut below.value),
        }
    }

    /// The same, made where there is none. Fails with the value of the other kind of wildcard if
    /// there is one, `{*}` and `*` being at odds about the path that ends before them.
    pub(super) fn entry(&mut self, pattern: &Pattern) -> Result<&mut T, &T>
    where
        T: Default,
    {
        let mut node = self;
        for segment in &pattern.segments {
            node = match segment {
                Segment::Literal(literal) => node.children.entry(literal.clone()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
            };
        }
        let under = match pattern.tail {
            Tail::End => return Ok(node.here.get_or_insert_default()),
            Tail::Below(_) => false,
            Tail::Under => true,
        };
        let below = node.below.get_or_insert_with(|| Below { value: T::default(), under });
        if below.under == under { Ok(&mut below.value) } else { Err(&below.value) }
    }

    /// Takes the value for exactly this pattern out, and every node that led to it only.
    pub(super) fn remove(&mut self, pattern: &Pattern) -> Option<T> {
        self.prune(&pattern.segments, &pattern.tail)
    }

    fn prune(&mut self, segments: &[Segment], tail: &Tail) -> Option<T> {
        let Some((first, others)) = segments.split_first() else {
            self.slot(tail)?;
            return if *tail == Tail::End { self.here.take() } else { self.below.take().map(|below| below.value) };
        };
        match first {
            Segment::Literal(literal) => {
                let child = self.children.get_mut(literal)?;
                let removed = child.prune(others, tail);
                if child.is_empty() {
                    self.children.remove(literal);
                }
                removed
            }
            Segment::Parameter(_) => {
                let child = self.parameter.as_mut()?;
                let removed = child.prune(others, tail);
                if child.is_empty() {
                    self.parameter = None;
                }
                removed
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here.is_none() && self.below.is_none() && self.parameter.is_none() && self.children.is_empty()
    }

    /// Shows every value.
    pub(super) fn each<'a>(&'a self, see: &mut impl FnMut(&'a T)) {
        self.here.iter().chain(self.below.as_ref().map(|below| &below.value)).for_each(&mut *see);
        self.children.values().chain(self.parameter.as_deref()).for_each(|child| child.each(see));
    }

    /// Shows every value, to change.
    pub(super) fn each_mut(&mut self, change: &mut impl FnMut(&mut T)) {
        self.here.iter_mut().chain(self.below.as_mut().map(|below| &mut below.value)).for_each(&mut *change);
        self.children.values_mut().chain(self.parameter.as_deref_mut()).for_each(|child| child.each_mut(change));
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { children: HashMap::default(), parameter: None, here: None, below: None }
    }
}

impl Captures {
    fn push(&mut self, start: usize, end: usize) {
        // A pattern has no more than PARAMS_MAX parameters, so neither does a way down the trie.
        self.values[self.count] = (offset(start), offset(end));
        self.count += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.rest.is_none()
    }

    /// What the parameters took, in order.
    pub(super) fn values<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let taken = |(start, end): (u16, u16)| path.get(start.into()..end.into()).unwrap_or_default();
        self.values.into_iter().take(self.count).map(taken)
    }

    /// What the wildcard took, from its slash on.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.rest.and_then(|at| path.get(usize::from(at)..))
    }

    /// The same captures of a path of which the first `skipped` bytes had been left out.
    pub(super) fn shifted(mut self, skipped: usize) -> Self {
        let shift = |at: u16| offset(usize::from(at) + skipped);
        self.values = self.values.map(|(start, end)| (shift(start), shift(end)));
        self.rest = self.rest.map(shift);
        self
    }
}

fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}
