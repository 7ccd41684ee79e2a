//! How large the idea is: the lines of service core, flow and pipeline together, tests aside.
//!
//! A web server as one line of stages was once shown in under 1,400 lines; so is this one held to them. What counts is
//! code: were comments counted, the way to meet the figure would be to explain less. All lines are shown beside it.

use std::fmt;

use super::Finding;
use super::source::{Source, line_of};

const CODE_LINES_MAX: usize = 1_400;

const CORE: &str = "crates/service/src/";
const PIPELINE: [&str; 2] = ["crates/net/src/pipeline.rs", "crates/net/src/pipeline/"];

/// Parts of `service` built on the core rather than being it: filters, clients, actors, offloading and its pool, bridges
/// to tower.
const BESIDE_THE_CORE: [&str; 6] = ["filter/", "client", "actor", "offload", "pool", "tower"];

pub(super) struct CoreSize {
    /// Path, all lines, code lines; the largest first.
    files: Vec<(String, usize, usize)>,
}

impl CoreSize {
    pub(super) fn measure(sources: &[Source]) -> CoreSize {
        let mut files: Vec<_> = sources
            .iter()
            .filter(|source| is_core(&source.path))
            .map(|source| {
                let (all, code) = lines_outside_tests(source);
                (source.path.clone(), all, code)
            })
            .collect();
        files.sort_by_key(|&(_, _, code)| std::cmp::Reverse(code));
        CoreSize { files }
    }

    pub(super) fn finding(&self) -> Option<Finding> {
        let code = self.code_lines();
        let largest = || self.files.iter().map(|(path, _, code)| format!("\n  {code:>5} {path}")).collect::<String>();
        (code > CODE_LINES_MAX).then(|| format!("the core has grown to {code} lines of code:{}", largest()))
    }

    fn code_lines(&self) -> usize {
        self.files.iter().map(|(_, _, code)| code).sum()
    }
}

impl fmt::Display for CoreSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (code, all) = (self.code_lines(), self.files.iter().map(|(_, all, _)| all).sum::<usize>());
        write!(f, "service core + flow + pipeline: {code} lines of {CODE_LINES_MAX} ({all} with comments and blanks)")
    }
}

fn is_core(path: &str) -> bool {
    let tests = path.ends_with("/tests.rs") || path.contains("/tests/");
    let pipeline = path == PIPELINE[0] || path.starts_with(PIPELINE[1]);
    let core = path.strip_prefix(CORE).is_some_and(|rest| !BESIDE_THE_CORE.iter().any(|part| rest.starts_with(part)));
    !tests && (pipeline || core)
}

/// All lines, and lines with code on them, that are not inside an item marked `#[cfg(test)]`.
fn lines_outside_tests(source: &Source) -> (usize, usize) {
    let tests = test_items(&source.code());
    let is_outside = |line: usize| !tests.iter().any(|&(first, last)| (first..=last).contains(&line));
    let all = source.lines().enumerate().filter(|(index, _)| is_outside(index + 1)).count();
    let text = source.without_comments();
    let code = text.lines().enumerate().filter(|(index, text)| is_outside(index + 1) && !text.trim().is_empty());
    (all, code.count())
}

/// First and last line of each item marked `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let marks = code.match_indices("#[cfg(test)]");
    marks.map(|(at, mark)| (line_of(code, at), line_of(code, item_end(code, at + mark.len())))).collect()
}

/// The last byte of the item that starts after `from`: its `;`, or the brace that closes its body.
fn item_end(code: &str, from: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, all: usize, code: usize) {
        assert_eq!(lines_outside_tests(&Source::new("a.rs".to_owned(), text.to_owned())), (all, code));
    }

    #[test]
    fn counts_code_apart_from_comments_and_blanks() {
        check("//! Top.\n\nfn f() {\n    /* in */ g() // out\n}\n", 5, 3);
        check("let s = \"\n// text\n\";", 3, 3);
    }

    #[test]
    fn leaves_tests_out() {
        check("fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() { \"}\"; }\n}\n", 2, 1);
        check("fn f() {}\n#[cfg(test)]\nmod tests;\nfn g() {}\n", 2, 2);
    }

    #[test]
    fn knows_what_belongs_to_the_core() {
        for path in ["crates/service/src/service.rs", "crates/service/src/flow/line.rs"] {
            assert!(is_core(path), "{path}");
        }
        for path in ["crates/service/src/filter.rs", "crates/net/src/pipeline.rs", "crates/net/src/pipeline/reply.rs"] {
            assert!(is_core(path), "{path}");
        }
        for path in ["crates/service/src/filter/timeout.rs", "crates/service/src/actor.rs"] {
            assert!(!is_core(path), "{path}");
        }
        for path in ["crates/service/src/flow/tests.rs", "crates/net/src/peer.rs"] {
            assert!(!is_core(path), "{path}");
        }
    }

    #[test]
    fn says_the_figure_and_refuses_past_it() {
        let of = |lines: usize| {
            let path = "crates/service/src/service.rs".to_owned();
            CoreSize::measure(&[Source::new(path, "let a;\n".repeat(lines))])
        };
        let says = "service core + flow + pipeline: 1400 lines of 1400 (1400 with comments and blanks)";
        assert_eq!(of(1_400).to_string(), says);
        assert_eq!(of(1_400).finding(), None);
        assert!(of(1_401).finding().is_some());
    }
}
