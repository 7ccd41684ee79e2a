//! Storage that takes a second for a read, or for anything: whoever asks for it waits, and nobody else does.

use std::path::Path;
use std::time::{Duration, Instant};

use unary_e2e::slow_disk::{SlowAt, content};
use unary_e2e::{Client, Server, SlowDisk, alone, eventually, has, serve, skip};
use unary_testkit::TempDir;

const SLOW: Duration = Duration::from_secs(1);

/// What others may have to wait: a tenth of that. Were they held up by one, it would be all of it.
const PROMPT: Duration = Duration::from_millis(100);

/// A machine busy with other things may take longer now and then.
const SLOWER_MAX: usize = 3;

/// A folder with a page, and a slow disk with large files in it. The test `name` is skipped if there cannot be one.
fn site(name: &str, at: SlowAt) -> Option<(TempDir, SlowDisk)> {
    let folder = TempDir::with([("warm.txt", "warm")]);
    folder.folder("slow");
    if !Path::new("/dev/fuse").exists() {
        skip(name, "/dev/fuse");
        return None;
    }
    if !has(name, "fusermount3") {
        return None;
    }
    match SlowDisk::mount(&folder.join("slow"), at, SLOW, 300_000) {
        Ok(disk) => Some((folder, disk)),
        Err(error) => {
            skip(name, &format!("permission to mount: {error}"));
            None
        }
    }
}

/// Everybody else gets a page at once, for as long as `is_waited_for` says and no longer than two slow answers.
#[track_caller]
fn others_are_served(server: &Server, warm: &mut Client, is_waited_for: impl Fn() -> bool) {
    let (mut slower, mut asked_often, began) = (Vec::new(), 0, Instant::now());
    while is_waited_for() && began.elapsed() < SLOW * 2 {
        let asked = Instant::now();
        assert_eq!(warm.get("/warm.txt").text(), "warm");
        assert_eq!(Client::connect(server).get("/warm.txt").text(), "warm");
        slower.extend(Some(asked.elapsed()).filter(|time| *time >= PROMPT));
        asked_often += 1;
    }
    assert!(asked_often > SLOWER_MAX, "only {asked_often} were asked for meanwhile");
    assert!(slower.len() <= SLOWER_MAX && slower.iter().all(|time| *time < SLOW / 2), "{slower:?}");
}

#[test]
fn others_are_served_at_once_while_many_wait_for_a_slow_disk() {
    let name = "slow_storage::others_are_served_at_once_while_many_wait_for_a_slow_disk";
    let Some((folder, disk)) = site(name, SlowAt::Reading) else { return };
    let _alone = alone();
    // One loop: there is no other that could serve while it is held.
    let server = serve(folder.path()).argument("--threads").argument("1").start();
    let mut warm = Client::connect(&server);
    assert_eq!(warm.get("/warm.txt").text(), "warm");

    let mut waiting: Vec<Client> = (0..60).map(|_| Client::connect(&server)).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(format!("GET /slow/{number} HTTP/1.1\r\nHost: a\r\n\r\n")).expect("it reads");
    }
    eventually("the disk is being read", || disk.reads() > 0);
    others_are_served(&server, &mut warm, || true);
    assert!(disk.reads() > 0, "the disk is still being read");

    // Who waits is served in the end.
    let reply = waiting[0].reply().expect("it answers");
    assert_eq!(reply.head.status, 200);
    assert!(reply.body.len() == 300_000 && reply.body.iter().all(|&byte| byte == content(0)));
}

#[test]
fn others_are_served_at_once_while_names_are_looked_for_and_listed() {
    let name = "slow_storage::others_are_served_at_once_while_names_are_looked_for_and_listed";
    let Some((folder, disk)) = site(name, SlowAt::Everything) else { return };
    let _alone = alone();
    let server = serve(folder.path()).argument("--threads").argument("1").start();
    let mut warm = Client::connect(&server);
    assert_eq!(warm.get("/warm.txt").text(), "warm");

    // No file of this name, so that nothing but finding that out takes time.
    let mut missing = Client::connect(&server);
    missing.send("GET /slow/missing HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    eventually("the name is looked for", || disk.finds() > 0);
    others_are_served(&server, &mut warm, || disk.finds() > 0);
    assert_eq!(missing.head().expect("it answers").status, 404);

    let mut head = Client::connect(&server);
    head.send("HEAD /slow/7 HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    eventually("the file is looked for", || disk.finds() > 0);
    others_are_served(&server, &mut warm, || disk.finds() > 0);
    let head = head.head().expect("it answers");
    assert_eq!((head.status, head.field("content-length")), (200, Some("300000")));

    let mut listing = Client::connect(&server);
    listing.send("GET /slow/ HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n").expect("it reads");
    eventually("the folder is listed", || disk.lists() > 0);
    others_are_served(&server, &mut warm, || disk.lists() > 0);
    let listed = listing.reply().expect("it answers").text();
    assert!(["\"0\"", "\"1\"", "\"2\""].iter().all(|name| listed.contains(name)), "{listed}");
}
