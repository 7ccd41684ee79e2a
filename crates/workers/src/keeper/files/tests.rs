use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::thread;

use unary_testkit::TempDir;

use super::*;

/// What comes of asking for a file of this folder, all of which the config names.
#[track_caller]
fn check(folder: &TempDir, name: &str, expected: Result<&str, &str>) {
    let opened = open(&folder.join(name)).map(|mut file| {
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        text
    });
    match (opened, expected) {
        (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{name}"),
        (Err(why), Err(expected)) => assert!(why.contains(expected), "{name}: {why}"),
        (opened, _) => panic!("{name}: {opened:?}"),
    }
}

fn set_mode(folder: &TempDir, name: &str, mode: u32) {
    fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn follows_links_through_folders_that_are_ours() {
    let folder = TempDir::with([("archive/a1.key", "first"), ("archive/a2.key", "second")]);
    folder.folder("live/a");
    symlink("../../archive/a2.key", folder.join("live/a/key")).unwrap();
    symlink(folder.join("live/a"), folder.join("now")).unwrap();
    check(&folder, "archive/a1.key", Ok("first"));
    check(&folder, "live/a/key", Ok("second"));
    check(&folder, "now/./../a/key", Ok("second"));
    symlink("round", folder.join("round")).unwrap();
    check(&folder, "round", Err("too many links"));
    check(&folder, "none", Err("No such file"));
    check(&folder, "archive", Err("it is no file"));
}

#[test]
fn opens_nothing_that_others_could_have_put_there() {
    let folder = TempDir::with([("open/a.key", "a"), ("ours/b.key", "b")]);
    set_mode(&folder, "open", 0o777);
    check(&folder, "open/a.key", Err("others than root may write to"));
    symlink(folder.join("open/a.key"), folder.join("ours/a.key")).unwrap();
    check(&folder, "ours/a.key", Err("others than root may write to"));
    // As in /tmp: others may add to it, and not replace what is ours.
    set_mode(&folder, "open", 0o1777);
    check(&folder, "open/a.key", Ok("a"));
    if !rustix::process::geteuid().is_root() {
        return;
    }
    const NOBODY: Option<u32> = Some(65_534);
    chown(folder.join("open/a.key"), NOBODY, NOBODY).unwrap();
    check(&folder, "open/a.key", Err("is not root's"));
    chown(folder.join("ours"), NOBODY, NOBODY).unwrap();
    check(&folder, "ours/b.key", Err("is not root's"));
    symlink(folder.join("ours/b.key"), folder.join("link")).unwrap();
    std::os::unix::fs::lchown(folder.join("link"), NOBODY, NOBODY).unwrap();
    check(&folder, "link", Err("is not root's"));
}

#[test]
fn a_pipe_holds_nobody_up() {
    let folder = TempDir::new();
    let made = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status();
    if made.is_ok_and(|made| made.success()) {
        check(&folder, "pipe", Err("it is no file"));
    }
}

#[test]
fn a_server_gets_what_the_config_names_and_nothing_else() {
    let folder = TempDir::with([("a.key", "a"), ("b.key", "b")]);
    let (ours, theirs) = Channel::pair().unwrap();
    let named = folder.join("a.key");
    let answering = thread::spawn(move || {
        while answer(&ours, |path| path == named) {
            thread::yield_now();
        }
    });
    // An answer that nobody waits for any more is passed over.
    theirs.send(folder.join("b.key").as_os_str().as_bytes(), &[]).unwrap();
    let mut text = String::new();
    ask(&theirs, &folder.join("a.key")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "a");
    for other in ["b.key", "../a.key", "a.key.old"] {
        let refused = ask(&theirs, &folder.join(other)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert!(refused.to_string().contains("the config does not name it"), "{other}: {refused}");
    }
    drop(theirs);
    answering.join().unwrap();
}

#[test]
fn what_is_no_question_ends_the_channel() {
    let (ours, theirs) = Channel::pair().unwrap();
    assert!(answer(&ours, |_| true));
    theirs.send(&[b'/'; PATH_BYTES_MAX + 1], &[]).unwrap();
    assert!(!answer(&ours, |_| true));
}

#[test]
fn without_a_keeper_a_server_opens_what_it_may() {
    let folder = TempDir::with([("a.key", "a")]);
    let files = Files::over(None).unwrap();
    files.open(&folder.join("a.key")).unwrap();
    assert_eq!(files.open(&folder.join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
}
