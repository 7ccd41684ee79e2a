//! How one site speaks TLS: its versions, and whom it asks for a certificate.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use unary_service::Error;

use super::certificate::{CertificateError, read, roots_of};
use super::facts::{Alpn, TlsVersion};
use super::files::Opener;

/// Sessions that are kept for those clients that take none with them as tickets. A few hundred bytes each.
const SESSIONS_MAX: usize = 10_000;

/// The same for a site that asks for certificates, which keeps its sessions to itself.
const SITE_SESSIONS_MAX: usize = 256;

/// How one site speaks TLS.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The oldest version it speaks. TLS 1.2 unless told.
    pub version_min: TlsVersion,
    /// Whom it asks for a certificate. Nobody unless told.
    pub clients: Clients,
    /// What is spoken inside, the most wanted first. HTTP/1.1 alone unless told: whoever adds HTTP/2
    /// has a protocol in the line that speaks it.
    pub alpn: Vec<Alpn>,
}

/// Whom a site asks for a certificate.
#[derive(Clone, Debug)]
pub enum Clients {
    /// Nobody.
    NotAsked,
    /// Everybody; who has none comes in, too, and [`TlsFacts::client`](super::TlsFacts::client) says so.
    Optional(ClientCa),
    /// Everybody, and nobody comes in without one.
    Required(ClientCa),
}

/// The CAs whose clients are trusted.
#[derive(Clone, Debug)]
pub struct ClientCa(Arc<RootCertStore>);

impl ClientCa {
    /// Reads their certificates from a file in PEM. This blocks.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or holds none, or one that is broken.
    pub fn read(path: &Path) -> Result<Self, CertificateError> {
        Self::from_pem(&read(path, &Opener::default())?).map_err(|error| error.of(path))
    }

    /// The same of what would be in the file.
    ///
    /// # Errors
    ///
    /// If there is none in it, or one that is broken.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        roots_of(pem).map(|roots| Self(Arc::new(roots)))
    }
}

impl PartialEq for ClientCa {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.roots == other.0.roots
    }
}

impl Eq for ClientCa {}

impl Clients {
    /// The CAs that say who clients are.
    pub(super) fn ca(&self) -> Option<&ClientCa> {
        match self {
            Self::NotAsked => None,
            Self::Optional(ca) | Self::Required(ca) => Some(ca),
        }
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self { version_min: TlsVersion::Tls12, clients: Clients::NotAsked, alpn: vec![Alpn::Http1] }
    }
}

/// What lets clients take up an earlier session, on whichever event loop they come back.
#[derive(Clone, Debug)]
pub(super) struct Resumption {
    sessions: Arc<dyn StoresServerSessions>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Resumption {
    /// Keys that change every few hours, and room for so many sessions.
    pub(super) fn new(sessions_max: usize) -> Result<Self, Error> {
        let tickets = rustls::crypto::ring::Ticketer::new();
        let tickets = tickets.map_err(|cause| Error::internal("making keys for TLS tickets").because(cause))?;
        Ok(Self { sessions: ServerSessionMemoryCache::new(sessions_max), tickets })
    }

    pub(super) fn shared() -> Result<Self, Error> {
        Self::new(SESSIONS_MAX)
    }
}

impl Terms {
    /// As rustls has it, with certificates from there.
    pub(super) fn config(
        &self,
        certificates: Arc<dyn ResolvesServerCert>,
        shared: &Resumption,
    ) -> Result<Arc<ServerConfig>, Error> {
        let failed = |cause: String| Error::invalid("preparing to speak TLS").because(cause);
        let versions: &[_] = match self.version_min {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider().clone());
        let builder = builder.with_protocol_versions(versions).map_err(|cause| failed(cause.to_string()))?;
        let verifier = |ca: &ClientCa| WebPkiClientVerifier::builder_with_provider(ca.0.clone(), provider().clone());
        let verifier = match &self.clients {
            Clients::NotAsked => None,
            Clients::Optional(ca) => Some(verifier(ca).allow_unauthenticated().build()),
            Clients::Required(ca) => Some(verifier(ca).build()),
        };
        let verifier = verifier.transpose().map_err(|cause| failed(cause.to_string()))?;
        // A session that began on other terms must not be taken up here without a certificate.
        let resumption = if verifier.is_some() { Resumption::new(SITE_SESSIONS_MAX)? } else { shared.clone() };
        let mut config = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates),
            None => builder.with_no_client_auth().with_cert_resolver(certificates),
        };
        config.session_storage = resumption.sessions;
        config.ticketer = resumption.tickets;
        config.alpn_protocols = self.alpn.iter().map(|alpn| alpn.id().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// The ALPN id by which a CA looks whether a name is ours (RFC 8737 §3).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// For handshakes that only show the certificate of a challenge.
pub(super) fn challenge_config(certificate: Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider().clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|cause| Error::internal("preparing a TLS challenge").because(cause.to_string()))?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Always(certificate)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Where ciphers come from.
pub(super) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    &PROVIDER
}
