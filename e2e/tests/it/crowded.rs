//! As many connections as there may be, and one more.

use std::time::Duration;

use unary_e2e::{Client, PATIENCE, admin, run_config};
use unary_testkit::TempDir;

#[test]
fn no_place_is_kept_for_a_loop_to_which_nobody_comes() {
    let folder = TempDir::new();
    let at = folder.path().display();
    let server = format!(
        "server {{ listen \"127.0.0.1:0\"; threads 4; limits {{ connections 3 }}
         state \"{at}/state\"; admin \"unix:{at}/admin.sock\" }}"
    );
    folder.write("unary.kdl", format!("{server}\nsite \"*\" {{ route {{ respond \"a page\" }} }}\n"));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    let stay = || {
        let mut client = Client::connect(&server);
        assert_eq!(client.get("/").text(), "a page");
        client
    };
    let mut inside = vec![stay(), stay()];
    // The kernel gives each of these to one of the loops, by chance.
    for _ in 0..30 {
        stay();
    }
    inside.push(stay());
    let mut outside = Client::connect(&server);
    outside.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("the kernel takes it");
    outside.stream().set_read_timeout(Some(Duration::from_millis(300))).expect("it can be set");
    outside.stream().peek(&mut [0]).expect_err("nobody answers");
    let full = |line: &str| line.contains("as many connections are open as there may be");
    assert!(server.stderr().wait_for(PATIENCE, full).is_some(), "{:?}", server.stderr().lines());
    let waits = admin::metric(&folder.join("admin.sock"), "unary_connections_waits_total");
    assert!(waits.is_some_and(|waits| waits >= 1.0), "{waits:?}");
    drop(inside.pop());
    outside.stream().set_read_timeout(Some(PATIENCE)).expect("it can be set");
    assert_eq!(outside.reply().expect("it has a place").text(), "a page");
    let said = server.stderr().lines().into_iter().filter(|line| full(line)).count();
    assert_eq!(said, 1, "once a minute is enough");
}
