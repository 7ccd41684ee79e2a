//! Where `unsafe` may stand, and that each use says why it is sound.

use std::path::Path;

use cargo_metadata::{Metadata, TargetKind};

use super::Finding;
use super::source::{Source, words};

/// The crates that talk to the kernel in ways the standard library does not.
const MAY_BE_UNSAFE: [&str; 2] = ["crates/net/", "crates/workers/"];

const FORBID: &str = "#![forbid(unsafe_code)]";
const NOTE: &str = "SAFETY:";

pub(super) fn findings(metadata: &Metadata, root: &Path, sources: &[Source]) -> Vec<Finding> {
    let crate_roots = crate_roots(metadata, root);
    sources.iter().flat_map(|source| findings_of(source, crate_roots.contains(&source.path))).collect()
}

/// The first file of every library and program, from the workspace's root.
fn crate_roots(metadata: &Metadata, root: &Path) -> Vec<String> {
    let shipped = |kind: &TargetKind| matches!(kind, TargetKind::Lib | TargetKind::Bin | TargetKind::ProcMacro);
    let packages = metadata.workspace_packages();
    let targets = packages.iter().flat_map(|package| &package.targets);
    let roots = targets.filter(|target| target.kind.iter().any(shipped)).map(|target| &target.src_path);
    roots.filter_map(|path| path.strip_prefix(root).ok()).map(ToString::to_string).collect()
}

fn findings_of(source: &Source, is_crate_root: bool) -> Vec<Finding> {
    let path = &source.path;
    let code = source.code();
    let uses = words(&code, "unsafe");
    if MAY_BE_UNSAFE.iter().any(|folder| path.starts_with(folder)) {
        let comments = source.comments();
        let (comments, lines): (Vec<&str>, Vec<&str>) = (comments.lines().collect(), code.lines().collect());
        // `unsafe fn` and `unsafe trait` ask for care, a block or an impl promises it: the promise is what is explained.
        return uses
            .filter(|(at, _)| promises(&code[at + "unsafe".len()..]))
            .filter(|(_, line)| !is_explained(&comments, &lines, line - 1))
            .map(|(_, line)| format!("{path}:{line}: unsafe without a note. Say why it is sound: // {NOTE} …"))
            .collect();
    }
    let mut findings: Vec<Finding> =
        uses.map(|(_, line)| format!("{path}:{line}: unsafe is for crates/net and crates/workers alone")).collect();
    if is_crate_root && !code.contains(FORBID) {
        findings.push(format!("{path}: begin the crate with {FORBID}"));
    }
    findings
}

fn promises(after: &str) -> bool {
    let after = after.trim_start();
    after.starts_with('{') || after.starts_with("impl")
}

/// Whether a note stands on line `at`, or in the comment directly above the statement that line `at` is part of.
fn is_explained(comments: &[&str], lines: &[&str], at: usize) -> bool {
    let ends_a_statement = |line: &&str| line.trim_end().ends_with([';', '{', '}', ',']);
    for above in (0..=at).rev() {
        if comments[above].contains(NOTE) {
            return true;
        }
        let is_blank = comments[above].trim().is_empty() && lines[above].trim().is_empty();
        if above < at && (is_blank || ends_a_statement(&lines[above])) {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, findings: &[&str]) {
        let source = Source::new(path.to_owned(), text.to_owned());
        assert_eq!(findings_of(&source, path.ends_with("/lib.rs")), findings);
    }

    #[test]
    fn keeps_unsafe_to_two_crates() {
        let refusal = "crates/http/src/body.rs:2: unsafe is for crates/net and crates/workers alone";
        check("crates/http/src/body.rs", "fn f() {\n    unsafe { g() }\n}", &[refusal]);
        check("crates/http/src/body.rs", "// unsafe is not used\nlet s = \"unsafe\";", &[]);
    }

    #[test]
    fn other_crates_forbid_it_at_their_root() {
        let refusal = "crates/http/src/lib.rs: begin the crate with #![forbid(unsafe_code)]";
        check("crates/http/src/lib.rs", "//! Heads.\nmod body;", &[refusal]);
        check("crates/http/src/lib.rs", "//! #![forbid(unsafe_code)]", &[refusal]);
        check("crates/http/src/lib.rs", "//! Heads.\n#![forbid(unsafe_code)]", &[]);
        check("crates/net/src/lib.rs", "//! The machine.", &[]);
    }

    #[test]
    fn asks_each_block_for_its_note() {
        let refusal = "crates/net/src/peer.rs:1: unsafe without a note. Say why it is sound: // SAFETY: …";
        check("crates/net/src/peer.rs", "let a = unsafe { f() };", &[refusal]);
        check("crates/net/src/peer.rs", "unsafe impl Send for Peer {}", &[refusal]);
        check("crates/net/src/peer.rs", "unsafe fn f() {}", &[]);
    }

    #[test]
    fn finds_the_note_above_the_statement() {
        check("crates/net/src/a.rs", "// SAFETY: fd is open.\nlet a = unsafe { f() };", &[]);
        check("crates/net/src/a.rs", "// SAFETY: fd is open\n// and ours.\nlet a =\n    unsafe { f() };", &[]);
        check(
            "crates/net/src/a.rs",
            "let a = unsafe {\n    // SAFETY: too late.\n    f() };",
            &["crates/net/src/a.rs:1: unsafe without a note. Say why it is sound: // SAFETY: …"],
        );
    }

    #[test]
    fn a_note_covers_one_statement() {
        check(
            "crates/net/src/a.rs",
            "// SAFETY: fd is open.\nlet a = unsafe { f() };\nlet b = unsafe { f() };",
            &["crates/net/src/a.rs:3: unsafe without a note. Say why it is sound: // SAFETY: …"],
        );
    }
}
