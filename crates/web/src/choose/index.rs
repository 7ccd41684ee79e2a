//! The index of routes by their patterns: few places to look, however many routes there are.

use std::collections::HashMap;

use super::path::Path;
use super::pattern::{Pattern, Tail};
use crate::router::segment::BuildShort;

/// The numbers of routes, each list in ascending order.
///
/// Every pattern stands in one place, and whatever path it takes leads there.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// Those that are one path, by it.
    exact: Places,
    /// Those that begin with literal segments, by these.
    under: Places,
    /// Segments of the longest key of `under`: no path is cut further down.
    depth_max: usize,
    /// Those that begin with anything and end in an extension, by it: `.php`.
    extension: Places,
    /// Those that begin with anything and end in a whole last segment, by it.
    name: Places,
    /// All others.
    anywhere: Vec<u32>,
}

type Places = HashMap<Box<[u8]>, Vec<u32>, BuildShort>;

impl Index {
    /// Adds a route with these patterns. Its number is higher than all before it.
    pub(super) fn add(&mut self, number: u32, paths: &[Pattern]) {
        if paths.is_empty() {
            self.anywhere.push(number);
        }
        for pattern in paths {
            let list = self.place(pattern);
            if list.last() != Some(&number) {
                list.push(number);
            }
        }
    }

    /// The lists that routes stand in which may take this path. There are no more than the path
    /// has segments, as far as patterns have them, and four.
    pub(super) fn lists<'a>(&'a self, path: &'a Path<'_>) -> impl Iterator<Item = &'a [u32]> {
        let path = path.bytes();
        let get = |places: &'a Places, key: &[u8]| if places.is_empty() { None } else { places.get(key) };
        let name = &path[path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1)..];
        let extension = name.iter().rposition(|&byte| byte == b'.').map(|at| &name[at..]);
        let ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        // A path that ends in a slash has been cut there already.
        let ends = ends.chain((!path.ends_with(b"/")).then_some(path.len())).take(self.depth_max);
        let single =
            [get(&self.exact, path), get(&self.name, name), extension.and_then(|key| get(&self.extension, key))];
        let above = ends.filter_map(move |end| get(&self.under, &path[..end]));
        single.into_iter().flatten().chain(above).chain([&self.anywhere]).map(Vec::as_slice)
    }

    fn place(&mut self, pattern: &Pattern) -> &mut Vec<u32> {
        let prefix = pattern.literal_prefix();
        let is_literal = pattern.parameters().next().is_none();
        match &pattern.tail {
            Tail::End | Tail::Slash if is_literal => self.exact.entry(pattern.example().into()).or_default(),
            _ if !prefix.is_empty() => {
                let depth = prefix.iter().filter(|&&byte| byte == b'/').count();
                self.depth_max = self.depth_max.max(depth);
                self.under.entry(prefix.into()).or_default()
            }
            Tail::Anywhere(ending) | Tail::Beneath(ending) => {
                let slash = ending.iter().rposition(|&byte| byte == b'/');
                let name = &ending[slash.map_or(0, |at| at + 1)..];
                match (name.iter().rposition(|&byte| byte == b'.'), slash) {
                    (Some(dot), _) => self.extension.entry(name[dot..].into()).or_default(),
                    (None, Some(_)) => self.name.entry(name.into()).or_default(),
                    (None, None) => &mut self.anywhere,
                }
            }
            Tail::End | Tail::Slash | Tail::Under => &mut self.anywhere,
        }
    }
}
