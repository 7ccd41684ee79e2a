//! Reloads: by command, by signal, by a change of the file; and what a bad config does, which is nothing.

use unary_e2e::server::Signal;
use unary_e2e::{Client, alone, eventually, wait};

use super::kept::{Kept, signal};
use super::load::Load;

pub(super) const HERE: &str = "listen \"127.0.0.1:0\"";

#[track_caller]
fn check_serves(kept: &Kept, text: &str) {
    assert_eq!(Client::connect(&kept.server).get("/").text(), text);
}

fn with_two_pages(lines: &str) -> Kept {
    let kept = Kept::new(lines);
    kept.site.folder.write("other/index.html", "another page");
    kept
}

#[test]
fn a_reload_serves_the_new_config_on_connections_that_stay() {
    let kept = with_two_pages("");
    let before = kept.server_pid();
    let mut stays = Client::connect(&kept.server);
    assert_eq!(stays.get("/").text(), "a page");
    kept.site.write_config(HERE, "other");
    assert_eq!(kept.site.tell_well("reload").stderr, "");
    assert_eq!(stays.get("/").text(), "another page");
    check_serves(&kept, "another page");
    assert_eq!(kept.server_pid(), before, "it is the same server");
}

#[test]
fn a_signal_does_the_same() {
    let kept = with_two_pages("");
    kept.site.write_config(HERE, "other");
    kept.server.signal(Signal::HUP);
    eventually("the new config is served", || Client::connect(&kept.server).get("/").text() == "another page");
    // A server that gets the signal, as `killall` sends it to all of the name, takes no harm.
    let before = kept.server_pid();
    signal(before, Signal::HUP);
    signal(before, Signal::USR1);
    signal(before, Signal::USR2);
    check_serves(&kept, "another page");
    assert_eq!(kept.server_pid(), before);
}

#[test]
fn a_watched_file_does_the_same() {
    let kept = with_two_pages("watch");
    kept.site.write_config(&format!("{HERE}\nwatch"), "other");
    eventually("the new config is served", || Client::connect(&kept.server).get("/").text() == "another page");
}

#[test]
fn a_bad_config_changes_nothing_and_says_why() {
    let kept = with_two_pages("");
    kept.site.write_config(&format!("{HERE}\nlisten \"nowhere\""), "other");
    let ran = kept.site.tell("reload");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("`nowhere` is not an address to listen on"), "{}", ran.stderr);
    check_serves(&kept, "a page");
    // What only the server finds out.
    kept.site.write_config(HERE, "none");
    let ran = kept.site.tell("reload");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("none"), "{}", ran.stderr);
    check_serves(&kept, "a page");
    // A signal has nobody to answer to.
    kept.server.signal(Signal::HUP);
    let said = kept.server.stderr().wait_for(wait::PATIENCE, |line| line.contains("none"));
    assert!(said.is_some(), "{:?}", kept.server.stderr().lines());
    // A server that dies is started with the config that was last good.
    let before = kept.server_pid();
    signal(before, Signal::KILL);
    check_serves(&kept, "a page");
}

#[test]
fn new_limits_hold_for_new_connections() {
    let limited =
        format!("{HERE}\nlimits {{\nhead-bytes \"2KiB\"\ntarget-bytes \"1KiB\"\nheaders 5\nidle-time \"1s\"\n}}");
    let kept = with_two_pages("");
    let long = format!("/{}", "a".repeat(1500));
    let status = |client: &mut Client, fields: &str| {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).expect("it reads");
        client.reply().expect("it answers").head.status
    };
    let mut stays = Client::connect(&kept.server);
    assert_eq!(stays.get(&long).head.status, 404);
    kept.site.configure(&limited);
    kept.site.tell_well("reload");
    assert_eq!(stays.get(&long).head.status, 404, "it began before");
    assert_eq!(Client::connect(&kept.server).get(&long).head.status, 414);
    assert_eq!(status(&mut Client::connect(&kept.server), &"A: b\r\n".repeat(5)), 431);
    assert_eq!(status(&mut Client::connect(&kept.server), &format!("A: {}\r\n", "b".repeat(3000))), 431);
    let mut idle = Client::connect(&kept.server);
    assert_eq!(idle.get("/").text(), "a page");
    assert_eq!(idle.rest().expect("it is closed"), b"");
    kept.site.configure(HERE);
    kept.site.tell_well("reload");
    assert_eq!(Client::connect(&kept.server).get(&long).head.status, 404);
    assert_eq!(stays.get(&long).head.status, 404);
}

#[test]
fn one_broken_site_is_said_and_the_others_are_served_anew() {
    let kept = with_two_pages("");
    kept.site.write_config(HERE, "other");
    let text = std::fs::read_to_string(kept.site.config()).expect("it was written");
    let broken = "site \"b.example\" {\nroute {\nfiles \"nowhere\"\n}\n}\n";
    kept.site.folder.write("unary.kdl", format!("{text}{broken}"));
    let ran = kept.site.tell_well("reload");
    assert!(ran.stderr.contains("b.example") && ran.stderr.contains("nowhere"), "{}", ran.stderr);
    check_serves(&kept, "another page");
    signal(kept.server_pid(), Signal::KILL);
    check_serves(&kept, "another page");
}

#[test]
fn a_port_that_is_taken_changes_nothing() {
    let kept = with_two_pages("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound");
    kept.site.write_config(&format!("{HERE}\nlisten \"{address}\""), "other");
    let ran = kept.site.tell("reload");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("another program listens there"), "{}", ran.stderr);
    check_serves(&kept, "a page");
}

#[test]
fn listeners_come_and_go() {
    let kept = with_two_pages("");
    let said = |lines: usize| {
        let listens = |line: &str| line.starts_with("listening on ");
        kept.server.stderr().wait_for_count(wait::PATIENCE, lines, listens).expect("it says where it listens")
    };
    kept.site.configure(&format!("{HERE}\nlisten \"localhost:0\""));
    kept.site.tell_well("reload");
    let second = said(2)[1].rsplit_once('/').and_then(|(_, address)| address.parse().ok()).expect("an address");
    let mut idle = Client::try_connect_to(second).expect("it listens there");
    assert_eq!(idle.get("/").text(), "a page");
    check_serves(&kept, "a page");
    let mut stays = Client::connect(&kept.server);
    assert_eq!(stays.get("/").text(), "a page");
    kept.site.configure(HERE);
    kept.site.tell_well("reload");
    assert_eq!(idle.rest().expect("it is let go"), b"");
    eventually("nobody listens there", || Client::try_connect_to(second).is_err());
    let reply = stays.get("/");
    assert_eq!((reply.text().as_str(), reply.head.field("connection")), ("a page", None));
}

#[test]
fn reloads_under_load_fail_nobody() {
    let _alone = alone();
    let kept = with_two_pages("");
    kept.site.folder.write("public/big", vec![b'b'; 32 << 20]);
    let mut download = Client::connect(&kept.server);
    download.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(download.head().expect("it answers").status, 200);
    let wrong = Load::during(kept.server.address(), 3, |load| {
        for round in 0..20 {
            kept.site.write_config(HERE, if round % 2 == 0 { "other" } else { "public" });
            kept.site.tell_well("reload");
            load.wait_for(50);
            // Slow, but no slower than a client may be.
            assert_eq!(download.take(1 << 20).expect("it goes on").len(), 1 << 20);
        }
    });
    assert_eq!(wrong, (0, 0));
    assert_eq!(download.take(12 << 20).expect("all of it comes").len(), 12 << 20);
}
