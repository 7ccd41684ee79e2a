//! Running out of descriptors, and having some again.

use std::time::Duration;

use unary_e2e::{Client, PATIENCE, eventually, serve};
use unary_testkit::TempDir;

#[test]
fn a_server_without_descriptors_serves_on_once_it_has_some() {
    let folder = TempDir::with([("index.html", "a page"), ("other.html", "another")]);
    let server = serve(folder.path()).after("ulimit -n 64").start();
    // The kernel completes connections that the server cannot accept.
    let mut held: Vec<Client> = (0..100).map(|_| Client::connect(&server)).collect();
    let warning = server.stderr().wait_for(PATIENCE, |line| line.contains("cannot accept connections"));
    assert!(warning.is_some_and(|line| line.contains("ulimit -n")), "{:?}", server.stderr().lines());
    // Who was let in is served, although no file can be opened now: it gets a page, or is asked to
    // come again.
    for client in &mut held[..10] {
        let status = client.get("/").head.status;
        assert!([200, 503].contains(&status), "{status}");
    }
    held.drain(..40);
    eventually("those who waited are let in", || {
        held.retain_mut(|client| {
            client.stream().set_read_timeout(Some(Duration::from_millis(50))).expect("time-outs can be set");
            client.try_get("/").map_or(true, |reply| reply.head.status != 200)
        });
        held.is_empty()
    });
    for path in ["/", "/other.html"] {
        assert_eq!(Client::connect(&server).get(path).head.status, 200);
    }
    let warnings = server.stderr().lines().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(warnings < 50, "said {warnings} times");
}
