//! Programs that do what they should not, and clients that leave them.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use unary_e2e::{Client, eventually};
use unary_testkit::TempDir;

use super::{curl, program, site};

pub(super) fn status(url: &str) -> String {
    curl(&["-o", "/dev/null", "-w", "%{http_code}"], url).stdout
}

/// Whether a process of this number is there, and no zombie.
pub(super) fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
fn what_takes_too_long_is_ended_with_all_it_started() {
    let folder = TempDir::new();
    let text = "#!/bin/sh\ntrap '' TERM\nsleep 1000 & echo $! > child\necho $$ > own\nwait\nwait\n";
    program(&folder, "slow", text);
    let server = site(&folder, "route \"/*\" {\n cgi slow reply-time=\"500ms\" stop-time=\"500ms\"\n }");
    assert_eq!(status(&server.url("/")), "504");
    for file in ["own", "child"] {
        let pid = fs::read_to_string(folder.join(file)).expect("it has written it");
        eventually("it is gone", || !lives(&pid));
    }
}

#[test]
fn a_client_that_leaves_is_said_to_the_program() {
    let folder = TempDir::new();
    // That a client has gone amid a reply is seen when something is sent to it.
    let text = "#!/bin/sh\ntrap '' PIPE\ntrap 'echo told > told; exit' INT\nprintf 'A: b\\n\\n'\nwhile :; do echo x; sleep 0.1; done\n";
    program(&folder, "waits", text);
    let server = site(&folder, "route \"/*\" {\n cgi waits gone-signal=INT\n }");
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it listens");
    client.head().expect("it has begun to answer");
    drop(client);
    eventually("it was told", || folder.join("told").exists());
}

#[test]
fn a_crowd_is_refused_in_time() {
    let folder = TempDir::new();
    program(&folder, "second", "#!/bin/sh\nsleep 1\nprintf 'A: b\\n\\n'\n");
    let server = site(&folder, "route \"/*\" {\n cgi second running=2 waiting=2 wait-time=\"10s\"\n }");
    let begun = Instant::now();
    let url = server.url("/");
    let ask = |url: String| thread::spawn(move || status(&url));
    let asking: Vec<_> = (0..8).map(|_| ask(url.clone())).collect();
    let mut statuses: Vec<_> = asking.into_iter().map(|asking| asking.join().expect("curl ends")).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["200", "200", "200", "200", "503", "503", "503", "503"]);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_leads_out_of_the_folder_is_not_run() {
    let folder = TempDir::new();
    program(&folder, "outside", "#!/bin/sh\nprintf 'A: b\\n\\nrun'\n");
    program(&folder, "cgi-bin/inside", "#!/bin/sh\nprintf 'A: b\\n\\nrun'\n");
    folder.link("../outside", "cgi-bin/link");
    folder.write("cgi-bin/plain", "text");
    let server = site(&folder, "route \"/cgi-bin/*\" {\n cgi cgi-bin\n }");
    for (path, expected) in [
        ("/cgi-bin/inside", "200"),
        ("/cgi-bin/link", "404"),
        ("/cgi-bin/..%2foutside", "400"),
        ("/cgi-bin/%2e%2e/outside", "400"),
        ("/cgi-bin/plain", "403"),
        ("/cgi-bin/", "404"),
    ] {
        assert_eq!(
            curl(&["--path-as-is", "-o", "/dev/null", "-w", "%{http_code}"], &server.url(path)).stdout,
            expected,
            "{path}"
        );
    }
    let said = server.stderr().wait_for(unary_e2e::PATIENCE, |line| line.contains("nobody may execute it"));
    assert!(said.is_some(), "{:?}", server.stderr().lines());
}

#[test]
fn a_program_takes_no_more_than_it_may() {
    let folder = TempDir::new();
    // dash counts memory by 1 KiB, and what is written by 512 bytes.
    program(&folder, "told", "#!/bin/dash\nprintf 'A: b\\n\\n'\nulimit -n; ulimit -v; ulimit -f; ulimit -t\n");
    let text = "#!/bin/dash\nprintf 'A: b\\n\\n'\nwhile :; do :; done\n";
    program(&folder, "turns", text);
    let limits = "limits open-files=20 memory=\"64MiB\" file-size=\"1MiB\" cpu-time=\"1s\"";
    let route = |name: &str| format!("route \"/{name}\" {{\n cgi {name} {{\n {limits}\n }}\n }}\n");
    let server = site(&folder, &(route("told") + &route("turns")));
    assert_eq!(curl(&[], &server.url("/told")).stdout, "20\n65536\n2048\n1\n");
    // It is ended by the kernel, long before the route would have it ended.
    assert_eq!(curl(&[], &server.url("/turns")).stdout, "");
    let said = server.stderr().wait_for(unary_e2e::PATIENCE, |line| line.contains("a program failed"));
    assert!(said.is_some_and(|line| line.contains("signal")), "{:?}", server.stderr().lines());
}

#[test]
fn nothing_is_left_running_after_a_stop() {
    let folder = TempDir::new();
    program(&folder, "long", "#!/bin/sh\necho $$ > own\nexec 1>&- 2>&-\nsleep 1000\n");
    let mut server = site(&folder, "route \"/*\" {\n cgi long stop-time=\"1s\"\n }");
    assert_eq!(status(&server.url("/")), "502");
    let pid = fs::read_to_string(folder.join("own")).expect("it has written it");
    server.signal(unary_e2e::server::Signal::TERM);
    server.ended(unary_e2e::PATIENCE);
    eventually("it is gone", || !lives(&pid));
}
