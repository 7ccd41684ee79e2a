//! As many connections as there may be, and one more; and as many as one client may have.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use unary_e2e::{Client, PATIENCE, admin, run_config};
use unary_testkit::TempDir;

use crate::connect_from;

#[test]
fn no_place_is_kept_for_a_loop_to_which_nobody_comes() {
    let folder = TempDir::new();
    let at = folder.path().display();
    let server = format!(
        "server {{ listen \"127.0.0.1:0\"; threads 4; limits {{ connections 3; client-connections 3 }}
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

/// How long somebody tries to have all connections.
const SIEGE: Duration = Duration::from_secs(3);

#[test]
fn a_client_that_takes_all_it_can_get_leaves_half_to_others() {
    let folder = TempDir::new();
    let at = folder.path().display();
    let server = format!(
        "server {{ listen \"127.0.0.1:0\"; threads 2; limits {{ connections 20 }}
         state \"{at}/state\"; admin \"unix:{at}/admin.sock\" }}"
    );
    folder.write("unary.kdl", format!("{server}\nsite \"*\" {{ route {{ respond \"a page\" }} }}\n"));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    let (is_over, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        // Keeps all it is given, and asks for more.
        scope.spawn(|| {
            let mut held: Vec<Client> = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let mut client = Client::connect(&server);
                match client.try_get("/") {
                    Ok(_) => held.push(client),
                    Err(_) => _ = refused.fetch_add(1, Ordering::Relaxed),
                }
            }
            assert_eq!(held.len(), 10, "half of all");
            assert!(held.iter_mut().all(|client| client.get("/").text() == "a page"), "what it has it keeps");
        });
        let (began, mut served) = (Instant::now(), 0);
        let mut stays = connect_from(2, &server);
        while began.elapsed() < SIEGE {
            assert_eq!(stays.get("/").text(), "a page");
            assert_eq!(connect_from(2, &server).get("/").text(), "a page");
            served += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(served > 10, "{served}");
    });
    let refused = refused.into_inner();
    assert!(refused > 10, "{refused}");
    let counted = admin::metric(&folder.join("admin.sock"), "unary_connections_refused_total");
    assert!(counted.is_some_and(|counted| counted >= refused as f64), "{counted:?} of {refused}");
    let is_said = |line: &String| line.contains("a client has as many connections as one may");
    let said = server.stderr().lines().into_iter().filter(is_said).count();
    assert!((1..=3).contains(&said), "said {said} times: {:?}", server.stderr().lines());
}
