//! `httpwg`, the test suite for RFC 9113 from crates.io, held against an example that reads what it is
//! sent.

use std::process::Command;

use unary_e2e::{run, skip};

use super::{Example, folder};

/// How many cases there are, so that none goes missing.
const CASES: usize = 107;

/// Cases that fail, and why.
const MISSES: [(&str, &str); 2] = [
    ("sends invalid connection preface", "the port speaks HTTP/1.1 too, which answers 400 to what is neither"),
    ("invalid header block fragment", "the h2 crate says PROTOCOL_ERROR where COMPRESSION_ERROR is meant"),
];

#[test]
fn the_public_suite_passes_but_for_what_is_explained() {
    const NAME: &str = "http2::conformance::the_public_suite_passes_but_for_what_is_explained";
    let suite = folder().join("../tools/bin/httpwg");
    if !suite.is_file() {
        skip(NAME, "httpwg is not installed");
        return;
    }
    let example = Example::start("measure");
    let mut command = Command::new(suite);
    // One case at a time, and a second for what should come: the machine may be busy.
    command.env("SEQUENTIAL", "1").args([
        "--frame-timeout",
        "1000",
        "--connect-timeout",
        "5000",
        "--address",
        &example.address,
    ]);
    let said = run(&mut command).stderr;
    if said.contains("uring.rs") && !said.contains("Test passed: ") {
        skip(NAME, "io_uring, which the suite needs, is not allowed here");
        return;
    }
    let passed = said.lines().filter(|line| line.contains("Test passed: ")).count();
    let failed = said.lines().filter_map(|line| line.split_once("Test failed: "));
    let unexplained =
        failed.filter(|(_, case)| !MISSES.iter().any(|(miss, _)| case.ends_with(miss))).collect::<Vec<_>>();
    assert!(unexplained.is_empty() && passed >= CASES - MISSES.len(), "{passed} of {CASES}, {unexplained:?}:\n{said}");
}
