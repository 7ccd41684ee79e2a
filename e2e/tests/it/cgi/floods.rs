//! Programs that write without end, or break off, and uploads that do: what there is of it is bounded, what comes of it
//! is said, and nothing stays behind.

use std::fs;
use std::process::Command;

use unary_e2e::{Client, Server, eventually, run};
use unary_testkit::TempDir;

use super::faults::{lives, status};
use super::{BOTH, curl, program, site};

/// More than a server may hold of anything a program writes, besides what it holds anyway.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

/// A site of this program, and what its server held before anything was asked.
fn stage(folder: &TempDir, text: &str) -> (Server, u64) {
    program(folder, "floods", text);
    let server = site(folder, "route \"/*\" {\n cgi floods stop-time=\"1s\"\n }");
    let kib = server.children_rss_kib();
    (server, kib)
}

#[track_caller]
fn has_stayed_small(server: &Server, before: u64) {
    let after = server.children_rss_kib();
    assert!(after < before + GROWTH_KIB_MAX, "{before} KiB before, {after} KiB after");
}

#[track_caller]
fn says(server: &Server, what: &str) {
    let said = server.stderr().wait_for(unary_e2e::PATIENCE, |line| line.contains(what));
    assert!(said.is_some(), "{:?}", server.stderr().lines());
}

#[test]
fn headers_without_end_are_no_reply() {
    let folder = TempDir::new();
    // Fields without end, and one field without end.
    for writes in ["yes 'X-Field: value'", "tr '\\\\0' x < /dev/zero"] {
        let (server, before) = stage(&folder, &format!("#!/bin/sh\necho $$ > own\nprintf 'X-One: '\n{writes}\n"));
        assert_eq!(status(&server.url("/")), "502");
        has_stayed_small(&server, before);
        says(&server, "longer than 65536 bytes");
        let pid = fs::read_to_string(folder.join("own")).expect("it has written it");
        eventually("it is gone", || !lives(&pid));
    }
}

#[test]
fn errors_without_end_are_read_and_not_kept() {
    let folder = TempDir::new();
    // How many were left out is said with the first line of the next second.
    let text = "#!/bin/sh\nyes 'all is lost' | head -c 20000000 >&2\nhead -c 20000000 /dev/zero >&2\n\
                sleep 1\necho 'the last' >&2\nprintf 'A: b\\n\\ndone'\n";
    let (server, before) = stage(&folder, text);
    assert_eq!(curl(&[], &server.url("/")).stdout, "done");
    has_stayed_small(&server, before);
    says(&server, "lines of a program were left out");
    let said = server.stderr().lines();
    let lines = said.iter().filter(|line| line.contains("all is lost")).count();
    assert!((1..5_000).contains(&lines), "{lines} of 1.5 million lines are in the log");
}

#[test]
fn a_daemon_cannot_hold_the_reply_of_its_parent() {
    let folder = TempDir::new();
    let (server, _) = stage(&folder, "#!/bin/sh\nsetsid sleep 1000 &\necho $! > child\nprintf 'A: b\\n\\ndone'\n");
    for version in BOTH {
        assert_eq!(curl(&["--max-time", "10", version], &server.url("/")).stdout, "done");
        let child = fs::read_to_string(folder.join("child")).expect("it has written it");
        let _ = run(Command::new("kill").args(["-KILL", child.trim()]));
    }
}

#[test]
fn what_is_killed_amid_its_reply_leaves_none_that_looks_whole() {
    let folder = TempDir::new();
    // Had it ended at once, a 502 would say so as well.
    let text = "#!/bin/sh\nprintf 'Content-Length: 100\\n\\nbegun'\nsleep 0.5\nkill -KILL $$\n";
    let (server, _) = stage(&folder, text);
    for (version, code) in BOTH.into_iter().zip([18, 92]) {
        let ran = run(Command::new("curl").args(["--silent", "--max-time", "10", version]).arg(server.url("/")));
        assert_eq!(ran.code, Some(code), "{version}: {}", ran.stderr);
    }
    says(&server, "signal 9");
}

#[test]
fn noise_is_no_reply() {
    let folder = TempDir::new();
    for writes in [
        "head -c 100000 /dev/urandom",
        "printf '\\000\\001\\002\\n\\n'",
        "printf 'Status: 99999\\n\\n'",
        "printf ': nothing\\n\\n'",
        "printf 'A: b\\nno field\\n\\n'",
        "printf 'Content-Length: -1\\n\\n'",
        ":",
    ] {
        let (server, _) = stage(&folder, &format!("#!/bin/sh\n{writes}\n"));
        assert_eq!(status(&server.url("/")), "502", "{writes}");
        says(&server, "running ");
    }
}

#[test]
fn an_upload_that_breaks_off_is_said_to_the_program() {
    let folder = TempDir::new();
    let text = "#!/bin/sh\ntrap 'echo told > told; exit' HUP\necho begun > begun\nsleep 600 < /dev/null & wait\n";
    program(&folder, "takes", text);
    let server = site(&folder, "route \"/*\" {\n cgi takes gone-signal=HUP\n }");
    let mut client = Client::connect(&server);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    client.send(format!("{head}only this")).expect("it listens");
    eventually("it has begun", || folder.join("begun").exists());
    drop(client);
    eventually("it was told", || folder.join("told").exists());
}
