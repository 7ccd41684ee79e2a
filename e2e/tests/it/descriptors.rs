//! Having few descriptors, running out of them, and having some again.

use std::time::Duration;

use unary_e2e::server::Resource;
use unary_e2e::{Client, PATIENCE, Server, eventually, serve};
use unary_testkit::TempDir;

use crate::connect_from;

fn site() -> TempDir {
    TempDir::with([("index.html", "a page"), ("other.html", "another")])
}

/// Whether a page comes soon on this connection.
fn is_served(client: &mut Client) -> bool {
    client.stream().set_read_timeout(Some(Duration::from_millis(50))).expect("time-outs can be set");
    client.try_get("/").is_ok_and(|reply| reply.text() == "a page")
}

#[test]
fn with_few_descriptors_all_are_served_in_turn() {
    let folder = site();
    let server = serve(folder.path()).after("ulimit -n 64").start();
    // Far more than it has descriptors: the kernel completes the connections, and they wait. Each is somebody else's.
    let mut waiting: Vec<Client> = (1..=150).map(|last| connect_from(last, &server)).collect();
    let mut served = 0;
    eventually("everybody had a turn", || {
        let before = waiting.len();
        // Who was served leaves, and makes room.
        waiting.retain_mut(|client| !is_served(client));
        served += before - waiting.len();
        waiting.is_empty()
    });
    assert_eq!(served, 150);
    let lines = server.stderr().lines();
    assert!(!lines.iter().any(|line| line.contains("Too many open files")), "it ran out: {lines:?}");
}

#[test]
fn without_descriptors_it_waits_and_serves_on_once_it_has_some() {
    let folder = site();
    let server = serve(folder.path()).start();
    let mut inside: Vec<Client> = (0..10).map(|_| Client::connect(&server)).collect();
    assert_eq!(inside[0].get("/").text(), "a page");
    eventually("all are let in", || server.descriptors() >= 20);
    server.limit(Resource::Nofile, 12);
    let outside: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    let warning = server.stderr().wait_for(PATIENCE, |line| line.contains("cannot accept connections"));
    assert!(warning.is_some_and(|line| line.contains("Raise the limit on open files (ulimit -n)")));
    // Who is inside gets what is in memory, and is asked to come again for what is not.
    for client in &mut inside {
        let status = client.get("/other.html").head.status;
        assert!([200, 503].contains(&status), "{status}");
    }
    serves_on(&server, inside, outside);
    let warnings = server.stderr().lines().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(warnings < 50, "said {warnings} times");
}

/// Those inside leave, and the limit is what it was: those outside are let in, and everybody else.
#[track_caller]
fn serves_on(server: &Server, inside: Vec<Client>, mut outside: Vec<Client>) {
    drop(inside);
    server.limit(Resource::Nofile, 1000);
    eventually("those outside are served", || {
        outside.retain_mut(|client| !is_served(client));
        outside.is_empty()
    });
    for (path, expected) in [("/", "a page"), ("/other.html", "another")] {
        assert_eq!(Client::connect(server).get(path).text(), expected);
    }
}
