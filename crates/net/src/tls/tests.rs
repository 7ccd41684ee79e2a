//! Handshakes in memory: a client of rustls at the other end.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use unary_testkit::TempDir;
use unary_testkit::far_end::far_end;

use super::terms::provider;
use super::watch::Watched;
use super::*;

/// A CA, and the sites it issues certificates for.
pub(super) struct World {
    ca: CertifiedIssuer<'static, KeyPair>,
    pub(super) certificates: Certificates,
}

/// What a client offers and shows.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) config: ClientConfig,
    name: &'static str,
}

impl World {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the CA");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca, certificates: Certificates::new().unwrap() }
    }

    /// A certificate and its key, in PEM.
    fn issue(&self, names: &[&str], subject: &str) -> (String, KeyPair) {
        let names: Vec<String> = names.iter().filter(|name| **name != "*").map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key)
    }

    pub(super) fn certificate(&self, names: &[&str], subject: &str) -> Certificate {
        let (certificate, key) = self.issue(names, subject);
        Certificate::from_pem(certificate.as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }

    /// A site of these names, with a certificate.
    pub(super) fn site(&self, names: &[&str], terms: &Terms) -> Arc<TlsSite> {
        let site = self.certificates.site(names, terms).unwrap();
        site.put(self.certificate(names, names[0]));
        Arc::new(site)
    }

    fn serve(&self, sites: &[&[&str]]) {
        self.certificates.serve(sites.iter().map(|names| self.site(names, &Terms::default())));
    }

    pub(super) fn stage(&self) -> Tls<fn(&Peer) -> bool> {
        tls(self.certificates.clone(), |_: &Peer| true)
    }

    /// A client that trusts the CA.
    pub(super) fn client(&self, name: &'static str) -> Client {
        self.client_with(name, None, rustls::DEFAULT_VERSIONS)
    }

    /// One that is stuck with TLS 1.2.
    fn old_client(&self, name: &'static str) -> Client {
        self.client_with(name, None, &[&rustls::version::TLS12])
    }

    /// One with a certificate of its own.
    fn known_client(&self, name: &'static str, own: (String, KeyPair)) -> Client {
        self.client_with(name, Some(own), rustls::DEFAULT_VERSIONS)
    }

    fn client_with(
        &self,
        name: &'static str,
        own: Option<(String, KeyPair)>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider().clone()).with_protocol_versions(versions);
        let builder = builder.unwrap().with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                use rustls::pki_types::pem::PemObject;
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Client { config, name }
    }
}

/// What came down the line, and what the client has in its hands.
pub(super) struct Met {
    connection: Option<Connection<Stream<DuplexStream>>>,
    pub(super) client: io::Result<TlsStream<DuplexStream>>,
}

impl Met {
    fn facts(&self) -> &TlsFacts {
        self.connection.as_ref().expect("it came down the line").peer.tls().expect("it speaks TLS")
    }

    /// The subject of the certificate that the client was shown.
    pub(super) fn shown(&self) -> String {
        let chain = self.client.as_ref().unwrap().get_ref().1.peer_certificates().unwrap();
        use x509_parser::prelude::FromDer;
        let (_, certificate) = x509_parser::prelude::X509Certificate::from_der(&chain[0]).unwrap();
        certificate.subject().to_string()
    }
}

/// Keeps what comes down the line.
#[derive(Default)]
struct Kept(Mutex<Option<Connection<Stream<DuplexStream>>>>);

impl Consumer<Connection<Stream<DuplexStream>>> for Kept {
    async fn accept(&self, connection: Connection<Stream<DuplexStream>>) -> Result<(), Error> {
        *self.0.lock().unwrap() = Some(connection);
        Ok(())
    }
}

async fn feed<W: Speaks>(stage: &Tls<W>, near: DuplexStream) -> Option<Connection<Stream<DuplexStream>>> {
    let kept = Kept::default();
    stage.feed(Connection::new(near, Peer::new(None, None)), &kept).await.unwrap();
    kept.0.into_inner().unwrap()
}

pub(super) async fn meet(stage: &Tls<impl Speaks>, client: &Client) -> Met {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let connector = TlsConnector::from(Arc::new(client.config.clone()));
    let name = ServerName::try_from(client.name).unwrap();
    let (connection, client) = tokio::join!(feed(stage, near), async {
        let mut stream = connector.connect(name, far).await?;
        // In TLS 1.3 a client learns only then that its certificate was refused.
        match tokio::time::timeout(Duration::from_millis(1), stream.read_u8()).await {
            Ok(Err(refused)) if refused.kind() != io::ErrorKind::UnexpectedEof => Err(refused),
            _ => Ok(stream),
        }
    });
    Met { connection, client }
}

/// What comes of these bytes in place of a handshake, and what is answered.
async fn check_bytes(bytes: &[u8], expected: Failure) -> Vec<u8> {
    let world = World::new();
    let stage = world.stage();
    let (near, mut far) = far_end(64 * 1024);
    let (connection, answered) = tokio::join!(feed(&stage, near), async {
        far.send(bytes).await;
        far.half_close().await;
        far.receive_to_end().await
    });
    assert!(connection.is_none());
    for failure in Failure::ALL {
        assert_eq!(stage.counters().failed(failure), u64::from(failure == expected), "{}", failure.name());
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn speaks_with_the_certificate_of_the_name() {
    let world = World::new();
    world.serve(&[&["a.example", "www.a.example"], &["*.b.example"]]);
    let stage = world.stage();
    for (name, subject) in
        [("a.example", "CN=a.example"), ("www.a.example", "CN=a.example"), ("x.b.example", "CN=*.b.example")]
    {
        let met = meet(&stage, &world.client(name)).await;
        assert_eq!(met.shown(), subject);
        let facts = met.facts();
        assert_eq!(facts.server_name.as_deref(), Some(name));
        assert_eq!((facts.version, facts.alpn, facts.resumed), (TlsVersion::Tls13, Alpn::Http1, false));
        assert!(facts.cipher.starts_with("TLS13_"), "{}", facts.cipher);
        assert_eq!(facts.client, None);
    }
    assert_eq!(stage.counters().full(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_name_without_a_certificate_is_refused_as_such() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let waiting = world.certificates.site(&["waiting.example"], &Terms::default()).unwrap();
    let served = world.certificates.sites();
    world.certificates.serve(served.into_iter().chain([Arc::new(waiting)]));
    let stage = world.stage();
    for name in ["b.example", "waiting.example", "x.a.example"] {
        let met = meet(&stage, &world.client(name)).await;
        let error = met.client.expect_err("there is no certificate").to_string();
        assert!(error.contains("UnrecognizedName") || error.contains("UnrecognisedName"), "{error}");
        assert!(met.connection.is_none());
    }
    assert_eq!(stage.counters().failed(Failure::UnknownName), 3);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_no_name_gets_the_first_site() {
    let world = World::new();
    world.serve(&[&["a.example"], &["b.example"]]);
    let mut client = world.client("a.example");
    client.config.enable_sni = false;
    let met = meet(&world.stage(), &client).await;
    assert_eq!((met.shown().as_str(), met.facts().server_name.as_deref()), ("CN=a.example", None));
}

#[tokio::test(start_paused = true)]
async fn the_two_ends_agree_on_a_version_and_a_protocol() {
    let world = World::new();
    let only_13 = Terms { version_min: TlsVersion::Tls13, ..Terms::default() };
    let with_h2 = Terms { alpn: vec![Alpn::Http2, Alpn::Http1], ..Terms::default() };
    world.certificates.serve([world.site(&["new.example"], &only_13), world.site(&["h2.example"], &with_h2)]);
    let stage = world.stage();
    let mut old = world.old_client("h2.example");
    old.config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let met = meet(&stage, &old).await;
    assert_eq!((met.facts().version, met.facts().alpn), (TlsVersion::Tls12, Alpn::Http2));
    old.name = "new.example";
    assert!(meet(&stage, &old).await.client.is_err());
    assert_eq!(stage.counters().failed(Failure::Protocol), 1);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_taken_up_again() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let stage = world.stage();
    for client in [world.client("a.example"), world.old_client("a.example")] {
        let first = meet(&stage, &client).await;
        assert!(!first.facts().resumed);
        let second = meet(&stage, &client).await;
        assert!(second.facts().resumed, "{:?}", second.facts().version);
    }
    assert_eq!((stage.counters().full(), stage.counters().resumed()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_client_may_have_to_say_who_it_is() {
    let world = World::new();
    let folder = TempDir::new();
    folder.write("ca.pem", world.ca.pem());
    let ca = ClientCa::read(&folder.join("ca.pem")).unwrap();
    let terms = |clients| Terms { clients, ..Terms::default() };
    let required = world.site(&["a.example"], &terms(Clients::Required(ca.clone())));
    let optional = world.site(&["b.example"], &terms(Clients::Optional(ca.clone())));
    world.certificates.serve([required, optional]);
    let stage = world.stage();
    let alice = || world.issue(&["alice"], "alice");

    let met = meet(&stage, &world.known_client("a.example", alice())).await;
    let client = met.facts().client.as_ref().expect("it showed a certificate");
    assert_eq!((&*client.subject, &*client.issuer), ("CN=alice", "CN=the CA"));
    assert_eq!(met.facts().client_ca, Some(ca.clone()));
    assert!(meet(&stage, &world.client("a.example")).await.client.is_err());
    let met = meet(&stage, &world.known_client("b.example", alice())).await;
    assert!(met.facts().client.is_some());
    let met = meet(&stage, &world.client("b.example")).await;
    assert_eq!((&met.facts().client, &met.facts().client_ca), (&None, &None));
    assert_ne!(ca, ClientCa::from_pem(World::new().ca.pem().as_bytes()).unwrap());

    let stranger = World::new().issue(&["mallory"], "mallory");
    assert!(meet(&stage, &world.known_client("b.example", stranger)).await.client.is_err());
    assert_eq!(stage.counters().failed(Failure::ClientCertificate), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_of_other_terms_is_not_taken_up() {
    let world = World::new();
    let folder = TempDir::new();
    folder.write("ca.pem", world.ca.pem());
    let ca = ClientCa::read(&folder.join("ca.pem")).unwrap();
    world.serve(&[&["a.example"]]);
    let (stage, client) = (world.stage(), world.client("a.example"));
    meet(&stage, &client).await.client.expect("nobody is asked who they are");
    let terms = Terms { clients: Clients::Required(ca), ..Terms::default() };
    world.certificates.serve([world.site(&["a.example"], &terms)]);
    assert!(meet(&stage, &client).await.client.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_ca_sees_its_challenge_and_nobody_else_does() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let stage = world.stage();
    world.certificates.show_challenge("a.example", &world.certificate(&["a.example"], "challenge")).unwrap();
    let mut ca = world.client("a.example");
    ca.config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let met = meet(&stage, &ca).await;
    assert_eq!(met.shown(), "CN=challenge");
    assert!(met.connection.is_none(), "nothing is served by it");
    assert_eq!(meet(&stage, &world.client("a.example")).await.shown(), "CN=a.example");
    world.certificates.hide_challenge("a.example");
    assert!(meet(&stage, &ca).await.client.is_err());
    assert_eq!(stage.counters().challenges(), 1);
}

#[tokio::test(start_paused = true)]
async fn http_in_the_clear_is_told_so() {
    let answered = check_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Failure::Plain).await;
    let answered = String::from_utf8(answered).unwrap();
    let (head, body) = answered.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    assert!(body.contains("https://"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_ends_that_connection() {
    check_bytes(b"", Failure::Gone).await;
    check_bytes(b"\0\xff\x01", Failure::Garbage).await;
    check_bytes(b"\x16\x03\x01\x00\x05hello", Failure::Garbage).await;
    check_bytes(b"\x16\x03\x01\x02\x00\x01\x00", Failure::Gone).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_handshake_is_given_up() {
    let world = World::new();
    let stage = world.stage();
    let begun = Instant::now();
    let (near, mut far) = far_end(1024);
    let (connection, ()) = tokio::join!(feed(&stage, near), far.send(b"\x16\x03\x01\x02\x00\x01\x00"));
    assert!(connection.is_none());
    assert!((10..=11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(stage.counters().failed(Failure::Late), 1);
}

#[tokio::test(start_paused = true)]
async fn more_handshakes_than_allowed_are_refused_at_once() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let stage = world.stage().handshakes_max(1);
    let (near, far) = far_end(1024);
    let slow = feed(&stage, near);
    let quick = async {
        tokio::task::yield_now().await;
        let met = meet(&stage, &world.client("a.example")).await;
        assert!(met.client.is_err());
        assert_eq!(stage.counters().failed(Failure::Refused), 1);
        drop(far);
    };
    let (slow, ()) = tokio::join!(slow, quick);
    assert!(slow.is_none());
    assert!(meet(&stage, &world.client("a.example")).await.client.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_speaks_tls_may_change() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let speaks = Arc::new(AtomicBool::new(false));
    let asked = speaks.clone();
    let stage = tls(world.certificates.clone(), move |_: &Peer| asked.load(Ordering::Relaxed));
    let (near, _far) = far_end(1024);
    let plain = feed(&stage, near).await.expect("it passes through");
    assert!(matches!(plain.stream, Stream::Plain(_)) && plain.peer.tls().is_none());
    speaks.store(true, Ordering::Relaxed);
    assert!(meet(&stage, &world.client("a.example")).await.connection.is_some());
}

#[tokio::test(start_paused = true)]
async fn bytes_read_too_early_begin_the_handshake() {
    let world = World::new();
    let stage = world.stage();
    let (near, mut far) = far_end(1024);
    let mut connection = Connection::new(near, Peer::new(None, None));
    connection.buffered.extend_from_slice(b"GET /");
    let kept = Kept::default();
    let (fed, answered) = tokio::join!(stage.feed(connection, &kept), async {
        far.half_close().await;
        far.receive_to_end().await
    });
    fed.unwrap();
    assert!(answered.starts_with(b"HTTP/1.1 400"));
}

/// More than a pipe, rustls and a read take together.
const LARGE: usize = 1 << 20;

#[tokio::test(start_paused = true)]
async fn carries_bytes_both_ways_and_says_when_it_is_over() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let met = meet(&world.stage(), &world.client("a.example")).await;
    let (mut server, mut client) = (met.connection.unwrap().stream, met.client.unwrap());
    let sent: Vec<u8> = (0..LARGE).map(|at| (at / 7) as u8).collect();
    let mut received = Vec::new();
    let (written, read) = tokio::join!(
        async {
            let written = server.write_all(&sent).await;
            // Nobody flushes: what was written is with the peer, and dropping says that it was all.
            drop(server);
            written
        },
        client.read_to_end(&mut received)
    );
    written.unwrap();
    assert_eq!(read.unwrap(), LARGE);
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_waits_is_not_over() {
    let world = World::new();
    world.serve(&[&["a.example"]]);
    let met = meet(&world.stage(), &world.client("a.example")).await;
    let (mut server, mut client) = (met.connection.unwrap().stream, met.client.unwrap());
    let mut written = 0;
    let piece = [7; 16 * 1024];
    while let Ok(Ok(length)) = tokio::time::timeout(Duration::from_secs(1), server.write(&piece)).await {
        written += length;
    }
    let error = server.write(b"other bytes");
    let (error, read) = tokio::join!(error, async {
        let mut received = vec![0; written + piece.len()];
        client.read_exact(&mut received).await
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(read.unwrap(), written + piece.len(), "what had begun was sent");
}

#[tokio::test(start_paused = true)]
async fn files_are_read_anew_once_they_rest() {
    let world = World::new();
    let folder = TempDir::new();
    let write = |names: &[&str], subject: &str| {
        let (certificate, key) = world.issue(names, subject);
        folder.write("a.pem", certificate);
        folder.write("a.key", key.serialize_pem());
    };
    write(&["a.example"], "first");
    let files = CertificateFiles { certificate: folder.join("a.pem"), key: folder.join("a.key") };
    let site = world.certificates.site(&["a.example"], &Terms::default()).unwrap();
    world.certificates.serve([Arc::new(site.with_files(files).unwrap())]);
    let (stage, client) = (world.stage(), world.client("a.example"));
    let mut watched = Watched::default();
    let mut look_twice = || (0..2).for_each(|_| watched.look(&world.certificates));
    look_twice();
    write(&["a.example"], "second one");
    look_twice();
    assert_eq!(meet(&stage, &client).await.shown(), "CN=second one");

    folder.write("a.pem", "half of a certifi");
    look_twice();
    assert_eq!(meet(&stage, &world.client("a.example")).await.shown(), "CN=second one");
    write(&["a.example"], "the third one");
    look_twice();
    assert_eq!(meet(&stage, &world.client("a.example")).await.shown(), "CN=the third one");
}
