//! Stopping: what runs is finished; the second time at once.

use std::time::{Duration, Instant};

use unary_e2e::server::Signal;
use unary_e2e::{Client, PATIENCE, eventually};

use super::kept::{Kept, Site};

const BIG: usize = 32 << 20;

/// A keeper, and a download that has begun.
fn downloading() -> (Kept, Client) {
    let site = Site::new("");
    site.folder.write("public/big", vec![b'b'; BIG]);
    let kept = Kept { server: site.start().start(), site };
    let mut download = Client::connect(&kept.server);
    download.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(download.head().expect("it answers").status, 200);
    (kept, download)
}

#[track_caller]
fn lets_nobody_in(kept: &Kept) {
    eventually("new connections are refused", || Client::try_connect(&kept.server).is_err());
}

#[test]
fn a_download_is_finished_before_the_server_is() {
    let (mut kept, mut download) = downloading();
    kept.server.signal(Signal::TERM);
    lets_nobody_in(&kept);
    assert_eq!(download.take(BIG).expect("all of it comes").len(), BIG);
    assert_eq!(download.rest().expect("it is closed then"), b"");
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn the_second_signal_stops_at_once() {
    let (mut kept, mut download) = downloading();
    kept.server.signal(Signal::INT);
    lets_nobody_in(&kept);
    let told = Instant::now();
    kept.server.signal(Signal::INT);
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(download.rest().expect("it is cut").len() < BIG);
}

#[test]
fn the_command_waits_until_all_has_ended() {
    let mut kept = Kept::new("");
    let server = kept.server_pid();
    kept.site.tell_well("stop");
    assert!(!std::path::Path::new(&format!("/proc/{server}")).exists());
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
    assert!(!kept.site.folder.join("admin.sock").exists());
    let ran = kept.site.tell("stop");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no keeper listens at"), "{}", ran.stderr);
}

#[test]
fn a_config_that_cannot_be_read_is_in_nobodys_way() {
    let mut kept = Kept::new("");
    kept.site.configure("listen \"nowhere\"");
    let ran = kept.site.tell("stop");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("Say it with --admin unix:PATH"), "{}", ran.stderr);
    let admin = format!("unix:{}", kept.site.folder.join("admin.sock").display());
    let mut stop = std::process::Command::new(unary_e2e::server::binary());
    let ran = unary_e2e::run(stop.args(["stop", "--admin", &admin]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn a_site_that_makes_no_sense_is_in_nobodys_way() {
    let mut kept = Kept::new("");
    let text = std::fs::read_to_string(kept.site.config()).expect("it was written");
    kept.site.folder.write("unary.kdl", format!("{text}site \"b.example\" {{\nroute {{\nnonsense\n}}\n}}\n"));
    let ran = kept.site.tell("reload");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("unknown word `nonsense`"), "{}", ran.stderr);
    kept.site.tell_well("stop");
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
}
