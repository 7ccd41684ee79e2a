//! What is fuzzed: each target checks its laws on any bytes.

pub mod cgi_reply;
pub mod chunked;
pub mod client_connection;
pub mod connection;
pub mod fastcgi;
pub mod guest;
pub mod h2_connection;
pub mod head;
mod model;
pub mod proxy_protocol;
pub mod response_head;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// A target, and what its inputs are made of.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What it is called on the command line, and its folder under `fuzz/corpus`.
    pub name: &'static str,
    /// Checks the laws on one input; panics if one does not hold.
    pub run: fn(&[u8]) -> Shape,
    /// Where inputs come from besides its corpus: folders from the root of the repository.
    fixtures: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "head", run: head::head, fixtures: &["crates/http/tests/h1/request"] },
    Target { name: "response_head", run: response_head::response_head, fixtures: &["crates/http/tests/h1/response"] },
    Target { name: "chunked", run: chunked::chunked, fixtures: &["fuzz/corpus/connection"] },
    Target { name: "connection", run: connection::connection, fixtures: &["crates/http/tests/h1/request"] },
    Target {
        name: "client_connection",
        run: client_connection::client_connection,
        fixtures: &["crates/http/tests/h1/response"],
    },
    Target { name: "h2_connection", run: h2_connection::h2_connection, fixtures: &[] },
    Target {
        name: "proxy_protocol",
        run: proxy_protocol::proxy_protocol,
        fixtures: &["crates/net/tests/proxy_protocol"],
    },
    Target { name: "fastcgi", run: fastcgi::fastcgi, fixtures: &["crates/gateway/tests/fastcgi"] },
    Target { name: "guest", run: guest::guest, fixtures: &["crates/gateway/tests/fastcgi"] },
    Target { name: "cgi_reply", run: cgi_reply::cgi_reply, fixtures: &[] },
];

/// Inputs are no longer than this: all limits but that on discarded bodies lie below.
pub const INPUT_BYTES_MAX: usize = 32 * 1024;

impl Target {
    /// The inputs to begin with, from its corpus and from other tests' fixtures, in a fixed order.
    pub fn seeds(&self) -> Vec<Vec<u8>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let corpus = format!("fuzz/corpus/{}", self.name);
        let folders = [corpus.as_str()].into_iter().chain(self.fixtures.iter().copied());
        let mut files: Vec<_> = folders
            .filter_map(|folder| fs::read_dir(root.join(folder)).ok())
            .flatten()
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "http" || extension == "bin"))
            .collect();
        files.sort();
        let inputs = files.iter().filter_map(|path| fs::read(path).ok());
        inputs
            .map(|mut input| {
                input.truncate(INPUT_BYTES_MAX);
                input
            })
            .collect()
    }
}

/// What an input led to, roughly: one that leads to something new is worth changing further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape(u64);

impl Shape {
    fn of(parts: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        parts.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Ways for the network to cut `data`: into single bytes, into pieces of a few, and two or three
/// pieces at places that depend on the data.
fn ways_to_cut(data: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let Shape(mut places) = Shape::of(data);
    let sizes = [1, 3, 50].map(|size| data.chunks(size).collect());
    let places = std::iter::repeat_with(move || {
        let mut place = || {
            places = places.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (places % (data.len() as u64 + 1)) as usize
        };
        let (one, other) = (place(), place());
        let (front, back) = data.split_at(one.max(other));
        let (first, second) = front.split_at(one.min(other));
        vec![first, second, back]
    });
    sizes.into_iter().chain(places.take(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_has_seeds_and_takes_them() {
        for target in TARGETS {
            let seeds = target.seeds();
            assert!(seeds.len() > 10, "{}: {}", target.name, seeds.len());
            for seed in &seeds {
                (target.run)(seed);
            }
            (target.run)(b"");
        }
    }

    #[test]
    fn cutting_loses_nothing() {
        for data in [&b""[..], b"a", b"abcdef"] {
            assert_eq!(ways_to_cut(data).count(), 5);
            ways_to_cut(data).for_each(|pieces| assert_eq!(pieces.concat(), data));
        }
    }
}
