//! Servers that die, hang, or lose their keeper.

use std::time::{Duration, Instant};

use unary_e2e::server::Signal;
use unary_e2e::wait::pause;
use unary_e2e::{Client, PATIENCE, alone, eventually, run_config};
use unary_testkit::free_port;

use super::kept::{Kept, signal};
use super::load::Load;

/// How soon another server has to serve, more often than not: a machine may be busy with something else once.
const BACK_MAX: Duration = Duration::from_millis(100);

#[test]
fn a_killed_server_is_back_at_once_and_nobody_is_refused() {
    let _alone = alone();
    let kept = Kept::new("");
    let mut back = Vec::new();
    let (refused, _) = Load::during(kept.server.address(), 3, |load| {
        for _ in 0..8 {
            load.wait_for(100);
            let before = kept.server_pid();
            let killed = Instant::now();
            signal(before, Signal::KILL);
            // Connects at once, and is answered by the next.
            kept.serves();
            back.push(killed.elapsed());
            kept.wait_for_other_than(before);
            pause(Duration::from_millis(1100)); // Long enough to be steady.
        }
    });
    assert_eq!(refused, 0);
    back.sort_unstable();
    eprintln!("back after {back:?}");
    let median = back[back.len() / 2];
    assert!(median <= BACK_MAX, "{back:?}");
}

#[test]
fn servers_that_keep_dying_are_started_ever_later_and_whoever_connects_waits() {
    let kept = Kept::new("");
    for _ in 0..6 {
        let before = kept.server_pid();
        signal(before, Signal::KILL);
        kept.wait_for_other_than(before);
    }
    kept.serves();
    let waits = |line: &str| line.contains("the server keeps ending; starting it anew in");
    assert!(kept.server.stderr().lines().iter().any(|line| waits(line)), "{:?}", kept.server.stderr().lines());
}

#[test]
fn a_server_that_hangs_is_replaced() {
    let kept = Kept::new("");
    let hangs = kept.server_pid();
    signal(hangs, Signal::STOP);
    kept.wait_for_other_than(hangs);
    kept.serves();
    let said = kept.server.stderr().lines();
    assert!(said.iter().any(|line| line.contains(&format!("server {hangs} no longer answers"))), "{said:?}");
}

#[test]
fn servers_that_are_frozen_together_with_their_keeper_go_on() {
    // As in a container that is paused, or a machine that is.
    let kept = Kept::new("");
    let (server, mut stays) = (kept.server_pid(), Client::connect(&kept.server));
    assert_eq!(stays.get("/").text(), "a page");
    kept.server.signal(Signal::STOP);
    signal(server, Signal::STOP);
    pause(Duration::from_secs(12));
    kept.server.signal(Signal::CONT);
    signal(server, Signal::CONT);
    pause(Duration::from_secs(4));
    assert_eq!(kept.server_pid(), server, "{:?}", kept.server.stderr().lines());
    assert_eq!(stays.get("/").text(), "a page");
}

#[test]
fn a_server_without_keeper_frees_its_port_and_finishes_what_runs() {
    let site = super::kept::Site::new("");
    site.folder.write("public/big", vec![b'b'; 32 << 20]);
    let mut kept = Kept { server: site.start().start(), site };
    let (address, orphan) = (kept.server.address(), kept.server_pid());
    let mut download = Client::connect(&kept.server);
    download.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(download.head().expect("it answers").status, 200);
    kept.server.signal(Signal::KILL);
    eventually("nobody listens there", || Client::try_connect_to(address).is_err());
    // The next has the port while the orphan still sends.
    kept.site.configure(&format!("listen \"{address}\""));
    let next = kept.site.start().start();
    assert_eq!(Client::connect(&next).get("/").text(), "a page");
    assert_eq!(download.take(32 << 20).expect("all of it comes").len(), 32 << 20);
    assert_eq!(download.rest().expect("it is closed then"), b"");
    assert!(kept.server.ended(PATIENCE).code().is_none());
    eventually("the orphan ends", || !std::path::Path::new(&format!("/proc/{orphan}")).exists());
}

#[test]
fn after_a_keeper_that_was_killed_the_next_starts_at_once() {
    let site = super::kept::Site::new("");
    let path = site.folder.join("site.sock");
    site.configure(&format!("listen \"127.0.0.1:{}\" \"unix:{}\"", free_port(), path.display()));
    for killed in [Killed::Keeper, Killed::Both, Killed::Keeper, Killed::Keeper, Killed::Both, Killed::Keeper] {
        let began = Instant::now();
        let server = run_config(site.config(), 2).start();
        eprintln!("serves after {:?}", began.elapsed());
        let mut idle = Client::connect(&server);
        assert_eq!(idle.get("/").text(), "a page");
        let children = server.children();
        server.signal(Signal::KILL);
        if killed == Killed::Both {
            children.into_iter().for_each(|child| signal(child, Signal::KILL));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    Keeper,
    /// As the kernel does when memory is short.
    Both,
}

#[test]
fn a_server_that_somebody_else_ends_is_relieved_before_it_has() {
    let _alone = alone();
    let kept = Kept::new("");
    let wrong = Load::during(kept.server.address(), 3, |load| {
        load.wait_for(50);
        let before = kept.server_pid();
        signal(before, Signal::TERM);
        kept.wait_for_other_than(before);
        load.wait_for(50);
    });
    assert_eq!(wrong, (0, 0));
}

#[test]
fn a_server_is_no_orphan_of_a_terminal() {
    // Ctrl-C is for the keeper, which drains it: in a process group of its own it does not get it.
    let kept = Kept::new("");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", kept.server_pid())).expect("it runs");
    let group = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(2));
    assert_eq!(group, Some(kept.server_pid().to_string().as_str()));
}
