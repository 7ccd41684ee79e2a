//! Upgrades: another program takes over, server and keeper, and nobody notices.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use unary_e2e::server::{Signal, binary};
use unary_e2e::{Client, PATIENCE, alone, eventually, run};

use super::kept::{Kept, Site, signal};
use super::load::Load;

/// A keeper whose program is a copy that tests may replace.
struct Upgradable {
    kept: Kept,
    program: PathBuf,
}

/// Puts another copy where the program is, as a package manager would.
fn install(program: &Path) {
    let new = program.with_extension("new");
    // By another process: what this one has open for writing, the children of other tests have for a
    // moment too, and a program that anybody may write cannot be run.
    assert_eq!(run(Command::new("cp").arg(binary()).arg(&new)).code, Some(0), "there is room for a copy");
    fs::rename(new, program).expect("the folder is ours");
}

impl Upgradable {
    fn new() -> Self {
        let site = Site::new("");
        let program = site.folder.join("unary");
        install(&program);
        let server = site.start().binary(&program).start();
        Self { kept: Kept { server, site }, program }
    }

    /// Whether a process runs the file that is there now.
    fn is_new(&self, pid: i32) -> bool {
        fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == self.program)
    }
}

#[test]
fn an_upgrade_under_load_fails_nobody() {
    let _alone = alone();
    let Upgradable { kept, program } = Upgradable::new();
    let wrong = Load::during(kept.server.address(), 3, |load| {
        for _ in 0..4 {
            load.wait_for(50);
            install(&program);
            kept.site.tell_well("upgrade");
            load.wait_for(50);
        }
    });
    assert_eq!(wrong, (0, 0));
}

#[test]
fn server_and_keeper_become_the_program_that_is_there() {
    let upgradable = Upgradable::new();
    let kept = &upgradable.kept;
    let (keeper, before) = (kept.server.pid() as i32, kept.server_pid());
    install(&upgradable.program);
    assert!(!upgradable.is_new(keeper) && !upgradable.is_new(before));
    kept.site.tell_well("upgrade");
    let after = kept.wait_for_other_than(before);
    assert!(upgradable.is_new(keeper) && upgradable.is_new(after));
    // The new keeper keeps: it starts servers anew, reloads, and upgrades in its turn.
    signal(after, Signal::KILL);
    kept.serves();
    kept.site.tell_well("reload");
    let before = kept.wait_for_other_than(after);
    kept.server.signal(Signal::USR2);
    kept.wait_for_other_than(before);
    kept.serves();
}

#[test]
fn the_old_server_finishes_what_runs() {
    let Upgradable { kept, .. } = Upgradable::new();
    kept.site.folder.write("public/big", vec![b'b'; 32 << 20]);
    let before = kept.server_pid();
    let mut download = Client::connect(&kept.server);
    download.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    assert_eq!(download.head().expect("it answers").status, 200);
    kept.site.tell_well("upgrade");
    assert_ne!(kept.server_pid(), before);
    kept.serves();
    assert_eq!(download.take(32 << 20).expect("all of it comes").len(), 32 << 20);
    assert_eq!(download.rest().expect("it is closed then"), b"");
    eventually("the old server ends", || kept.server.children().len() == 1);
}

#[test]
fn a_program_that_does_not_come_up_changes_nothing() {
    let mut upgradable = Upgradable::new();
    let before = upgradable.kept.server_pid();
    let broken = |program: &Path, text: &str| {
        let new = program.with_extension("new");
        fs::write(&new, text).expect("the folder is ours");
        fs::set_permissions(&new, PermissionsExt::from_mode(0o755)).expect("it is ours");
        fs::rename(new, program).expect("the folder is ours");
    };
    let check = |why: &str| {
        let kept = &upgradable.kept;
        let ran = kept.site.tell("upgrade");
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
        kept.serves();
        eventually("the old server is alone", || kept.server.children() == [before]);
    };
    broken(&upgradable.program, "#!/bin/sh\nexit 3\n");
    check("the new server did not come up; the one before serves on");
    broken(&upgradable.program, "\x7fELF no program");
    check("cannot start a server");
    fs::remove_file(&upgradable.program).expect("it is ours");
    check("cannot start a server");
    // A program that serves is the way out.
    install(&upgradable.program);
    upgradable.kept.site.tell_well("upgrade");
    upgradable.kept.serves();
    upgradable.kept.server.signal(Signal::TERM);
    assert_eq!(upgradable.kept.server.ended(PATIENCE).code(), Some(0));
}
