//! Starting: what is said, to whom, and with which exit code.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;

use unary_e2e::server::{Signal, binary};
use unary_e2e::{Client, PATIENCE, Ran, has, run, serve, skip};
use unary_testkit::TempDir;

use crate::example_site;

fn unary(arguments: &[&str]) -> Ran {
    run(Command::new(binary()).args(arguments))
}

/// Runs it with these arguments, which it refuses at once, in these words.
#[track_caller]
fn check(arguments: &[&str], code: i32, said: &str) {
    let ran = unary(arguments);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{arguments:?}: {}", ran.stderr);
    assert!(ran.stderr.contains(said), "{arguments:?}:\n{}", ran.stderr);
    assert_eq!(ran.stderr.matches("error").count(), 1, "{}", ran.stderr);
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2() {
    let folder = TempDir::with([("file.txt", ""), ("Procfile", "web: x"), ("run.sh", "#!/bin/sh\n")]);
    let path = |name: &str| folder.join(name).display().to_string();
    check(&["serve", &path("none")], 2, "there is no folder");
    check(&["serve", &path("file.txt")], 2, "is no folder. Name the folder it is in");
    check(&["serve", &path("run.sh")], 2, "is a program that nobody may execute. Allow it: chmod +x");
    check(&["serve", &path("Procfile")], 2, "is a Procfile. Running one is not built yet");
    check(&["serve", "--listen", "8080"], 2, "`8080` is no address. Write host:port, :port or unix:/path");
    check(&["serve", "--listen", "::1:80"], 2, "is no address");
    check(&["serve", "--threads", "0"], 2, "0 is not in 1..=1024");
    check(&["serve", "--threads", "many"], 2, "invalid value 'many' for '--threads <N>'");
    check(&["serve", "--thread", "1"], 2, "a similar argument exists: '--threads'");
    check(&["serv"], 2, "'serve'");
}

#[test]
fn a_keeper_that_is_not_there_is_missed() {
    for command in ["status", "reload", "stop"] {
        check(&[command, "--admin", "unix:/nowhere/unary.sock"], 1, "Is `unary run` running, with this config?");
    }
}

#[test]
fn help_shows_examples_and_the_version_is_known() {
    let help = unary(&["serve", "--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.stdout.contains("unary serve ./public --listen :8080"), "{}", help.stdout);
    assert_eq!(unary(&["--version"]).stdout, format!("unary {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_taken_port_is_said_and_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let site = example_site().display().to_string();
    let expected = format!(
        "error: cannot listen on {address}: another program listens there. Stop it, or choose another address with \
         --listen\n"
    );
    check(&["serve", &site, "--listen", &address], 1, &expected);
    // One address that is taken is one too many.
    check(&["serve", &site, "--listen", "127.0.0.1:0", "--listen", &address], 1, &expected);
}

#[test]
fn an_address_of_another_machine_is_said() {
    let site = example_site().display().to_string();
    check(&["serve", &site, "--listen", "192.0.2.77:80"], 1, "this machine has no such address");
    check(&["serve", &site, "--listen", "unix:/no/such/folder/a.sock"], 1, "No such file or directory");
    check(&["serve", &site, "--listen", "no..host:80"], 2, "no address is known of a host `no..host`");
}

#[test]
fn a_forbidden_port_is_said_and_what_to_do() {
    let name = "start::a_forbidden_port_is_said_and_what_to_do";
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first_free.trim().parse::<u16>().is_ok_and(|first| first <= 1) {
        return skip(name, "this machine forbids no port");
    }
    let site = TempDir::with([("index.html", "")]);
    std::fs::set_permissions(site.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let Some(mut command) = without_rights(name, &site) else { return };
    let ran = run(command.arg("serve").arg(site.path()).args(["--listen", "127.0.0.1:1"]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let expected = "error: cannot listen on 127.0.0.1:1: permission denied. Run as root, or allow it: setcap";
    assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
}

#[test]
fn a_folder_that_may_not_be_read_is_said() {
    let site = TempDir::with([("shut/index.html", ""), ("unread/a.txt", "")]);
    let allow =
        |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("it is ours");
    allow(site.path(), 0o755);
    allow(&site.join("shut"), 0o600);
    allow(&site.join("unread"), 0o311);
    for folder in ["shut", "unread"] {
        let folder = site.join(folder);
        let Some(mut command) = without_rights("start::a_folder_that_may_not_be_read_is_said", &site) else { return };
        let ran = run(command.arg("serve").arg(&folder).args(["--listen", "127.0.0.1:0"]));
        let why = "Permission denied. This user may not read it";
        let expected = format!("error: cannot open {}: {why}\n", folder.display());
        assert_eq!((ran.code, ran.stderr), (Some(2), expected));
        allow(&folder, 0o755); // So that it can be removed.
    }
}

/// The program as it is run by who has no special rights. `None` if the test `name` is skipped, for
/// it cannot be. A copy of it may have to be put into `folder`.
fn without_rights(name: &str, folder: &TempDir) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(Command::new(binary()));
    }
    if !has(name, "setpriv") {
        return None;
    }
    // Nobody may run what is in root's own folder.
    let copy = folder.join("unary");
    std::fs::copy(binary(), &copy).expect("it can be copied");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"]).arg(copy);
    Some(command)
}

#[test]
fn each_address_is_said_once_it_listens() {
    let folder = TempDir::new();
    let socket = format!("unix:{}", folder.join("a.sock").display());
    let server = serve(example_site()).listen("127.0.0.1:0").listen("localhost:0").listen(&socket).start();
    let [numbered, named, unix] = server.addresses() else { panic!("{:?}", server.addresses()) };
    assert!(numbered.starts_with("http://127.0.0.1:"), "{numbered}");
    assert!(named.starts_with("http://127.0.0.1:") || named.starts_with("http://[::1]:"), "{named}");
    assert_eq!(*unix, socket);
    assert_eq!(server.stderr().lines().len(), 3, "and nothing else: {:?}", server.stderr().lines());
    assert_eq!(Client::connect(&server).get("/").head.status, 200);
}

#[test]
fn the_service_manager_is_told() {
    let folder = TempDir::new();
    let path = folder.join("notify");
    let abstract_name = format!("unary-e2e-{}", std::process::id());
    let named = UnixDatagram::bind(&path).expect("it can be bound");
    let address = SocketAddr::from_abstract_name(&abstract_name).expect("it is short");
    let hidden = UnixDatagram::bind_addr(&address).expect("it can be bound");
    for (socket, name) in [(named, path.display().to_string()), (hidden, format!("@{abstract_name}"))] {
        socket.set_read_timeout(Some(PATIENCE)).expect("time-outs can be set");
        let mut server = serve(example_site()).environment("NOTIFY_SOCKET", &name).start();
        let mut told = [0; 64];
        let length = socket.recv(&mut told).expect("it tells");
        assert_eq!(&told[..length], b"READY=1", "{name}");
        server.signal(Signal::TERM);
        let length = socket.recv(&mut told).expect("it tells");
        assert_eq!(&told[..length], b"STOPPING=1", "{name}");
        assert!(server.ended(PATIENCE).success());
    }
}

#[test]
fn as_many_threads_as_told_serve() {
    let server = serve(example_site()).argument("--threads").argument("3").start();
    let loops = |server: &unary_e2e::Server| server.threads().iter().filter(|name| name.starts_with("loop-")).count();
    assert_eq!(loops(&server), 2, "the first loop is the main thread: {:?}", server.threads());
    for _ in 0..20 {
        assert_eq!(Client::connect(&server).get("/").head.status, 200);
    }
    let alone = serve(example_site()).argument("--threads=1").start();
    assert_eq!(loops(&alone), 0);
    assert_eq!(Client::connect(&alone).get("/").head.status, 200);
}
