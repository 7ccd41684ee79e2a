//! Certificates from Pebble, a CA for tests, with its random rejections left on.

mod demand;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use unary_e2e::pebble::{self, CLIENT_KEY, NAMED, Pebble, Ports, ZONE_KEY};
use unary_e2e::{eventually, run, skip};
use unary_http::{Request, message};
use unary_net::event_loop::EventLoops;
use unary_net::tls::{Certificates, Terms, TlsSite, tls};
use unary_net::{Drain, Listen, Peer, Run, connect, listen, process, reply};
use unary_service::service_fn;
use unary_testkit::{TempDir, free_port};

use super::settings::{Algorithm, Challenge, Dns, ExternalAccount, NameServer, Way};
use super::*;

/// How long certificates are valid that are to be renewed, in seconds: a third of it is time enough on a
/// machine that is busy with other tests.
const SHORT: u64 = 18;

/// A server whose certificates look after themselves, and the CA it asks.
struct World {
    temp: TempDir,
    pebble: Option<Pebble>,
    certificates: Certificates,
    settings: AcmeSettings,
    ports: Ports,
    acme: Option<Acme>,
    drain: Drain,
    server: Option<JoinHandle<()>>,
}

impl World {
    /// A CA that is not running yet, and a server with nothing to serve. `None` if there is no Pebble
    /// here: then the test is skipped.
    fn new(name: &str) -> Option<Self> {
        if !pebble::has_pebble(name) {
            return None;
        }
        let (temp, ports) = (TempDir::new(), Ports::free());
        pebble::write_certificate(&temp);
        let settings = AcmeSettings {
            email: Some("me@example.com".into()),
            cas: vec![format!("https://localhost:{}/dir", ports.ca).into()],
            root: Some(temp.join("ca.pem")),
            back_off: (Duration::from_millis(200), Duration::from_secs(1)),
            ..AcmeSettings::of_test(temp.join("state"))
        };
        let certificates = Certificates::new().unwrap();
        let drain = Drain::new();
        Some(Self { temp, pebble: None, certificates, settings, ports, acme: None, drain, server: None })
    }

    /// Starts the CA, whose certificates are valid for so many seconds.
    fn start_ca(&mut self, valid_seconds: u64) {
        self.pebble = None;
        self.pebble = Some(Pebble::start(&self.temp, self.ports, valid_seconds));
    }

    /// Starts looking after sites of these names.
    fn start(&mut self, sites: &[&[&str]]) -> Vec<Arc<TlsSite>> {
        let sites: Vec<_> = sites.iter().map(|names| self.certificates.site(names, &Terms::default())).collect();
        let sites: Vec<_> = sites.into_iter().map(|site| Arc::new(site.unwrap())).collect();
        self.certificates.serve(sites.iter().cloned());
        let answers = Answers::default();
        let acme = Acme::start(self.settings.clone(), &self.certificates, &answers).unwrap();
        self.serve(answers);
        acme.manage(sites.iter().map(wanted).collect());
        self.acme = Some(acme);
        sites
    }

    /// Serves plain HTTP and TLS.
    fn serve(&mut self, answers: Answers) {
        self.stop_serving();
        self.drain = Drain::new();
        let addresses = [self.ports.http, self.ports.tls].map(|port| format!("127.0.0.1:{port}").parse().unwrap());
        let (listener, tls_port) = (Listen::from(addresses.to_vec()).draining(self.drain.clone()), self.ports.tls);
        let secure =
            tls(self.certificates.clone(), move |peer: &Peer| peer.local().is_some_and(|at| at.port() == tls_port));
        let app = service_fn(move |request: Request| {
            let asked = answers.has_one_for(&request).then(|| answers.answer(&request));
            std::future::ready(Ok(asked.unwrap_or_else(|| message::text("the site"))))
        });
        let line = listen(listener) >> secure >> connect(unary_http::http()) >> process(app) >> reply();
        let (ready, is_ready) = std::sync::mpsc::sync_channel::<()>(1);
        self.server = Some(std::thread::spawn(move || {
            line.run_on(EventLoops::new().threads(1).ready(move |_| drop(ready))).unwrap();
        }));
        let _ = is_ready.recv();
    }

    fn stop_serving(&mut self) {
        self.drain.expire();
        if let Some(server) = self.server.take() {
            server.join().unwrap();
        }
    }

    /// A program that changes the DNS that the CA looks in, by way of this script before it.
    fn way_into_the_dns(&self, before: &str) -> Dns {
        let program = self.temp.join("dns.sh");
        let at = format!("http://127.0.0.1:{}", self.ports.dns_management);
        let script = format!(
            "{before}\ncase $1 in set) to=set-txt;; *) to=clear-txt;; esac\n\
             exec curl -sf -d \"{{\\\"host\\\": \\\"$2.\\\", \\\"value\\\": \\\"$3\\\"}}\" {at}/$to\n"
        );
        fs::write(&program, script).unwrap();
        // By the shell: what was just written may still be open for writing in a child of another thread.
        let arguments = vec![program.to_str().unwrap().into()];
        Dns { way: Way::Program { program: "/bin/sh".into(), arguments }, wait: Duration::ZERO }
    }

    /// What is remembered of the one site there is.
    fn memory(&self) -> String {
        let sites = fs::read_dir(self.temp.join("state/acme/sites")).unwrap();
        sites.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect()
    }

    fn orders(&self) -> usize {
        Folder::open(&self.settings.state).unwrap().orders().len()
    }
}

fn wanted(site: &Arc<TlsSite>) -> Wanted {
    Wanted { site: site.clone(), terms: settings::Terms::default(), is_on_demand: false }
}

impl Drop for World {
    fn drop(&mut self) {
        self.acme = None;
        self.stop_serving();
    }
}

/// A site of these names gets its certificate by this challenge, and is served with it.
#[track_caller]
fn check(test: &str, challenge: Challenge, names: &[&str], asked_for: &str) {
    let Some(mut world) = World::new(test) else { return };
    world.start_ca(3600);
    world.settings.challenges = vec![challenge];
    world.settings.dns = (challenge == Challenge::Dns).then(|| world.way_into_the_dns(""));
    let site = world.start(&[names]).remove(0);
    eventually("a certificate", || site.certificate().is_some());
    let certificate = site.certificate().unwrap();
    assert!(names.iter().all(|name| certificate.names().contains(&Box::from(*name))), "{:?}", certificate.names());
    assert!(certificate.issuer().contains("Pebble"), "{}", certificate.issuer());
    let (root, port) = (world.pebble.as_ref().unwrap().root(&world.temp), world.ports.tls);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--cacert"]).arg(root).arg("--resolve").arg(format!("{asked_for}:{port}:127.0.0.1"));
    let ran = run(curl.arg(format!("https://{asked_for}:{port}/")));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "the site"), "{}", ran.stderr);
}

#[test]
fn obtains_by_http() {
    check("obtains_by_http", Challenge::Http, &["a.example", "www.a.example"], "www.a.example");
}

#[test]
fn obtains_by_tls() {
    check("obtains_by_tls", Challenge::TlsAlpn, &["a.example"], "a.example");
}

#[test]
fn obtains_a_wildcard_by_dns() {
    check("obtains_a_wildcard_by_dns", Challenge::Dns, &["a.example", "*.a.example"], "x.a.example");
}

#[test]
fn obtains_a_wildcard_by_an_update_of_the_zone() {
    let name = "obtains_a_wildcard_by_an_update_of_the_zone";
    if !Path::new(NAMED).is_file() {
        return skip(name, "named is not installed");
    }
    let Some(mut world) = World::new(name) else { return };
    pebble::serve_zone(&world.temp, "a.example", world.ports.dns);
    world.start_ca(3600);
    let server = |secret: &str| NameServer {
        address: format!("127.0.0.1:{}", world.ports.dns).into(),
        zone: "a.example".into(),
        key_name: "acme".into(),
        secret: secret.into(),
        algorithm: Algorithm::HmacSha256,
        ttl: Duration::from_secs(60),
    };
    let dns = |secret| Some(Dns { way: Way::Server(server(secret)), wait: Duration::ZERO });
    let (wrong, right) = (dns("d3Jvbmc="), dns(ZONE_KEY));
    (world.settings.challenges, world.settings.dns) = (vec![Challenge::Dns], wrong);
    let sites: [&[&str]; 1] = [&["a.example", "*.a.example"]];
    world.start(&sites);
    let trouble =
        |world: &World| world.acme.as_ref().unwrap().reports().first().and_then(|report| report.trouble.clone());
    eventually("it is refused", || trouble(&world).is_some());
    assert!(trouble(&world).unwrap().contains("Not authorized"), "{:?}", trouble(&world));
    (world.acme, world.settings.dns) = (None, right);
    let site = world.start(&sites).remove(0);
    eventually("a certificate", || site.certificate().is_some());
    eventually("the records are taken back", || records(world.ports.dns, "_acme-challenge.a.example.") == 0);
}

/// How many TXT records a name has at the name server of this port.
fn records(port: u16, name: &str) -> usize {
    use hickory_proto::op::{Message, Query};
    use hickory_proto::rr::{Name, RecordType};
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::TXT));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&question.to_vec().unwrap(), ("127.0.0.1", port)).unwrap();
    let mut answer = [0; 1024];
    let length = socket.recv(&mut answer).unwrap();
    Message::from_vec(&answer[..length]).unwrap().answers.len()
}

#[test]
fn obtains_with_an_account_that_exists() {
    let Some(mut world) = World::new("obtains_with_an_account_that_exists") else { return };
    world.settings.eab = Some(ExternalAccount { key_id: "kid-1".into(), hmac_key: CLIENT_KEY.into() });
    pebble::require_external_accounts(&world.temp);
    world.start_ca(3600);
    let site = world.start(&[&["a.example"]]).remove(0);
    eventually("a certificate", || site.certificate().is_some());
}

#[test]
fn one_account_serves_all_sites() {
    let Some(mut world) = World::new("one_account_serves_all_sites") else { return };
    world.start_ca(3600);
    let sites: [&[&str]; 3] = [&["a.example"], &["b.example"], &["c.example"]];
    let accounts = |world: &World| fs::read_dir(world.temp.join("state/acme/accounts")).unwrap().count();
    let begun = world.start(&sites[..2]);
    eventually("two certificates", || begun.iter().all(|site| site.certificate().is_some()));
    assert_eq!(accounts(&world), 1);
    world.acme = None;
    let begun = world.start(&sites);
    eventually("and another after a restart", || begun.iter().all(|site| site.certificate().is_some()));
    assert_eq!(accounts(&world), 1);
}

#[test]
fn renews_before_it_is_too_late_and_one_site_never_stops_another() {
    let Some(mut world) = World::new("renews_before_it_is_too_late") else { return };
    world.start_ca(SHORT);
    // A wildcard, which cannot be had without a way into the DNS.
    let sites = world.start(&[&["*.b.example"], &["a.example"]]);
    eventually("a certificate", || sites[1].certificate().is_some());
    let first = sites[1].certificate().unwrap();
    eventually("another", || sites[1].certificate().is_some_and(|now| now.der() != first.der()));
    assert!(std::time::SystemTime::now() < first.not_after(), "in time");
    let reports = world.acme.as_ref().unwrap().reports();
    let trouble = reports[0].trouble.as_deref().expect("it cannot be had");
    assert!(trouble.contains("a wildcard needs the dns challenge"), "{trouble}");
    assert!(reports[1].trouble.is_none());
}

#[test]
fn a_restart_goes_on_with_what_was_begun() {
    let Some(mut world) = World::new("a_restart_goes_on_with_what_was_begun") else { return };
    world.start_ca(3600);
    world.settings.challenges = vec![Challenge::Dns];
    let hang = format!("[ $1 = set ] && touch {0}/called && exec sleep 60", world.temp.path().display());
    world.settings.dns = Some(world.way_into_the_dns(&hang));
    let site = world.start(&[&["a.example"]]).remove(0);
    eventually("the program is called", || world.temp.join("called").exists());
    assert!(world.memory().contains("\"url\""), "{}", world.memory());
    world.acme = None;
    assert!(site.certificate().is_none());
    world.settings.dns = Some(world.way_into_the_dns(""));
    let site = world.start(&[&["a.example"]]).remove(0);
    eventually("a certificate", || site.certificate().is_some());
    assert_eq!(world.orders(), 1, "it is the order that was begun");
    // And once more: it is there at once, without another order.
    world.acme = None;
    world.pebble = None;
    let site = world.start(&[&["a.example"]]).remove(0);
    assert!(site.certificate().is_some());
    assert_eq!(world.orders(), 1);
}

#[test]
fn a_ca_that_is_down_is_asked_again() {
    let Some(mut world) = World::new("a_ca_that_is_down_is_asked_again") else { return };
    let site = world.start(&[&["a.example"]]).remove(0);
    let failures = |world: &World| world.acme.as_ref().unwrap().reports().first().map_or(0, |report| report.failures);
    eventually("it fails twice", || failures(&world) >= 2);
    world.start_ca(9);
    eventually("a certificate", || site.certificate().is_some());
    let first = site.certificate().unwrap();
    // Started anew, Pebble knows nobody: neither the account nor the order.
    world.start_ca(9);
    eventually("another account, and another certificate", || {
        site.certificate().is_some_and(|now| now.issuer() != first.issuer())
    });
}

#[test]
fn the_next_ca_is_asked_where_the_first_is_down() {
    let Some(mut world) = World::new("the_next_ca_is_asked_where_the_first_is_down") else { return };
    world.start_ca(3600);
    world.settings.cas.insert(0, format!("https://localhost:{}/dir", free_port()).into());
    let site = world.start(&[&["a.example"]]).remove(0);
    eventually("a certificate", || site.certificate().is_some());
}

#[test]
fn orders_are_bounded() {
    let Some(mut world) = World::new("orders_are_bounded") else { return };
    world.start_ca(3600);
    world.settings.orders_max = 1;
    let sites = world.start(&[&["a.example"], &["b.example"]]);
    eventually("one certificate", || sites.iter().any(|site| site.certificate().is_some()));
    eventually("the other is told to wait", || {
        let reports = world.acme.as_ref().unwrap().reports();
        reports.iter().any(|report| report.trouble.as_deref().is_some_and(|trouble| trouble.contains("no more")))
    });
    assert_eq!(world.orders(), 1);
}

#[test]
fn localhost_has_a_ca_of_its_own() {
    let temp = TempDir::new();
    let certificates = Certificates::new().unwrap();
    let site = Arc::new(certificates.site(&["localhost", "app.localhost"], &Terms::default()).unwrap());
    let settings = AcmeSettings::of_test(temp.path().to_owned());
    let acme = Acme::start(settings, &certificates, &Answers::default()).unwrap();
    acme.manage(vec![wanted(&site)]);
    eventually("a certificate", || site.certificate().is_some());
    assert_eq!(site.certificate().unwrap().issuer(), "CN=Unary for localhost");
}
