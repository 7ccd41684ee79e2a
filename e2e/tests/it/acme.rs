//! `tls auto` of the real binary, with Pebble as the CA: from nothing to a certificate, and killed on the way.

mod demand;
mod killed;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use unary_e2e::pebble::{self, Pebble, Ports};
use unary_e2e::server::Signal;
use unary_e2e::wait::pause;
use unary_e2e::{PATIENCE, Ran, Server, Start, eventually, eventually_within, run, run_config};
use unary_testkit::TempDir;

/// A folder for a CA, and for a server that may ask it. `None` where there is no Pebble: then the test is skipped.
fn folder(test: &str) -> Option<(TempDir, Ports)> {
    if !pebble::has_pebble(test) {
        return None;
    }
    let folder = TempDir::new();
    pebble::write_certificate(&folder);
    Some((folder, Ports::free()))
}

/// Writes a config that says this besides of the CA, and of sites.
fn write_config(folder: &TempDir, ports: Ports, acme: &str, sites: &str) {
    let Ports { http, tls, ca, .. } = ports;
    let at = folder.path().display();
    let server = format!(
        r#"server {{
            listen "127.0.0.1:{http}"; listen "127.0.0.1:{tls}" tls=#true; threads 2
            state "{at}/state"; admin "unix:{at}/admin.sock"
            acme {{ ca "https://localhost:{ca}/dir"; root "ca.pem"; {acme}; }}
        }}
        "#
    );
    folder.write("unary.kdl", server + sites);
}

/// A folder with a config of one site, and a CA that it may ask.
pub(super) struct Site {
    pub(super) folder: TempDir,
    pub(super) ports: Ports,
}

impl Site {
    pub(super) fn new(name: &str) -> Option<Self> {
        let (folder, ports) = folder(name)?;
        let sites = r#"site "a.example" "www.a.example" { tls auto; route { respond "the site" } }"#;
        write_config(&folder, ports, r#"email "me@example.com""#, sites);
        Some(Self { folder, ports })
    }

    pub(super) fn about_to_start(&self) -> Start {
        run_config(self.folder.join("unary.kdl"), 2)
    }

    fn start(&self) -> Server {
        self.about_to_start().start()
    }

    pub(super) fn curl(&self, root: &Path) -> Ran {
        let tls = self.ports.tls;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--resolve", &format!("www.a.example:{tls}:127.0.0.1"), "--cacert"]).arg(root);
        run(curl.arg(format!("https://www.a.example:{tls}/")))
    }

    /// How often a certificate was asked for.
    pub(super) fn orders(&self) -> usize {
        let orders = fs::read(self.folder.join("state/acme/orders.json")).unwrap_or_else(|_| b"[]".to_vec());
        serde_json::from_slice::<Vec<u64>>(&orders).expect("it is whole at any moment").len()
    }
}

#[test]
fn a_site_gets_its_certificate_by_itself_and_keeps_it() {
    let Some(site) = Site::new("a_site_gets_its_certificate_by_itself_and_keeps_it") else { return };
    let pebble = Pebble::start(&site.folder, site.ports, 3600);
    let root = pebble.root(&site.folder);
    let mut server = site.start();
    eventually("it has a certificate", || site.curl(&root).stdout == "the site");
    let http = site.ports.http;
    let plain = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: a.example"]);
        run(curl.arg(format!("http://127.0.0.1:{http}{path}"))).stdout
    };
    assert!(plain("/x").starts_with("308 https://a.example"), "{}", plain("/x"));
    drop(pebble);
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    let _server = site.start();
    assert_eq!(site.curl(&root).stdout, "the site", "it is on disk");
    assert_eq!(site.orders(), 1);
}

#[test]
fn a_server_killed_at_any_moment_of_an_order_goes_on() {
    let Some(site) = Site::new("a_server_killed_at_any_moment_of_an_order_goes_on") else { return };
    let pebble = Pebble::start(&site.folder, site.ports, 3600);
    let root = pebble.root(&site.folder);
    let server = site.start();
    // The keeper starts another each time.
    for moment_ms in [0, 5, 15, 30, 60, 120, 250, 500] {
        let before = server.children();
        pause(Duration::from_millis(moment_ms));
        for child in &before {
            let pid = rustix::process::Pid::from_raw(*child).expect("a process has a number");
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        eventually("another server", || server.children().iter().any(|child| !before.contains(child)));
    }
    // Pebble rejects at random, and after a failure the next attempt is a minute away.
    eventually_within(Duration::from_secs(180), "it has a certificate", || site.curl(&root).stdout == "the site");
    assert!(site.orders() <= 9, "{}", site.orders());
}
