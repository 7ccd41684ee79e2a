//! Keys that only root can read, and a server that is not root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};
use unary_e2e::{PATIENCE, Ran, Server, eventually, has, run, run_config, skip};
use unary_testkit::TempDir;

const NOBODY: Option<u32> = Some(65_534);

/// A folder with two sites, whose keys are in a folder that only root may enter.
struct Site {
    folder: TempDir,
}

impl Site {
    /// `None` if this is not root, who alone can be somebody else.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(test, "root's rights, which alone can be dropped");
            return None;
        }
        if !has(test, "curl") {
            return None;
        }
        let folder = TempDir::new();
        set_mode(&folder, "", 0o755);
        folder.folder("keys");
        set_mode(&folder, "keys", 0o700);
        let at = folder.path().display();
        let config = format!(
            r#"server {{
                listen "127.0.0.1:0" tls=#true; user "nobody"; threads 2
                state "{at}/state"; admin "unix:{at}/admin.sock"
            }}
            site "a.example" {{ tls cert="keys/a.pem" key="keys/a.key"; route {{ respond "a" }} }}
            site "b.example" {{ tls cert="keys/b.pem" key="keys/b.key"; route {{ respond "b" }} }}
            site "c.example" {{ tls cert="keys/c.pem" key="keys/c.key" client-ca="keys/ca.pem"; route {{ respond "c" }} }}
            "#
        );
        folder.write("unary.kdl", config);
        let site = Self { folder };
        ["a", "b", "c", "ca"].into_iter().for_each(|name| site.issue(name));
        Some(site)
    }

    /// Writes a certificate, with a key that nobody else may read.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().expect("there are random numbers");
        let params = CertificateParams::new(vec![format!("{name}.example")]).expect("it is a name");
        self.folder.write(format!("keys/{name}.pem"), params.self_signed(&key).expect("it is signed").pem());
        self.folder.write(format!("keys/{name}.key"), key.serialize_pem());
        set_mode(&self.folder, &format!("keys/{name}.key"), 0o600);
    }

    fn start(&self) -> Server {
        run_config(self.folder.join("unary.kdl"), 1).start()
    }

    /// Asks a site, trusting the certificate that it has on disk now.
    fn curl(&self, server: &Server, name: &str) -> Ran {
        self.curl_as(server, name, None)
    }

    /// The same for somebody with a certificate.
    fn curl_as(&self, server: &Server, name: &str, who: Option<&str>) -> Ran {
        let port = server.address().port();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--resolve", &format!("{name}.example:{port}:127.0.0.1"), "--cacert"]);
        curl.arg(self.folder.join(format!("keys/{name}.pem")));
        if let Some(who) = who {
            curl.arg("--cert").arg(self.folder.join(format!("keys/{who}.pem")));
            curl.arg("--key").arg(self.folder.join(format!("keys/{who}.key")));
        }
        run(curl.arg(format!("https://{name}.example:{port}/")))
    }

    #[track_caller]
    fn serves(&self, server: &Server, name: &str) {
        let ran = self.curl(server, name);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), name), "{}", ran.stderr);
    }

    fn tell(&self, server: &Server, command: &str) -> Ran {
        let ran = run(Command::new(unary_e2e::server::binary())
            .arg(command)
            .arg("--config")
            .arg(self.folder.join("unary.kdl")));
        assert_eq!(ran.code, Some(0), "{command}: {}{:?}", ran.stderr, server.stderr().lines());
        ran
    }
}

fn set_mode(folder: &TempDir, name: &str, mode: u32) {
    fs::set_permissions(folder.join(name), PermissionsExt::from_mode(mode)).expect("it is ours");
}

#[test]
fn keys_of_root_are_opened_by_the_keeper() {
    let Some(site) = Site::new("keys_of_root_are_opened_by_the_keeper") else { return };
    let server = site.start();
    let is_nobodys = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        status.contains("Uid:\t65534\t65534\t65534\t65534")
    };
    assert!(server.children().iter().all(is_nobodys));
    site.serves(&server, "a");
    site.serves(&server, "b");
    assert_ne!(site.curl(&server, "c").code, Some(0), "it wants a client's certificate");
    let ran = site.curl_as(&server, "c", Some("ca"));
    assert_eq!(ran.stdout, "c", "{}", ran.stderr);
    // A certificate that is replaced is shown without anybody being told.
    site.issue("a");
    eventually("the new one is shown", || site.curl(&server, "a").stdout == "a");
    // And so it is by the servers that come after.
    site.tell(&server, "reload");
    site.serves(&server, "b");
    site.tell(&server, "upgrade");
    site.serves(&server, "a");
    site.issue("b");
    eventually("the new one is shown after an upgrade", || site.curl(&server, "b").stdout == "b");
    let before = server.children();
    super::kept::signal(before[0], unary_e2e::server::Signal::KILL);
    eventually("another server", || server.children().iter().any(|pid| !before.contains(pid)));
    site.serves(&server, "a");
    assert!(server.children().iter().all(is_nobodys));
}

#[test]
fn a_key_that_others_could_replace_is_not_opened_and_stops_its_own_site_alone() {
    let Some(site) = Site::new("a_key_that_others_could_replace_is_not_opened") else { return };
    // Whoever is nobody could let this lead to what is root's.
    site.folder.folder("theirs");
    chown(site.folder.join("theirs"), NOBODY, NOBODY).expect("root may");
    fs::rename(site.folder.join("keys/b.key"), site.folder.join("theirs/b.key")).expect("it is ours");
    symlink(site.folder.join("theirs/b.key"), site.folder.join("keys/b.key")).expect("it is ours");
    let mut server = site.start();
    site.serves(&server, "a");
    assert_ne!(site.curl(&server, "b").code, Some(0));
    let said = |line: &String| line.contains("the site b.example") && line.contains("is not root's");
    let lines = server.stderr().lines();
    assert!(lines.iter().any(said), "{lines:?}");
    fs::remove_file(site.folder.join("keys/b.key")).expect("it is ours");
    fs::rename(site.folder.join("theirs/b.key"), site.folder.join("keys/b.key")).expect("it is ours");
    site.tell(&server, "reload");
    site.serves(&server, "b");
    // What can no longer be opened leaves what was there before.
    fs::remove_file(site.folder.join("keys/b.key")).expect("it is ours");
    site.tell(&server, "reload");
    site.serves(&server, "a");
    site.serves(&server, "b");
    server.signal(unary_e2e::server::Signal::TERM);
    assert!(server.ended(PATIENCE).success());
}
