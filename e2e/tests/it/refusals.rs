//! Requests that are refused, by real TCP: a client that goes on sending, and reads nothing meanwhile, can
//! read the whole reply afterwards, and then the end. Were its bytes left unread, the kernel would reset it.

use std::time::Duration;

use unary_e2e::wait::pause;
use unary_e2e::{Client, run_config};
use unary_testkit::TempDir;

/// What is sent after the head that is refused, in KiB. As much is read and thrown away.
const MORE_KIB: [usize; 3] = [100, 300, 500];

/// Longer than it takes a server on the same machine to close its end.
const A_WHILE: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// In the same breath as the head.
    AtOnce,
    /// When the reply is there to be read.
    Afterwards,
}

#[track_caller]
fn check(head: &str, status: u16) {
    let folder = TempDir::new();
    let at = folder.path().display();
    let server = format!("server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\" }}");
    let site =
        "site \"*\" { route \"/small\" { body-limit \"1KiB\"; respond \"a page\" }; route { respond \"a page\" } }";
    folder.write("unary.kdl", format!("{server}\n{site}\n"));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    for when in [When::AtOnce, When::Afterwards] {
        for kib in MORE_KIB {
            let case = format!("{status}, {kib} KiB {when:?}");
            let mut client = Client::connect(&server);
            client.send(head).expect("it reads");
            if when == When::Afterwards {
                client.stream().peek(&mut [0]).expect("it answers");
            }
            client.send(vec![b'x'; kib * 1024]).unwrap_or_else(|error| panic!("{case}: cut while sending: {error}"));
            pause(A_WHILE);
            let reply = client.reply().unwrap_or_else(|error| panic!("{case}: no whole reply: {error}"));
            assert_eq!(reply.head.status, status, "{case}");
            assert!(reply.text().starts_with(&status.to_string()), "{case}: {}", reply.text());
            assert_eq!(reply.head.field("connection"), Some("close"), "{case}");
            let rest = client.rest_in_order().unwrap_or_else(|error| panic!("{case}: no orderly end: {error}"));
            assert!(rest.is_empty(), "{case}: {}", rest.escape_ascii());
        }
    }
    assert_eq!(Client::connect(&server).get("/").text(), "a page");
}

#[test]
fn a_head_that_makes_no_sense_is_400() {
    check("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
}

#[test]
fn a_body_beyond_its_limit_is_413() {
    check("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n", 413);
}

#[test]
fn a_target_without_end_is_414() {
    check(&format!("GET /{}", "a".repeat(16 * 1024)), 414);
}

#[test]
fn a_field_without_end_is_431() {
    check(&format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(128 * 1024)), 431);
}

#[test]
fn a_coding_nobody_knows_is_501() {
    check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501);
}

#[test]
fn another_version_of_http_is_505() {
    check("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505);
}
