//! TLS of the real binary, as curl and OpenSSL speak it, and as those do who mean it harm.

mod clients;
mod faults;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use unary_e2e::server::binary;
use unary_e2e::{Client, Ran, Server, eventually, has, run, run_config};
use unary_testkit::TempDir;

/// A keeper with two sites, `a.example` and `b.example`; the second lets nobody in without a certificate.
struct Site {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
    server: Server,
}

impl Site {
    fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::with([("public/index.html", "a page")]);
        folder.write("public/big", (0..BIG).map(|at| (at / 3) as u8).collect::<Vec<_>>());
        folder.write("ca.pem", ca.pem());
        for name in ["a", "b"] {
            issue(&folder, &ca, name, &format!("{name}.example"), i32::from(name == "a") + 2030);
        }
        issue(&folder, &ca, "alice", "alice", 2090);
        issue(&folder, &ca, "expired", "bob", 2001);
        let at = folder.path().display();
        folder.write(
            "unary.kdl",
            format!(
                r#"server {{ listen "127.0.0.1:0" tls=#true; state "{at}/state"; admin "unix:{at}/admin.sock"; threads 2 }}
                site "a.example" {{ tls cert="a.pem" key="a.key"; route {{ files "public" }} }}
                site "b.example" {{ tls cert="b.pem" key="b.key" client-ca="ca.pem"; route {{ respond "for friends" }} }}
                "#
            ),
        );
        let server = run_config(folder.join("unary.kdl"), 1).start();
        Self { folder, ca, server }
    }

    fn curl(&self, host: &str, path: &str, arguments: &[&str]) -> Ran {
        let port = self.server.address().port();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--cacert"]).arg(self.folder.join("ca.pem"));
        curl.args(["--resolve", &format!("{host}:{port}:127.0.0.1")]).args(arguments);
        run(curl.arg(format!("https://{host}:{port}{path}")))
    }

    /// What OpenSSL says of a connection, with these arguments.
    fn openssl(&self, arguments: &[&str]) -> String {
        let address = self.server.address().to_string();
        let ca = self.folder.join("ca.pem");
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &address, "-CAfile"]).arg(ca).args(arguments);
        let ran = run(&mut openssl);
        ran.stdout + &ran.stderr
    }

    /// Reloads, and gives what is said of it.
    #[track_caller]
    fn reload(&self) -> String {
        let mut reload = Command::new(binary());
        let ran = run(reload.arg("reload").arg("--config").arg(self.file("unary.kdl")));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stderr
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    #[track_caller]
    fn serves(&self) {
        let ran = self.curl("a.example", "/", &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "a page"), "{}", ran.stderr);
    }
}

/// More than all buffers on the way hold.
const BIG: usize = 24 << 20;

/// Writes a certificate and its key; valid from 2000 until that year.
fn issue(folder: &TempDir, ca: &CertifiedIssuer<'static, KeyPair>, file: &str, name: &str, until: i32) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2000, 1, 1), rcgen::date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    folder.write(format!("{file}.key"), key.serialize_pem());
    folder.write(format!("{file}.pem"), params.signed_by(&key, ca).unwrap().pem());
}

#[test]
fn serves_by_every_version_there_is() {
    if !has("serves_by_every_version_there_is", "curl") {
        return;
    }
    let site = Site::start();
    for arguments in [&["--http1.1"][..], &["--http2"], &["--tls-max", "1.2"], &["--tlsv1.3", "--http1.1"]] {
        let ran = site.curl("a.example", "/", arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "a page"), "{arguments:?}: {}", ran.stderr);
    }
    let ran = site.curl("a.example", "/", &["-o", "/dev/null", "-w", "%{http_version}"]);
    assert_eq!(ran.stdout, "2");
    assert!(site.curl("c.example", "/", &[]).stderr.contains("unrecognized name"), "there is no such site");
}

#[test]
fn a_large_file_comes_whole_however_slowly() {
    if !has("a_large_file_comes_whole_however_slowly", "curl") {
        return;
    }
    let site = Site::start();
    for arguments in [&["--http1.1"][..], &["--http1.1", "--limit-rate", "12M"], &["--http2"]] {
        let got = site.file("got");
        let ran = site.curl("a.example", "/big", &[arguments, &["-o", got.to_str().unwrap()]].concat());
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        let same = std::fs::read(&got).unwrap() == std::fs::read(site.file("public/big")).unwrap();
        assert!(same, "{arguments:?}");
    }
}

#[test]
fn clients_have_to_say_who_they_are_where_that_is_asked() {
    if !has("clients_have_to_say_who_they_are_where_that_is_asked", "curl") {
        return;
    }
    let site = Site::start();
    let ask = |who: &str, host: &str| {
        let [pem, key] = ["pem", "key"].map(|kind| site.file(&format!("{who}.{kind}")));
        site.curl(host, "/", &["--cert", pem.to_str().unwrap(), "--key", key.to_str().unwrap()])
    };
    assert_eq!(ask("alice", "b.example").stdout, "for friends");
    assert_eq!(ask("alice", "a.example").stdout, "a page");
    for refused in [site.curl("b.example", "/", &[]), ask("expired", "b.example")] {
        assert!(refused.code != Some(0) && refused.stdout.is_empty(), "{refused:?}");
    }
    // By the name of the one, for the other.
    let ran = site.curl("a.example", "/", &["-H", "Host: b.example", "-o", "/dev/null", "-w", "%{http_code}"]);
    assert_eq!(ran.stdout, "421");
    site.serves();
}

#[test]
fn a_session_is_taken_up_again() {
    if !has("a_session_is_taken_up_again", "openssl") {
        return;
    }
    let site = Site::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = site.file("session");
        let arguments = [version, "-servername", "a.example"];
        let request = "sh";
        // The ticket of TLS 1.3 comes after the handshake, so something is asked for.
        let mut shell = Command::new(request);
        let address = site.server.address();
        let ca = site.file("ca.pem");
        let script = format!(
            "printf 'GET / HTTP/1.1\\r\\nHost: a.example\\r\\nConnection: close\\r\\n\\r\\n' | \
             openssl s_client -connect {address} -CAfile {} -ign_eof -sess_out {} {}",
            ca.display(),
            session.display(),
            arguments.join(" ")
        );
        let first = run(shell.args(["-c", &script]));
        assert!(first.stdout.contains("a page"), "{}{}", first.stdout, first.stderr);
        let again = site.openssl(&[&arguments[..], &["-sess_in", session.to_str().unwrap()]].concat());
        assert!(again.contains("Reused, TLSv1"), "{version}: {again}");
    }
}

#[test]
fn a_certificate_that_is_replaced_is_shown_without_being_asked() {
    if !has("a_certificate_that_is_replaced_is_shown_without_being_asked", "openssl") {
        return;
    }
    let site = Site::start();
    let until = |year: &str| {
        site.openssl(&["-servername", "a.example", "-showcerts"]).contains(&format!("Jan  1 00:00:00 {year} GMT"))
    };
    assert!(until("2031"), "{}", site.openssl(&["-servername", "a.example"]));
    issue(&site.folder, &site.ca, "a", "a.example", 2050);
    eventually("the new one is shown", || until("2050"));
    site.folder.write("a.pem", "-----BEGIN CERTIFICATE-----\nno");
    let complains = |line: &String| line.contains("a.pem") && line.contains("the certificate from before stays");
    eventually("it complains", || site.server.stderr().lines().iter().any(complains));
    site.serves();
}

#[test]
fn what_is_no_handshake_ends_that_connection_alone() {
    if !has("what_is_no_handshake_ends_that_connection_alone", "curl") {
        return;
    }
    let site = Site::start();
    let address = site.server.address();
    let waits = TcpStream::connect(address).unwrap(); // Says nothing at all meanwhile.
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0; 40]].concat();
    for garbage in
        [&b"\0\0\0\0"[..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x02hi", &hello, b"\x80\x2e\x01\x03\x01"]
    {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer); // An alert, or nothing.
        assert!(answer.len() <= 7, "{}", answer.escape_ascii());
    }
    let mut plain = Client::connect(&site.server);
    plain.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").unwrap();
    let reply = plain.reply().unwrap();
    assert_eq!(reply.head.status, 400);
    assert!(reply.text().contains("https://"), "{}", reply.text());
    site.serves();
    drop(waits);
}
