//! Who may what: the server nothing, others nothing at the admin socket, a second keeper nothing at all.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use unary_e2e::{Client, run, skip};

use super::kept::{Kept, Site};

/// Lines of `/proc/PID/status`.
#[track_caller]
fn check_status(pid: i32, expected: &[(&str, &str)]) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    for (name, value) in expected {
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let found = found.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(found.as_deref(), Some(*value), "{name}");
    }
}

#[test]
fn a_server_has_no_privileges() {
    if !rustix::process::geteuid().is_root() {
        return skip("a_server_has_no_privileges", "root's rights, which alone can be dropped");
    }
    let site = Site::new("user \"nobody\"");
    // All that is not root's business to hide from them.
    for folder in site.folder.path().ancestors().take(1) {
        fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("it is ours");
    }
    let kept = Kept { server: site.start().start(), site };
    kept.serves();
    let none = "0000000000000000";
    let (nobody, group) = (65_534.to_string(), fs::metadata(kept.site.folder.join("state")).expect("it was made"));
    assert_eq!((group.uid().to_string(), group.mode() & 0o777), (nobody.clone(), 0o700));
    let (ids, groups) = (vec![nobody.clone(); 4].join(" "), nobody);
    let caps = [("CapEff", none), ("CapPrm", none), ("CapInh", none), ("CapAmb", none)];
    check_status(kept.server_pid(), &[("Uid", &ids), ("Gid", &ids), ("Groups", &groups), ("NoNewPrivs", "1")]);
    check_status(kept.server_pid(), &caps);
    // The keeper keeps its own: it opens privileged ports, and starts the next.
    check_status(kept.server.pid() as i32, &[("Uid", "0 0 0 0"), ("NoNewPrivs", "0"), ("Threads", "1")]);
    kept.site.tell_well("upgrade");
    check_status(kept.server_pid(), &[("Uid", &ids), ("NoNewPrivs", "1")]);
    kept.serves();
    // A privileged port is opened while the server runs, which may not do that itself.
    let port = "127.0.0.93:93".parse().expect("it is an address");
    kept.site.configure(&format!("user \"nobody\"\nlisten \"127.0.0.1:0\" \"{port}\""));
    kept.site.tell_well("reload");
    assert_eq!(Client::try_connect_to(port).expect("it listens").get("/").text(), "a page");
}

#[test]
fn the_state_folder_is_the_servers() {
    if !rustix::process::geteuid().is_root() {
        return skip("the_state_folder_is_the_servers", "root's rights, which alone can give folders away");
    }
    let site = Site::new("user \"nobody\"");
    fs::set_permissions(site.folder.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    // Without a word on the admin socket: it is not in a folder that is the server's.
    let text = fs::read_to_string(site.config()).expect("it was written");
    let lines = text.lines().filter(|line| !line.starts_with("admin"));
    site.folder.write("unary.kdl", lines.collect::<Vec<_>>().join("\n"));
    site.folder.folder("run");
    let (state, lock) = (site.folder.join("state"), site.folder.join("run/unary.sock.lock"));
    let owner = || {
        let about = fs::metadata(&state).expect("it was made");
        (about.uid(), about.mode() & 0o777)
    };
    let start = || site.start().environment("XDG_RUNTIME_DIR", site.folder.join("run").display().to_string());
    drop(start().start());
    assert_eq!(owner(), (65_534, 0o700));
    assert!(site.folder.join("run/unary.sock").exists() && !state.join("unary.sock").exists());
    assert_eq!(fs::metadata(&lock).expect("the keeper left it").mode() & 0o777, 0o600);
    fs::remove_dir_all(&state).expect("it is ours");
    // As a package makes it, or a service manager.
    fs::create_dir(&state).expect("it is ours");
    fs::set_permissions(&state, PermissionsExt::from_mode(0o755)).expect("it is ours");
    drop(start().start());
    assert_eq!(owner(), (65_534, 0o700));
    // What has something in it is nobody else's to give away.
    fs::write(state.join("something"), "").expect("it is ours");
    std::os::unix::fs::chown(&state, Some(0), Some(0)).expect("it is ours");
    let server = start().start();
    assert_eq!(owner().0, 0);
    assert!(
        server.stderr().lines().iter().any(|line| line.contains("chown -R nobody")),
        "{:?}",
        server.stderr().lines()
    );
    drop(server);
    // Nobody leads the keeper elsewhere, or makes it wait.
    let check_refused = || {
        let ran = run(&mut start().command());
        assert!(ran.code == Some(1) && ran.stderr.contains("unary.sock.lock"), "{ran:?}");
        fs::remove_file(&lock).expect("it is ours");
    };
    fs::remove_file(&lock).expect("the keeper left it");
    std::os::unix::fs::symlink(site.folder.join("made"), &lock).expect("it is ours");
    check_refused();
    assert!(!site.folder.join("made").exists());
    let made = std::process::Command::new("mkfifo").arg(&lock).status();
    assert!(made.is_ok_and(|status| status.success()));
    check_refused();
}

#[test]
fn the_admin_socket_is_where_the_service_manager_makes_room_for_it() {
    let site = Site::new("");
    let text = fs::read_to_string(site.config()).expect("it was written");
    let lines = text.lines().filter(|line| !line.starts_with("admin"));
    site.folder.write("unary.kdl", lines.collect::<Vec<_>>().join("\n"));
    site.folder.folder("run");
    let runtime = site.folder.join("run").display().to_string();
    let server = site.start().environment("RUNTIME_DIRECTORY", &runtime).start();
    assert!(site.folder.join("run/unary.sock").exists());
    drop(server);
    let _server = site.start().environment("RUNTIME_DIRECTORY", "").start();
    assert!(site.folder.join("state/unary.sock").exists());
    site.tell_well("reload");
}

#[test]
fn a_server_gains_none_either_way() {
    let kept = Kept::new("");
    check_status(kept.server_pid(), &[("NoNewPrivs", "1")]);
}

#[test]
fn a_user_who_is_not_there_is_said() {
    let site = Site::new("user \"nobody-of-that-name\"");
    let ran = run(&mut site.start().command());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("there is nobody of that name"), "{}", ran.stderr);
}

#[test]
fn the_admin_socket_is_its_owners() {
    let kept = Kept::new("");
    let about = fs::metadata(kept.site.folder.join("admin.sock")).expect("it listens");
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_keeper_is_refused_and_the_first_unharmed() {
    let kept = Kept::new("");
    let ran = run(&mut kept.site.start().command());
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("another keeper runs with the admin socket"), "{}", ran.stderr);
    kept.serves();
    kept.site.tell_well("reload");
}

#[test]
fn what_cannot_be_served_is_said_before_anything_listens() {
    let check = |site: &Site, code: i32, said: &str| {
        let ran = run(&mut site.start().command());
        assert_eq!(ran.code, Some(code), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(!ran.stderr.contains("listening on"), "{}", ran.stderr);
    };
    let site = Site::new("listen \"nowhere\"");
    check(&site, 2, "`nowhere` is not an address to listen on");
    site.write_config("listen \"127.0.0.1:0\"", "none");
    check(&site, 2, "none");
    fs::remove_file(site.config()).expect("it is ours");
    check(&site, 2, "there is no config");
}

#[test]
fn nobody_starts_a_server_process_by_hand() {
    let mut command = std::process::Command::new(unary_e2e::server::binary());
    let ran = run(command.arg("server-process"));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("no keeper started this process"), "{}", ran.stderr);
}

#[test]
fn a_unix_socket_is_kept_like_any_other() {
    let site = Site::new("");
    let path = site.folder.join("site.sock");
    site.configure(&format!("listen \"127.0.0.1:0\" \"unix:{}\"", path.display()));
    let mut server = unary_e2e::run_config(site.config(), 2).start();
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("it reads");
        std::io::read_to_string(stream).expect("it answers")
    };
    assert!(ask().ends_with("a page"));
    super::kept::signal(server.children()[0], unary_e2e::server::Signal::KILL);
    assert!(ask().ends_with("a page"));
    assert_eq!(Client::connect(&server).get("/").text(), "a page");
    server.signal(unary_e2e::server::Signal::TERM);
    assert_eq!(server.ended(unary_e2e::PATIENCE).code(), Some(0));
    assert!(!Path::new(&path).exists());
}
