//! `httpwg`, the test suite for RFC 9113 from crates.io, held against an example that reads what it is sent, and
//! against `unary run` in front of it. The suite speaks no TLS.

use std::process::Command;

use unary_e2e::{run, run_config, skip};
use unary_testkit::TempDir;

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
    let name = "http2::conformance::the_public_suite_passes_but_for_what_is_explained";
    check(name, &Example::start("measure").address);
}

#[test]
fn unary_run_passes_as_much() {
    let behind = Example::start("measure");
    let folder = TempDir::new();
    let [state, admin] = ["state", "admin.sock"].map(|name| folder.join(name).display().to_string());
    let server = format!("server {{ listen \"127.0.0.1:0\"; threads 1; state \"{state}\"; admin \"unix:{admin}\"; }}");
    let route = format!("proxy \"http://{}\"", behind.address);
    folder.write("unary.kdl", format!("{server}\nsite \"*\" {{ route {{ {route}; }}; }}\n"));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    check("http2::conformance::unary_run_passes_as_much", &server.address().to_string());
}

#[track_caller]
fn check(test: &str, address: &str) {
    let suite = folder().join("../tools/bin/httpwg");
    if !suite.is_file() {
        skip(test, "httpwg is not installed");
        return;
    }
    let mut command = Command::new(suite);
    // One case at a time, and a second for what should come: the machine may be busy.
    command.env("SEQUENTIAL", "1").args(["--frame-timeout", "1000", "--connect-timeout", "5000", "--address", address]);
    let said = run(&mut command).stderr;
    if said.contains("uring.rs") && !said.contains("Test passed: ") {
        skip(test, "io_uring, which the suite needs, is not allowed here");
        return;
    }
    let passed = said.lines().filter(|line| line.contains("Test passed: ")).count();
    let failed = said.lines().filter_map(|line| line.split_once("Test failed: "));
    let unexplained =
        failed.filter(|(_, case)| !MISSES.iter().any(|(miss, _)| case.ends_with(miss))).collect::<Vec<_>>();
    assert!(unexplained.is_empty() && passed >= CASES - MISSES.len(), "{passed} of {CASES}, {unexplained:?}:\n{said}");
}
