//! Storage that takes a second a read: whoever asks for it waits, and nobody else does.

use std::path::Path;
use std::time::{Duration, Instant};

use unary_e2e::slow_disk::content;
use unary_e2e::{Client, SlowDisk, alone, eventually, has, serve, skip};
use unary_testkit::TempDir;

const READ_TIME: Duration = Duration::from_secs(1);

/// What others may have to wait: a tenth of a read. Were they held up by one, it would be all of it.
const PROMPT: Duration = Duration::from_millis(100);

/// A machine busy with other things may take longer now and then.
const SLOWER_MAX: usize = 3;

#[test]
fn others_are_served_at_once_while_many_wait_for_a_slow_disk() {
    let name = "slow_storage::others_are_served_at_once_while_many_wait_for_a_slow_disk";
    let folder = TempDir::with([("warm.txt", "warm")]);
    folder.folder("slow");
    if !Path::new("/dev/fuse").exists() {
        return skip(name, "/dev/fuse");
    }
    if !has(name, "fusermount3") {
        return;
    }
    let disk = match SlowDisk::mount(&folder.join("slow"), READ_TIME, 300_000) {
        Ok(disk) => disk,
        Err(error) => return skip(name, &format!("permission to mount: {error}")),
    };
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
    let (mut slower, began) = (Vec::new(), Instant::now());
    while began.elapsed() < READ_TIME * 2 {
        let asked = Instant::now();
        assert_eq!(warm.get("/warm.txt").text(), "warm");
        assert_eq!(Client::connect(&server).get("/warm.txt").text(), "warm");
        slower.extend(Some(asked.elapsed()).filter(|time| *time >= PROMPT));
    }
    assert!(disk.reads() > 0, "the disk is still being read");
    assert!(slower.len() <= SLOWER_MAX && slower.iter().all(|time| *time < READ_TIME / 2), "{slower:?}");

    // Who waits is served in the end.
    let reply = waiting[0].reply().expect("it answers");
    assert_eq!(reply.head.status, 200);
    assert!(reply.body.len() == 300_000 && reply.body.iter().all(|&byte| byte == content(0)));
}
