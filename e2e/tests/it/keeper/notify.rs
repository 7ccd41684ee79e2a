//! What the service manager is told: sd_notify(3).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use unary_e2e::server::Signal;
use unary_e2e::{PATIENCE, Start};

use super::kept::{Kept, Site};

/// A service manager that listens.
struct Manager {
    name: String,
    socket: UnixDatagram,
}

impl Manager {
    fn new(name: &str) -> Self {
        let name = format!("unary-keeper-{name}-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("it is a name");
        let socket = UnixDatagram::bind_addr(&address).expect("the name is free");
        socket.set_read_timeout(Some(PATIENCE)).expect("it is ours");
        Self { name, socket }
    }

    fn start(&self, start: Start) -> Start {
        start.environment("NOTIFY_SOCKET", format!("@{}", self.name))
    }

    /// The next thing it is told, but for signs of life.
    #[track_caller]
    fn hears(&self) -> String {
        loop {
            let message = self.hears_anything();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    #[track_caller]
    fn hears_anything(&self) -> String {
        let mut message = [0; 512];
        let length = self.socket.recv(&mut message).expect("it is told something");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

#[test]
fn it_is_told_of_all_that_happens() {
    let manager = Manager::new("all");
    let site = Site::new("drain timeout=\"5m\"");
    let mut kept = Kept { server: manager.start(site.start()).start(), site };
    let ready = format!("READY=1\nMAINPID={}", kept.server.pid());
    assert_eq!(manager.hears(), ready);
    kept.server.signal(Signal::HUP);
    let reloading = manager.hears();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|since| since.parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{reloading}");
    assert_eq!(manager.hears(), ready);
    // Also when a reload comes to nothing.
    kept.site.configure("listen \"nowhere\"");
    kept.server.signal(Signal::HUP);
    assert!(manager.hears().starts_with("RELOADING=1\n"));
    assert_eq!(manager.hears(), ready);
    // The server may not speak for the keeper.
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", kept.server_pid())).expect("it runs");
    assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
    kept.server.signal(Signal::TERM);
    // And of how long it may take: `drain timeout=`, and two seconds for ending.
    assert_eq!(manager.hears(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=302000000");
    assert_eq!(kept.server.ended(PATIENCE).code(), Some(0));
}

#[test]
fn it_hears_that_the_server_lives_if_it_wants_to() {
    let manager = Manager::new("watchdog");
    let site = Site::new("");
    let _server = manager.start(site.start()).environment("WATCHDOG_USEC", "5000000").start();
    assert!(manager.hears_anything().starts_with("READY=1"));
    assert_eq!(manager.hears_anything(), "WATCHDOG=1");
    assert_eq!(manager.hears_anything(), "WATCHDOG=1");
}
