//! Sockets that a service manager opened: they are listened on, and are never ours to close.

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use unary_e2e::server::Signal;
use unary_e2e::{Client, PATIENCE, wait};

use super::kept::{Kept, Site, signal};

/// What systemd does: the socket is descriptor 3, and the variables say so to this process alone.
const PASS_ON: &str = "exec 3<&0 </dev/null\nexport LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web";

#[test]
fn a_given_socket_is_listened_on() {
    let given = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = given.local_addr().expect("it is bound");
    let site = Site::new("");
    site.configure(&format!("listen \"{address}\""));
    // Queued before anything runs.
    let mut early = Client::try_connect_to(address).expect("it listens already");
    early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("there is room for it");
    let start = site.start().after(PASS_ON).stdin(OwnedFd::from(given.try_clone().expect("a copy")));
    let mut kept = Kept { server: start.start(), site };
    assert_eq!(early.reply().expect("it is answered").text(), "a page");
    assert_eq!(kept.server.addresses(), [format!("http://{address}")]);
    kept.serves();
    // It survives both the server and an upgrade.
    signal(kept.server_pid(), Signal::KILL);
    kept.serves();
    kept.site.tell_well("upgrade");
    kept.serves();
    // And its server gets nothing of the variables.
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", kept.server_pid())).expect("it runs");
    assert!(!environment.contains("LISTEN_"), "{environment}");
    kept.server.signal(Signal::TERM);
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
    Client::try_connect_to(address).expect("the socket is still the service manager's");
}

#[test]
fn a_given_socket_may_be_left_and_taken_up_again() {
    let given = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = given.local_addr().expect("it is bound");
    let (other, both) = ("listen \"127.0.0.1:0\"", format!("listen \"127.0.0.1:0\" \"{address}\""));
    let site = Site::new("");
    site.configure(&format!("listen \"{address}\""));
    // As under a service manager, which keeps it open.
    let start = site.start().after(PASS_ON).stdin(OwnedFd::from(given.try_clone().expect("a copy")));
    let kept = Kept { server: start.start(), site };
    for upgrade in [false, true] {
        kept.site.configure(other);
        kept.site.tell_well("reload");
        if upgrade {
            kept.site.tell_well("upgrade");
        }
        kept.site.configure(&both);
        kept.site.tell_well("reload");
        let mut client = Client::try_connect_to(address).expect("it listens");
        assert_eq!(client.get("/").text(), "a page");
    }
}

#[test]
fn a_given_socket_that_nobody_wants_is_said() {
    let given = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = given.local_addr().expect("it is bound");
    let site = Site::new("");
    let start = site.start().after(PASS_ON).stdin(OwnedFd::from(given));
    let kept = Kept { server: start.start(), site };
    let says = |line: &str| line.contains(&format!("gave a socket at {address}, where the config does not listen"));
    assert!(kept.server.stderr().wait_for(wait::PATIENCE, says).is_some(), "{:?}", kept.server.stderr().lines());
    kept.serves();
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let given = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let site = Site::new("");
    let pass_on = "exec 3<&0 </dev/null\nexport LISTEN_PID=1 LISTEN_FDS=1";
    let kept = Kept { server: site.start().after(pass_on).stdin(OwnedFd::from(given)).start(), site };
    kept.serves();
    assert!(!kept.server.stderr().lines().iter().any(|line| line.contains("gave a socket")));
}
