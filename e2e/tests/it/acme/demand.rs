//! Certificates that are obtained when somebody comes: for those names alone of which somebody says yes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use unary_e2e::pebble::{Pebble, Ports};
use unary_e2e::server::Signal;
use unary_e2e::{PATIENCE, Ran, Server, eventually, run, run_config};
use unary_testkit::TempDir;

use super::{folder, write_config};

/// Whoever says which names may have a certificate: those that begin with `good`.
struct Answering {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let address = listener.local_addr().expect("it listens");
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = asked.clone();
        // It ends with the process, as nobody waits for it.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..length]);
                let name = request.strip_prefix("GET /may?domain=").and_then(|rest| rest.split(' ').next());
                let name = name.unwrap_or("nothing of sense").to_owned();
                let status = if name.starts_with("good") { "200 OK" } else { "404 Not Found" };
                heard.lock().unwrap().push(name);
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A folder with a config of one site whose names are anybody's, and one with a name of its own; and a CA.
struct Site {
    folder: TempDir,
    ports: Ports,
    answering: Answering,
}

impl Site {
    fn new(test: &str, challenge: &str, rate: &str) -> Option<Self> {
        let (folder, ports) = folder(test)?;
        let answering = Answering::start();
        let acme = format!("challenge {challenge}; on-demand \"http://{}/may\" rate=\"{rate}\"", answering.address);
        let sites = r#"
            site "fixed.localhost" { tls auto; route { respond "fixed" } }
            site "*" { tls auto on-demand=#true; route { respond "for all" } }
        "#;
        write_config(&folder, ports, &acme, sites);
        Some(Self { folder, ports, answering })
    }

    fn start(&self) -> Server {
        run_config(self.folder.join("unary.kdl"), 2).start()
    }

    fn curl(&self, host: &str) -> Ran {
        let tls = self.ports.tls;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-m", "60", "--resolve", &format!("{host}:{tls}:127.0.0.1"), "--cacert"]);
        run(curl.arg(self.folder.join("root.pem")).arg(format!("https://{host}:{tls}/")))
    }

    #[track_caller]
    fn serves(&self, host: &str) {
        let ran = self.curl(host);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "for all"), "{host}: {}", ran.stderr);
    }

    #[track_caller]
    fn refuses(&self, host: &str) {
        let (began, ran) = (Instant::now(), self.curl(host));
        assert!(ran.stderr.contains("unrecognized name"), "{host}: {ran:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "at once");
    }

    /// How many times there are in a file of the state.
    fn times(&self, file: &str) -> usize {
        let times = fs::read(self.folder.join(format!("state/acme/{file}.json"))).unwrap_or_else(|_| b"[]".to_vec());
        serde_json::from_slice::<Vec<u64>>(&times).expect("it is whole at any moment").len()
    }
}

#[test]
fn a_name_gets_its_certificate_when_somebody_comes_and_may() {
    let Some(site) = Site::new("a_name_gets_its_certificate_when_somebody_comes_and_may", "http", "10/m") else {
        return;
    };
    let pebble = Pebble::start(&site.folder, site.ports, 3600);
    pebble.root(&site.folder);
    let mut server = site.start();
    assert_eq!(site.times("orders"), 0, "nobody has come");
    // The first waits for it; and so do those who come meanwhile, for the same.
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| site.serves("good.example"));
        }
    });
    site.serves("good.example");
    assert_eq!((site.times("orders"), site.answering.asked()), (1, vec!["good.example".to_owned()]));
    // It is known to whoever asks how it is.
    let mut curl = Command::new("curl");
    curl.arg("-s").arg("--unix-socket").arg(site.folder.join("admin.sock")).arg("http://unary/certificates");
    let listed: serde_json::Value = serde_json::from_str(&run(&mut curl).stdout).expect("it is JSON");
    let is_listed = |of: &serde_json::Value| of["site"] == "*" && of["names"][0] == "good.example";
    assert!(listed.as_array().is_some_and(|all| all.iter().any(is_listed)), "{listed}");
    // Once more it is refused without anybody being asked.
    site.refuses("bad.example");
    site.refuses("bad.example");
    assert_eq!((site.times("orders"), site.answering.asked().len()), (1, 2));
    drop(pebble);
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    let _server = site.start();
    site.serves("good.example");
    assert_eq!((site.times("orders"), site.answering.asked().len()), (1, 2), "it is on disk");
}

#[test]
fn there_are_no_more_new_names_than_there_may_be() {
    let test = "there_are_no_more_new_names_than_there_may_be";
    let Some(site) = Site::new(test, "tls-alpn", "2/h") else { return };
    let pebble = Pebble::start(&site.folder, site.ports, 3600);
    pebble.root(&site.folder);
    let mut server = site.start();
    site.serves("good.one.example");
    site.serves("good.two.example");
    site.refuses("good.three.example");
    assert_eq!((site.times("orders"), site.times("new-names")), (2, 2));
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    let server = site.start();
    site.refuses("good.four.example");
    assert_eq!(site.times("orders"), 2, "not by being started anew either");
    site.serves("good.one.example");
    let said = |line: &String| line.contains("there have been 2 new names in 3600 s");
    assert!(server.stderr().lines().iter().any(said), "{:?}", server.stderr().lines());
}

#[test]
fn of_what_is_no_name_nobody_is_asked_and_nobody_else_waits() {
    let test = "of_what_is_no_name_nobody_is_asked_and_nobody_else_waits";
    let Some(site) = Site::new(test, "http", "10/m") else { return };
    // The CA is not there: whoever comes with a good name waits for it in vain.
    fs::write(site.folder.join("root.pem"), fs::read(site.folder.join("ca.pem")).expect("it is there")).unwrap();
    let server = site.start();
    for name in ["good_.example", "good", "good..example"] {
        let ran = site.curl(name);
        assert!(ran.code != Some(0) && ran.stdout.is_empty(), "{name}: {ran:?}");
    }
    let mut openssl = Command::new("openssl");
    let address = format!("127.0.0.1:{}", site.ports.tls);
    openssl.args(["s_client", "-connect", &address, "-noservername", "-brief"]);
    let _ = run(&mut openssl);
    assert_eq!(site.answering.asked(), Vec::<String>::new());
    let local = || {
        let mut curl = Command::new("curl");
        let tls = site.ports.tls;
        curl.args(["-sSk", "--resolve", &format!("fixed.localhost:{tls}:127.0.0.1")]);
        run(curl.arg(format!("https://fixed.localhost:{tls}/"))).stdout
    };
    eventually("the other site has its certificate", || local() == "fixed");
    let began = Instant::now();
    thread::scope(|scope| {
        let waits = scope.spawn(|| site.curl("good.example"));
        eventually("it is asked", || site.answering.asked() == ["good.example"]);
        assert_eq!(local(), "fixed");
        let ran = waits.join().expect("it ends");
        assert!(ran.stderr.contains("unrecognized name"), "{ran:?}");
    });
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    drop(server);
}
