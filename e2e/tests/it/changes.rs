//! Files that change while they are served, and roots that are switched.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use unary_e2e::{Client, Server, alone, eventually, serve};
use unary_testkit::TempDir;

/// More than sockets hold on both sides: what a reader has not read is not all on its way.
const BIG: usize = 32 << 20;

#[test]
fn a_deploy_is_seen_within_a_second_and_fails_no_request() {
    let _alone = alone();
    let folder = TempDir::with([("one/index.html", "one"), ("two/index.html", "two")]);
    folder.link("one", "current");
    let server = serve(folder.join("current")).start();
    let is_over = AtomicBool::new(false);
    let switched_at = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| watch(&server, &is_over))).collect();
        let mut first = Client::connect(&server);
        for _ in 0..100 {
            assert_eq!(first.get("/").text(), "one");
        }
        folder.link("two", "current");
        let switched_at = Instant::now();
        while switched_at.elapsed() < Duration::from_millis(1500) {
            let text = first.get("/").text();
            assert!(["one", "two"].contains(&text.as_str()), "{text}");
        }
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            let last_old = client.join().expect("no request failed").expect("it saw the first version");
            let late = last_old.saturating_duration_since(switched_at);
            assert!(late < Duration::from_secs(1), "the old version was served for {late:?}");
        }
        switched_at
    });
    assert_eq!(Client::connect(&server).get("/").text(), "two", "{:?} after the switch", switched_at.elapsed());
}

/// Asks again and again. When was the last request sent that the old version answered?
fn watch(server: &Server, is_over: &AtomicBool) -> Option<Instant> {
    let mut client = Client::connect(server);
    let (mut last_old, mut seen_new) = (None, false);
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reply = client.get("/");
        match (reply.head.status, reply.text().as_str()) {
            (200, "one") => last_old = Some(asked),
            (200, "two") => seen_new = true,
            other => panic!("{other:?}"),
        }
    }
    assert!(seen_new);
    last_old
}

/// A download of which some was read: the rest waits to be sent.
fn begin_download(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(client.head().expect("it answers").field("content-length"), Some(BIG.to_string().as_str()));
    assert!(client.take(1000).expect("it sends").iter().all(|&byte| byte == b'a'));
    client
}

fn site() -> (TempDir, Server) {
    let folder = TempDir::new();
    folder.write("big", vec![b'a'; BIG]);
    let server = serve(folder.path()).start();
    (folder, server)
}

#[test]
fn a_file_replaced_amid_a_download_comes_whole_as_it_was() {
    let (folder, server) = site();
    let mut client = begin_download(&server);
    folder.write("new", vec![b'b'; BIG]);
    std::fs::rename(folder.join("new"), folder.join("big")).expect("files can be renamed");
    assert!(client.take(BIG - 1000).expect("all of it comes").iter().all(|&byte| byte == b'a'));
    // The same connection goes on, and the next request gets what is there now, within a second.
    eventually("the new file is served", || {
        client.send("GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=0-0\r\n\r\n").expect("it reads");
        client.reply().expect("it answers").body == b"b"
    });
}

#[test]
fn a_file_cut_short_amid_a_download_ends_the_connection() {
    let (folder, server) = site();
    let mut client = begin_download(&server);
    let file = File::options().write(true).open(folder.join("big")).expect("it is there");
    file.set_len(2000).expect("files can be cut");
    let rest = client.rest().expect("it is cut, and does not hang");
    assert!(rest.len() < BIG - 1000, "the client can tell that some is missing");
    // What was on its way were pages of the file itself, which the system clears where it is cut.
    assert!(rest.iter().all(|&byte| byte == b'a' || byte == 0), "nothing of another file came");
    assert_eq!(Client::connect(&server).get("/").head.status, 200);
}

#[test]
fn a_file_emptied_amid_a_download_ends_the_connection() {
    let (folder, server) = site();
    let mut client = begin_download(&server);
    folder.write("big", "");
    assert!(client.rest().expect("it is cut, and does not hang").len() < BIG - 1000);
    eventually("it is empty for others", || {
        // A moment later it may still be announced with the length it had, and cut.
        Client::connect(&server).try_get("/big").is_ok_and(|reply| reply.body.is_empty())
    });
}

#[test]
fn a_file_that_grows_amid_a_download_comes_as_long_as_it_was() {
    let (folder, server) = site();
    let mut client = begin_download(&server);
    let file = File::options().append(true).open(folder.join("big")).expect("it is there");
    std::io::Write::write_all(&mut &file, &[b'c'; 10_000]).expect("files can grow");
    assert!(client.take(BIG - 1000).expect("all of it comes").iter().all(|&byte| byte == b'a'));
    // What comes next is the next reply and nothing of the file.
    assert_eq!(client.get("/no/such").head.status, 404);
}

#[test]
fn a_file_that_is_removed_amid_a_download_comes_whole() {
    let (folder, server) = site();
    let mut client = begin_download(&server);
    std::fs::remove_file(folder.join("big")).expect("it is there");
    assert!(client.take(BIG - 1000).expect("all of it comes").iter().all(|&byte| byte == b'a'));
    eventually("it is gone for others", || client.get("/big").head.status == 404);
}

#[test]
fn a_small_file_rewritten_again_and_again_is_never_served_torn() {
    let folder = TempDir::with([("page", "a".repeat(5000).as_str())]);
    let server = serve(folder.path()).start();
    let mut client = Client::connect(&server);
    for turn in 0..200_u32 {
        let letter = b'a' + u8::try_from(turn % 26).expect("a letter");
        // As careful writers do.
        folder.write("page.new", vec![letter; 5000 - turn as usize]);
        std::fs::rename(folder.join("page.new"), folder.join("page")).expect("files can be renamed");
        let body = client.get("/page").body;
        assert!(body.windows(2).all(|pair| pair[0] == pair[1]), "two versions in one reply");
    }
    let last = b'a' + u8::try_from(199 % 26).expect("a letter");
    let written = Instant::now();
    eventually("the last version is served", || client.get("/page").body == vec![last; 5000 - 199]);
    assert!(written.elapsed() < Duration::from_secs(1), "{:?}", written.elapsed());
}
