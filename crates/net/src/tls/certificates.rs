//! The certificates of all sites, found by the name that a client asks for.
//!
//! Read without a lock by all event loops; sites, and the certificates of each, change while they do.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use unary_service::Error;

use super::certificate::{self, Certificate, CertificateError, CertificateFiles, Stamps, Validity};
use super::demand::{Demand, Obtain};
use super::files::{OpenFiles, Opener};
use super::names::Names;
use super::terms::{ClientCa, Resumption, Terms, challenge_config};

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
    opener: Opener,
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
    pub(super) opener: Opener,
    /// The files as they were before they were read.
    pub(super) read: Stamps,
    pub(super) config: Arc<ServerConfig>,
    client_ca: Option<ClientCa>,
}

/// Where a site's certificate is, or those of its names.
#[derive(Debug)]
enum Slot {
    One(ArcSwapOption<Certificate>),
    ByName(Demand),
}

impl Certificates {
    /// Of no site yet.
    ///
    /// # Errors
    ///
    /// If the system has no random numbers.
    pub fn new() -> Result<Self, Error> {
        Self::with(Opener::default())
    }

    /// The same for a process that has its files opened by somebody who may.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn opened_by(files: impl OpenFiles + 'static) -> Result<Self, Error> {
        Self::with(Opener::new(files))
    }

    fn with(opener: Opener) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            sites: ArcSwap::default(),
            challenges: ArcSwap::default(),
            changing: Mutex::default(),
            resumption: Resumption::shared()?,
            opener,
        })))
    }

    /// Makes a site of these names, as in `example.com`, `*.example.com` or `*`. It has no certificate
    /// yet, and is not served until [`serve`](Self::serve) has it.
    ///
    /// # Errors
    ///
    /// If it asks for certificates and the CAs it trusts are none.
    pub fn site<N: AsRef<str>>(&self, names: &[N], terms: &Terms) -> Result<TlsSite, Error> {
        self.site_with(Slot::One(ArcSwapOption::empty()), names, terms)
    }

    /// The same for a site where each name that somebody comes with has a certificate of its own, which
    /// is obtained when [`TlsSite::obtain_by`] says by whom.
    ///
    /// # Errors
    ///
    /// As for [`site`](Self::site).
    pub fn site_on_demand<N: AsRef<str>>(&self, names: &[N], terms: &Terms) -> Result<TlsSite, Error> {
        self.site_with(Slot::ByName(Demand::default()), names, terms)
    }

    fn site_with<N: AsRef<str>>(&self, slot: Slot, names: &[N], terms: &Terms) -> Result<TlsSite, Error> {
        let slot = Arc::new(slot);
        let config = terms.config(slot.clone(), &self.0.resumption)?;
        let names = names.iter().map(|name| name.as_ref().to_ascii_lowercase().into()).collect();
        let client_ca = terms.clients.ca().cloned();
        Ok(TlsSite { names, slot, files: None, opener: self.0.opener.clone(), read: [None; 2], config, client_ca })
    }

    /// Reads a file whole: that of CAs whose clients are trusted, say. This blocks.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has more than 1 MiB.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>, CertificateError> {
        certificate::read(path, &self.0.opener)
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

    /// The certificate that whoever comes with this name, in lower case, is shown now, if it is for that name.
    pub fn shown_to(&self, name: &str) -> Option<Arc<Certificate>> {
        self.find(Some(name))?.certificate_of(name).filter(|shown| shown.is_for(name))
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

    /// The site of a name, in lower case, that has a certificate or gets one for it. Who asks for none
    /// gets that of `*`, or of the first site there is.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Arc<TlsSite>> {
        let sites = self.0.sites.load();
        let has_one = |site: &&Arc<TlsSite>| site.has_certificate();
        let site = match name {
            Some(name) => sites.names.get(name).filter(|site| site.demand().is_some() || site.has_certificate()),
            None => sites.names.any().filter(has_one).or_else(|| sites.all.iter().find(has_one)),
        };
        site.cloned()
    }
}

impl TlsSite {
    /// The same with a certificate from files, which a [`Watch`](super::Watch) reads anew when they
    /// change. This blocks.
    ///
    /// # Errors
    ///
    /// If there is no certificate in them, or no key of it.
    pub fn with_files(self, files: CertificateFiles) -> Result<Self, CertificateError> {
        let read = files.stamps(&self.opener);
        self.put(Certificate::read_by(&files, &self.opener)?);
        Ok(Self { files: Some(files), read, ..self })
    }

    /// Its names.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The CAs that say who its clients are, if it asks them.
    pub fn client_ca(&self) -> Option<&ClientCa> {
        self.client_ca.as_ref()
    }

    /// Where its certificate comes from, if that is files.
    pub fn files(&self) -> Option<&CertificateFiles> {
        self.files.as_ref()
    }

    /// The certificate it has now; none, if each of its names has its own.
    pub fn certificate(&self) -> Option<Arc<Certificate>> {
        match &*self.slot {
            Slot::One(slot) => slot.load_full(),
            Slot::ByName(_) => None,
        }
    }

    /// The certificate it shows to whoever comes with this name, in lower case.
    pub fn certificate_of(&self, name: &str) -> Option<Arc<Certificate>> {
        match &*self.slot {
            Slot::One(slot) => slot.load_full(),
            Slot::ByName(demand) => demand.find(name),
        }
    }

    /// The certificates of its names, where each has its own, in the order of the names.
    pub fn certificates_by_name(&self) -> Vec<Arc<Certificate>> {
        self.demand().map(Demand::all).unwrap_or_default()
    }

    /// Says who obtains its certificates from now on, if each of its names has its own.
    pub fn obtain_by(&self, by: impl Obtain + 'static) {
        if let Slot::ByName(demand) = &*self.slot {
            demand.obtain_by(Box::new(by));
        }
    }

    /// Gives it another certificate; or each name of it, where each has its own. Handshakes from now on
    /// show that one. One that is not valid now is taken, too, and a warning says so: clients are to
    /// decide.
    pub fn put(&self, certificate: Certificate) {
        let names = match self.demand() {
            None => self.names.join(" "),
            Some(_) => certificate.names().join(" "),
        };
        match certificate.validity(SystemTime::now()) {
            Validity::Valid(_) => {}
            Validity::NotYet => tracing::warn!(site = %names, "the certificate is not valid yet"),
            Validity::Expired(_) => tracing::warn!(site = %names, "the certificate has expired"),
        }
        let slot = match &*self.slot {
            Slot::One(slot) => slot,
            Slot::ByName(demand) => return demand.put(certificate),
        };
        let covers = |name: &str| match name.strip_prefix("*.") {
            Some(_) => certificate.names().iter().any(|of| **of == *name),
            None => name == "*" || certificate.is_for(name),
        };
        for name in self.names.iter().filter(|name| !covers(name)) {
            tracing::warn!(%name, "the certificate of the site is not for this name of it");
        }
        slot.store(Some(Arc::new(certificate)));
    }

    /// The certificates of its names, where each has its own.
    pub(super) fn demand(&self) -> Option<&Demand> {
        match &*self.slot {
            Slot::One(_) => None,
            Slot::ByName(demand) => Some(demand),
        }
    }

    fn has_certificate(&self) -> bool {
        matches!(&*self.slot, Slot::One(slot) if slot.load().is_some())
    }
}

impl ResolvesServerCert for Slot {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::One(slot) => slot.load().as_ref().map(|certificate| certificate.key.clone()),
            Self::ByName(demand) => {
                let name = hello.server_name()?.to_ascii_lowercase();
                demand.find(&name).map(|certificate| certificate.key.clone())
            }
        }
    }
}
