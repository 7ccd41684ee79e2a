//! Pebble, a CA for tests, and its name server, as processes of their own. What Pebble rejects at random is
//! left as it is.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use unary_testkit::{TempDir, free_port};

use crate::{eventually, has, run};

/// The key of an account that exists already, as Pebble's example has one.
pub const CLIENT_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Where a CA is, and where it looks whether names are ours.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Of whoever answers over plain HTTP.
    pub http: u16,
    /// Of whoever answers by TLS.
    pub tls: u16,
    /// Of the CA itself.
    pub ca: u16,
    /// Of the name server that it asks.
    pub dns: u16,
    /// Where that one is told its records.
    pub dns_management: u16,
}

impl Ports {
    /// Ports that nobody listens on.
    pub fn free() -> Self {
        let [http, tls, ca, dns, dns_management] = [(); 5].map(|()| free_port());
        Self { http, tls, ca, dns, dns_management }
    }
}

/// Whether Pebble is installed, and what is asked of it; if not, the test `name` is skipped.
pub fn has_pebble(name: &str) -> bool {
    ["pebble", "pebble-challtestsrv", "curl"].into_iter().all(|program| has(name, program))
}

/// A CA that is running. Dropping it ends it.
#[derive(Debug)]
pub struct Pebble {
    ca: Child,
    dns: Child,
    management: u16,
}

/// Writes the certificate by which Pebble is known, and that of whoever issued it: `ca.pem`.
///
/// # Panics
///
/// If it cannot be made.
pub fn write_certificate(temp: &TempDir) {
    let mut params = CertificateParams::new(Vec::new()).expect("certificates can be made");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "whoever issued it");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("certificates can be made"))
        .expect("certificates can be made");
    let key = KeyPair::generate().expect("certificates can be made");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("certificates can be made");
    temp.write("ca.pem", ca.pem());
    temp.write("pebble.pem", params.signed_by(&key, &ca).expect("certificates can be made").pem());
    temp.write("pebble.key", key.serialize_pem());
}

/// Lets Pebble refuse accounts that do not exist elsewhere.
pub fn require_external_accounts(temp: &TempDir) {
    temp.write("external", "");
}

/// Debian puts daemons where an ordinary user's `PATH` does not look.
pub const NAMED: &str = "/usr/sbin/named";
const NAMED_CONFIG: &str = "named.conf";

/// The key of [`serve_zone`], in base64.
pub const ZONE_KEY: &str = "c2VjcmV0IGFuZCBub3Qgc2VjcmV0";

/// Lets BIND be the name server, with a zone that takes updates signed with a key named `acme`.
pub fn serve_zone(temp: &TempDir, zone: &str, port: u16) {
    let at = temp.path().display();
    let config = format!(
        r#"key "acme" {{ algorithm hmac-sha256; secret "{ZONE_KEY}"; }};
        options {{
            directory "{at}"; pid-file none; session-keyfile "{at}/session.key"; listen-on-v6 {{ none; }};
            listen-on port {port} {{ 127.0.0.1; }}; recursion no; dnssec-validation no;
        }};
        controls {{ }};
        zone "{zone}" {{ type primary; file "zone.db"; allow-update {{ key "acme"; }}; }};"#
    );
    let records = format!("$ORIGIN {zone}.\n$TTL 60\n@ SOA ns me 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n");
    temp.write("zone.db", records);
    temp.write(NAMED_CONFIG, config);
}

impl Pebble {
    /// Starts one whose certificates are valid for so many seconds.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn start(temp: &TempDir, ports: Ports, valid_seconds: u64) -> Self {
        let Ports { http, tls, ca, dns, dns_management } = ports;
        let (management, at) = (free_port(), temp.path().display());
        let is_external = temp.join("external").exists();
        let config = format!(
            r#"{{"pebble": {{
                "listenAddress": "127.0.0.1:{ca}", "managementListenAddress": "127.0.0.1:{management}",
                "certificate": "{at}/pebble.pem", "privateKey": "{at}/pebble.key",
                "httpPort": {http}, "tlsPort": {tls}, "ocspResponderURL": "",
                "externalAccountBindingRequired": {is_external},
                "externalAccountMACKeys": {{"kid-1": "{CLIENT_KEY}"}},
                "certificateValidityPeriod": {valid_seconds}
            }}}}"#
        );
        temp.write("pebble.json", config);
        let log = |name: &str| fs::File::create(temp.join(name)).expect("the folder can be written");
        let mut names = Command::new(if temp.join(NAMED_CONFIG).exists() { NAMED } else { "pebble-challtestsrv" });
        if temp.join(NAMED_CONFIG).exists() {
            names.args(["-f", "-c"]).arg(temp.join(NAMED_CONFIG));
        } else {
            names.args([
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
                "-defaultIPv6",
                "",
                "-defaultIPv4",
                "127.0.0.1",
            ]);
            names.args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &format!("127.0.0.1:{dns_management}")]);
        }
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(temp.join("pebble.json")).args(["-dnsserver", &format!("127.0.0.1:{dns}")]);
        // It would wait for up to 15 s before it looks. What it rejects at random is left as it is.
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        let start = |command: &mut Command, name: &str| {
            let spawned = command.stdin(Stdio::null()).stdout(log(name)).stderr(Stdio::null()).spawn();
            spawned.expect("it is there")
        };
        let started = Self { dns: start(&mut names, "dns.log"), ca: start(&mut pebble, "pebble.log"), management };
        for port in [ca, management, if temp.join(NAMED_CONFIG).exists() { dns } else { dns_management }] {
            eventually("Pebble listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        started
    }

    /// A file with the certificate that all it issues lead to.
    ///
    /// # Panics
    ///
    /// If it does not say.
    pub fn root(&self, temp: &TempDir) -> PathBuf {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let ran = run(Command::new("curl").args(["-sS", "--cacert"]).arg(temp.join("ca.pem")).arg(url));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        temp.write("root.pem", ran.stdout);
        temp.join("root.pem")
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for child in [&mut self.ca, &mut self.dns] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
