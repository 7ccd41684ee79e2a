//! The command line is a contract: what is refused, and with which exit code.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use unary_testkit::TempDir;

use crate::program::{Program, STUCK, command};

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
fn a_host_nobody_knows_makes_no_sense() {
    // A name with an empty part is no host's, so nobody is asked.
    check(&["--listen", "no..host:0"], 2, "no address is known of a host `no..host`");
}

/// Starts it where nobody reads what it says.
fn unheard(listen: &str) -> Child {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    command("hello", ["--listen", listen]).stderr(writer).spawn().unwrap()
}

#[test]
fn what_nobody_hears_changes_no_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    for (listen, code) in [("nonsense".to_owned(), 2), (taken.local_addr().unwrap().to_string(), 1)] {
        assert_eq!(unheard(&listen).wait().unwrap().code(), Some(code), "{listen}");
    }
}

#[test]
fn what_nobody_hears_stops_no_server() {
    let folder = TempDir::new();
    let path = folder.join("server.sock");
    let mut program = unheard(&format!("unix:{}", path.display()));
    let began = Instant::now();
    while UnixStream::connect(&path).is_err() {
        assert_eq!(program.try_wait().unwrap(), None, "it ended");
        assert!(began.elapsed() < STUCK, "it does not listen");
        thread::yield_now();
    }
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn an_address_in_use_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    check(&["--listen", &taken.local_addr().unwrap().to_string()], 1, "another program listens there");
}

#[test]
fn both_signals_stop_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Program::start("hello", ["--listen", "127.0.0.1:0"]);
        program.hear_address();
        kill_process(program.id(), signal).unwrap();
        program.end_well();
    }
}
