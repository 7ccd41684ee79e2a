//! The command line is a contract: what is refused, and with which exit code.

use std::net::TcpListener;

use crate::program::{Program, command};

#[track_caller]
fn check(arguments: &[&str], code: i32, says: &str) {
    let output = command("hello", arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.starts_with("error: ") && said.contains(says), "{arguments:?}: {said}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    check(&["--lisen", ":80"], 2, "`--lisen` means nothing here");
    check(&["--listen"], 2, "--listen needs a value");
    check(&["--listen", "localhost"], 2, "Write host:port, :port or unix:/path");
    check(&["--threads", "none"], 2, "`none` is no number from 1 to 1024");
}

#[test]
fn an_address_in_use_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    check(&["--listen", &taken.local_addr().unwrap().to_string()], 1, "another program listens there");
}

#[test]
fn both_signals_stop_it() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut program = Program::start("hello", ["--listen", "127.0.0.1:0"]);
        program.hear_address();
        rustix::process::kill_process(program.id(), signal).unwrap();
        program.end_well();
    }
}
