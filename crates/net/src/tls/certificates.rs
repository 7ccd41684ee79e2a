//! The certificates of all sites, found by the name that a client asks for.
//!
//! Read without a lock by all event loops; sites, and the certificates of each, change while they do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use unary_service::Error;

use super::certificate::{Certificate, CertificateFiles, Stamps, Validity};
use super::names::Names;
use super::terms::{Resumption, Terms, challenge_config};

/// Challenges at once. A CA looks at one for some seconds; a certificate has a hundred names at most.
const CHALLENGES_MAX: usize = 1000;

/// The certificates of all sites. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sites: ArcSwap<Sites>,
    challenges: ArcSwap<HashMap<Box<str>, Arc<ServerConfig>>>,
    /// Whoever changes the challenges.
    changing: Mutex<()>,
    resumption: Resumption,
}

#[derive(Debug, Default)]
struct Sites {
    all: Vec<Arc<TlsSite>>,
    names: Names<Arc<TlsSite>>,
}

/// A site as far as TLS goes: its names, its terms, and the certificate it has now.
#[derive(Debug)]
pub struct TlsSite {
    names: Vec<Box<str>>,
    slot: Arc<Slot>,
    files: Option<CertificateFiles>,
    /// The files as they were before they were read.
    pub(super) read: Stamps,
    pub(super) config: Arc<ServerConfig>,
}

/// Where a site's certificate is.
#[derive(Debug, Default)]
struct Slot(ArcSwapOption<Certificate>);

impl Certificates {
    /// Of no site yet.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn new() -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            sites: ArcSwap::default(),
            challenges: ArcSwap::default(),
            changing: Mutex::default(),
            resumption: Resumption::shared()?,
        })))
    }

    /// Makes a site of these names, as in `example.com`, `*.example.com` or `*`. It has no certificate
    /// yet, and is not served until [`serve`](Self::serve) has it.
    ///
    /// # Errors
    ///
    /// If it asks for certificates and the CAs it trusts are none.
    pub fn site<N: AsRef<str>>(&self, names: &[N], terms: &Terms) -> Result<TlsSite, Error> {
        let slot = Arc::new(Slot::default());
        let config = terms.config(slot.clone(), &self.0.resumption)?;
        let names = names.iter().map(|name| name.as_ref().to_ascii_lowercase().into()).collect();
        Ok(TlsSite { names, slot, files: None, read: [None; 2], config })
    }

    /// Serves these sites from now on, and no others. Where two have the same name, the first has it.
    pub fn serve(&self, sites: impl IntoIterator<Item = Arc<TlsSite>>) {
        let all: Vec<_> = sites.into_iter().collect();
        let mut names = Names::default();
        for site in &all {
            site.names.iter().for_each(|name| names.insert(name, site.clone()));
        }
        self.0.sites.store(Arc::new(Sites { all, names }));
    }

    /// The sites that are served.
    pub fn sites(&self) -> Vec<Arc<TlsSite>> {
        self.0.sites.load().all.clone()
    }

    /// Shows this certificate to a CA that asks for `name` by tls-alpn-01 (RFC 8737).
    ///
    /// # Errors
    ///
    /// If a thousand challenges are shown already.
    pub fn show_challenge(&self, name: &str, certificate: &Certificate) -> Result<(), Error> {
        let config = challenge_config(certificate.key.clone())?;
        let _changing = self.0.changing.lock().expect("no panic while the lock is held");
        let mut challenges = HashMap::clone(&self.0.challenges.load());
        challenges.insert(name.to_ascii_lowercase().into(), config);
        if challenges.len() > CHALLENGES_MAX {
            return Err(Error::overloaded("showing a TLS challenge"));
        }
        self.0.challenges.store(Arc::new(challenges));
        Ok(())
    }

    /// Shows it no longer.
    pub fn hide_challenge(&self, name: &str) {
        let _changing = self.0.changing.lock().expect("no panic while the lock is held");
        let mut challenges = HashMap::clone(&self.0.challenges.load());
        challenges.remove(&*name.to_ascii_lowercase());
        self.0.challenges.store(Arc::new(challenges));
    }

    /// What a CA is shown that asks for this name.
    pub(super) fn challenge(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.0.challenges.load().get(name).cloned()
    }

    /// The site of a name, in lower case, that has a certificate. Who asks for none gets that of `*`, or
    /// of the first site there is.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<TlsSite>> {
        let sites = self.0.sites.load();
        let site = match name {
            Some(name) => sites.names.get(name),
            None => sites.names.any().or_else(|| sites.all.iter().find(|site| site.has_certificate())),
        };
        site.filter(|site| site.has_certificate()).cloned()
    }
}

impl TlsSite {
    /// The same with a certificate from files, which a [`Watch`](super::Watch) reads anew when they
    /// change. This blocks.
    ///
    /// # Errors
    ///
    /// If there is no certificate in them, or no key of it.
    pub fn with_files(self, files: CertificateFiles) -> Result<Self, super::CertificateError> {
        let read = files.stamps();
        self.put(Certificate::read(&files)?);
        Ok(Self { files: Some(files), read, ..self })
    }

    /// Its names.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Where its certificate comes from, if that is files.
    pub fn files(&self) -> Option<&CertificateFiles> {
        self.files.as_ref()
    }

    /// The certificate it has now.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        self.slot.0.load_full()
    }

    /// Gives it another certificate. Handshakes from now on show that one. One that is not valid now
    /// is taken, too, and a warning says so: clients are to decide.
    pub fn put(&self, certificate: Certificate) {
        let names = self.names.join(" ");
        match certificate.validity(SystemTime::now()) {
            Validity::Valid(_) => {}
            Validity::NotYet => tracing::warn!(site = %names, "the certificate is not valid yet"),
            Validity::Expired(_) => tracing::warn!(site = %names, "the certificate has expired"),
        }
        let covers = |name: &str| match name.strip_prefix("*.") {
            Some(_) => certificate.names().iter().any(|of| **of == *name),
            None => name == "*" || certificate.is_for(name),
        };
        for name in self.names.iter().filter(|name| !covers(name)) {
            tracing::warn!(%name, "the certificate of the site is not for this name of it");
        }
        self.slot.0.store(Some(Arc::new(certificate)));
    }

    fn has_certificate(&self) -> bool {
        self.slot.0.load().is_some()
    }
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load().as_ref().map(|certificate| certificate.key.clone())
    }
}
