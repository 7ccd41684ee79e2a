//! Servers and keepers that are killed while certificates are ordered, renewed and written: the next goes on,
//! and nothing that was kept is ever broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use unary_e2e::pebble::Pebble;
use unary_e2e::server::Signal;
use unary_e2e::wait::pause;
use unary_e2e::{PATIENCE, Server, alone, eventually, eventually_within};

use super::Site;

/// How long certificates are valid, in seconds: they are renewed after two thirds of that, all the time.
const VALID_SECONDS: u64 = 6;

/// How often a server is killed, and how long after something was written, in thousandths.
const MOMENTS_MS: [u64; 16] = [0, 0, 0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 300];

/// How long it is waited for something to be written, before it is killed all the same.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(3);

impl Site {
    fn state(&self) -> PathBuf {
        self.folder.join("state/acme")
    }

    /// All files of the state, and when each was changed.
    fn files(&self) -> Vec<(PathBuf, Option<std::time::SystemTime>)> {
        let mut files = Vec::new();
        for folder in ["", "accounts", "certificates", "sites"] {
            let entries = fs::read_dir(self.state().join(folder)).into_iter().flatten().flatten();
            let files_in = entries.map(|entry| entry.path()).filter(|path| path.is_file());
            files.extend(
                files_in.map(|path| (path.clone(), fs::metadata(path).and_then(|about| about.modified()).ok())),
            );
        }
        files.sort();
        files
    }

    fn wait_for_a_write(&self) {
        let (before, began) = (self.files(), Instant::now());
        while self.files() == before && began.elapsed() < WRITE_WAIT_MAX {
            pause(Duration::from_micros(200));
        }
    }

    /// Whatever has its name is whole. What is being written has another.
    #[track_caller]
    fn is_whole(&self) {
        for (path, _) in self.files().into_iter().filter(|(path, _)| !is_unfinished(path)) {
            let Ok(text) = fs::read_to_string(&path) else { continue }; // It was unfinished, and is gone.
            let shown = path.display();
            match path.extension().and_then(|kind| kind.to_str()) {
                Some("json") => drop(serde_json::from_str::<serde_json::Value>(&text).expect("it is JSON")),
                Some("pem") => {
                    let is_key = rcgen::KeyPair::from_pem(&text).is_ok();
                    assert!(is_key && text.trim_end().ends_with("-----END CERTIFICATE-----"), "{shown}: {text}");
                }
                _ => assert_eq!(text, "", "{shown}"),
            }
        }
    }

    fn unfinished(&self) -> usize {
        self.files().iter().filter(|(path, _)| is_unfinished(path)).count()
    }

    /// The serial number, so to speak, of the certificate on disk.
    fn certificate(&self) -> String {
        let files = self.files().into_iter().map(|(path, _)| path);
        files
            .filter(|path| path.starts_with(self.state().join("certificates")))
            .map(|path| fs::read_to_string(path).unwrap_or_default())
            .collect()
    }

    fn is_renewed(&self) {
        let before = self.certificate();
        // After a failure the next attempt is a minute away, and more after the next.
        eventually_within(Duration::from_secs(240), "it is renewed", || {
            !self.certificate().is_empty() && self.certificate() != before
        });
    }
}

fn is_unfinished(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "new")
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process has a number");
    let _ = rustix::process::kill_process(pid, Signal::KILL);
}

fn kill_servers(server: &Server) {
    let before = server.children();
    before.iter().for_each(|child| kill(*child));
    eventually("another server", || server.children().iter().any(|child| !before.contains(child)));
}

#[test]
fn whatever_is_killed_while_it_writes_the_next_goes_on() {
    let _alone = alone();
    let Some(site) = Site::new("whatever_is_killed_while_it_writes_the_next_goes_on") else { return };
    let pebble = Pebble::start(&site.folder, site.ports, VALID_SECONDS);
    let root = pebble.root(&site.folder);
    let config = fs::read_to_string(site.folder.join("unary.kdl")).expect("it was written");
    site.folder.write("unary.kdl", config.replace("acme {", "acme { orders \"1000/h\";"));
    let mut server = site.start();
    for moment in MOMENTS_MS {
        site.wait_for_a_write();
        pause(Duration::from_millis(moment));
        kill_servers(&server);
        site.is_whole();
    }
    for moment in [0, 2, 20] {
        site.wait_for_a_write();
        pause(Duration::from_millis(moment));
        server.signal(Signal::KILL); // The keeper; its server goes when it has noticed.
        assert!(server.ended(PATIENCE).code().is_none());
        site.is_whole();
        server = site.start();
    }
    site.is_renewed();
    eventually("it serves", || site.curl(&root).stdout == "the site");
    site.is_whole();
    // Nothing is left of what was killed, but for what is being written now.
    eventually("all that was left unfinished is gone", || site.unfinished() == 0);
    // One for each that was killed before it had noted what it had ordered, and one for each life.
    assert!(site.orders() < 150, "{}", site.orders());
}
