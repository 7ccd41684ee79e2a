//! The access log: what is in it, and what happens when it cannot be written.

use std::fs::File;
use std::io::{self, Read};
use std::process::Stdio;

use unary_e2e::server::{Resource, Signal};
use unary_e2e::{Client, PATIENCE, Server, eventually, serve};
use unary_testkit::TempDir;

use crate::example_site;

fn logging(stdout: impl Into<Stdio>) -> Server {
    serve(example_site()).argument("--access-log").stdout(stdout).start()
}

#[test]
fn one_line_a_request_in_the_combined_format() {
    let server = logging(Stdio::piped());
    let mut client = Client::connect(&server);
    client.get("/style.css?v=1");
    client.send("GET /no HTTP/1.1\r\nHost: a\r\nReferer: http://b/\r\nUser-Agent: c \"d\"\r\n\r\n").expect("it reads");
    client.reply().expect("it answers");
    let lines = server.stdout().wait_for_count(PATIENCE, 2, |_| true).expect("it logs");
    let length = std::fs::metadata(example_site().join("style.css")).expect("the site is there").len();
    let parts = |line: &str| line.split_once(" - - [").map(|(who, rest)| (who.to_owned(), rest.to_owned()));
    let (who, rest) = parts(&lines[0]).expect("it is a line of the format");
    let (_when, what) = rest.split_once("] ").expect("it is a line of the format");
    assert_eq!((who.as_str(), what), ("127.0.0.1", &*format!(r#""GET /style.css?v=1 HTTP/1.1" 200 {length} "-" "-""#)));
    assert!(lines[1].ends_with(r#"] "GET /no HTTP/1.1" 404 14 "http://b/" "c \"d\"""#), "{}", lines[1]);
}

#[test]
fn a_download_that_breaks_off_is_logged_with_what_was_sent() {
    let folder = TempDir::new();
    let length: u64 = 1 << 30;
    File::create(folder.join("big")).and_then(|file| file.set_len(length)).expect("files can be made");
    let server = serve(folder.path()).argument("--access-log").stdout(Stdio::piped()).start();
    let mut client = Client::connect(&server);
    client.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    client.head().expect("it answers");
    client.take(100_000).expect("it sends");
    drop(client);
    let line = server.stdout().wait_for(PATIENCE, |_| true).expect("it logs");
    let sent = line.split(" 200 ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
    assert!(sent.is_some_and(|sent| (100_000..length).contains(&sent)), "{line}");
}

#[test]
fn nothing_is_logged_unless_asked_for() {
    let mut server = serve(example_site()).stdout(Stdio::piped()).start();
    Client::connect(&server).get("/");
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    assert_eq!(server.stdout().lines(), Vec::<String>::new());
}

/// Requests go on though no line can be written; the loss is counted to the last line, and said.
#[track_caller]
fn check_loss(mut server: Server, requests: usize, cause: &str) {
    let mut client = Client::connect(&server);
    client.get("/");
    let first = server.stderr().wait_for(PATIENCE, |line| line.contains("lost"));
    assert_eq!(first.as_deref(), Some(&*format!("1 access log line was lost: {cause}")));
    for _ in 1..requests {
        assert_eq!(client.get("/").head.status, 200);
    }
    drop(client);
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    let said = server.stderr().lines().into_iter().filter(|line| line.ends_with(cause));
    let lost = said.map(|line| line.split(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a count"));
    let lost: Vec<usize> = lost.collect();
    assert_eq!(lost.iter().sum::<usize>(), requests, "{:?}", server.stderr().lines());
    assert!(lost.len() <= 3, "it is not said for each line: {lost:?}");
}

#[test]
fn a_full_disk_costs_lines_and_no_requests() {
    let full = File::options().write(true).open("/dev/full").expect("Linux has it");
    check_loss(logging(full), 500, "No space left on device");
}

#[test]
fn a_closed_pipe_costs_lines_and_no_requests() {
    let (reader, writer) = io::pipe().expect("pipes can be made");
    drop(reader);
    check_loss(logging(writer), 500, "Broken pipe");
}

#[test]
fn a_pipe_that_nobody_reads_costs_lines_and_no_requests() {
    let (mut reader, writer) = io::pipe().expect("pipes can be made");
    let mut server = logging(writer);
    let mut client = Client::connect(&server);
    let path = format!("/{}", "x".repeat(4000));
    // A pipe holds 64 KiB: some sixty of these lines, which are cut at 1 KiB.
    for _ in 0..100 {
        assert_eq!(client.get(&path).head.status, 404);
    }
    let said = server.stderr().wait_for(PATIENCE, |line| line.ends_with("lost: nobody reads them"));
    assert!(said.is_some(), "{:?}", server.stderr().lines());
    for _ in 0..2000 {
        assert_eq!(client.get("/").head.status, 200);
    }
    drop(client);
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    let mut written = String::new();
    reader.read_to_string(&mut written).expect("it is text");
    let said = server.stderr().lines().into_iter().filter(|line| line.contains("lost: "));
    let lost = said.map(|line| line.split(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a count"));
    // A line cut by the end of the room was not written.
    assert_eq!(written.matches('\n').count() + lost.sum::<usize>(), 2100, "{:?}", server.stderr().lines());
}

#[test]
fn a_disk_with_room_again_is_written_again() {
    // A file whose size is limited is a disk that is full; raising the limit makes room.
    let folder = TempDir::new();
    let log = File::create(folder.join("log")).expect("files can be made");
    let server =
        serve(example_site()).argument("--access-log").stdout(log).after("trap '' XFSZ; ulimit -S -f 1").start();
    let mut client = Client::connect(&server);
    let said = |text: &str| server.stderr().lines().iter().any(|line| line.contains(text));
    eventually("the file is full", || {
        client.get("/style.css");
        said("lost: File too large")
    });
    server.limit(Resource::Fsize, 1 << 30);
    eventually("lines are written again", || {
        client.get("/again");
        said("written again")
    });
    let lines = std::fs::read_to_string(folder.join("log")).expect("it is text");
    let whole = |line: &&str| line.starts_with("127.0.0.1 - - [") && line.ends_with('"');
    let torn = lines.lines().filter(|line| !whole(line)).count();
    assert!(torn <= 1, "one line was cut by the end of the room, and none after it:\n{lines}");
    assert!(lines.contains("GET /again "), "{lines}");
}
