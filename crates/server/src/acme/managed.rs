//! One site's certificate over time: asked for, renewed, tried again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier};
use unary_net::tls::{Certificate, TlsSite, Validity};

use super::folder::{Folder, Memory, file_name};
use super::order::Ordering as Placing;
use super::renewal::{Asked, identifier};
use super::schedule::{Now, Patience, Window, due, seconds, share_of, time};
use super::settings::{Terms, Wanted};
use super::trouble::{Remedy, Trouble};
use super::{LOCK_EVERY, Shared};

/// How long nothing is looked at. Short, so that a clock that jumps, and a certificate that another
/// process has written, are seen.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a whole order may take, waiting for the DNS and for the CA included.
const ORDER_TIME_MAX: Duration = Duration::from_secs(3600);

/// How long a CA that was asked too often is let be.
const REST: Duration = Duration::from_secs(3600);

/// After so many failures with one CA it is the next one's turn.
const FAILURES_EACH: u32 = 2;

/// A site whose certificate is looked after.
#[derive(Debug)]
pub(super) struct Managed {
    id: String,
    names: Vec<Box<str>>,
    email: Option<Box<str>>,
    ca: Option<Box<str>>,
    is_local: bool,
    /// Under which number and names it is reported how it is.
    told_as: (String, Vec<Box<str>>),
    /// The site as it is served now; a reload makes another of the same names.
    site: Mutex<Option<Arc<TlsSite>>>,
}

/// Why a certificate that was obtained has to be renewed at once.
const CLOCK_IS_WRONG: &str = "a certificate that was just issued has expired, or is about to. Is the clock right?";

/// It could not be had.
pub(super) struct Failed {
    /// How often in a row by now.
    pub(super) failures: u32,
    /// How long not to ask again at least.
    pub(super) wait: Duration,
}

/// How it is with one site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) names: Vec<Box<str>>,
    /// Until when its certificate is valid.
    pub(crate) not_after: Option<SystemTime>,
    /// When the next one will be asked for.
    pub(crate) renews_at: Option<SystemTime>,
    /// What the last attempt ran into, if it failed.
    pub(crate) trouble: Option<String>,
    /// How often it has failed in a row.
    pub(crate) failures: u32,
}

impl Managed {
    /// `None` if there is no certificate for such a name, or none until somebody comes.
    pub(super) fn of(wanted: &Wanted) -> Option<Self> {
        let mut names = wanted.site.names().to_vec();
        names.sort_unstable();
        names.dedup();
        if wanted.is_on_demand || names.is_empty() || names.iter().any(|name| **name == *"*") {
            return None;
        }
        let id = id(&names, &wanted.terms);
        Some(Self::with(id.clone(), names.clone(), &wanted.terms, (id, names)))
    }

    /// One name of a site where each has its own. What becomes of it is told of the site.
    pub(super) fn on_demand(name: &str, site: &Arc<TlsSite>, terms: &Terms) -> Self {
        let names = vec![name.into()];
        let told_as = (id(site.names(), terms), site.names().to_vec());
        let managed = Self::with(id(&names, terms), names, terms, told_as);
        Self { site: Mutex::new(Some(site.clone())), ..managed }
    }

    fn with(id: String, names: Vec<Box<str>>, terms: &Terms, told_as: (String, Vec<Box<str>>)) -> Self {
        let is_local = names.iter().all(|name| is_local(name));
        let (email, ca) = (terms.email.clone(), terms.ca.clone());
        Self { id, names, email, ca, is_local, told_as, site: Mutex::default() }
    }

    /// Under which number it is reported how it is with a site.
    pub(super) fn id_of(wanted: &Wanted) -> String {
        id(wanted.site.names(), &wanted.terms)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Gives this site the certificate that is on disk.
    pub(super) fn take_up(&self, site: &TlsSite, folder: &Folder) {
        if let Some(certificate) = folder.certificate(&self.id) {
            give(site, &certificate);
        }
    }

    /// Gives its certificates to this site from now on.
    pub(super) fn serve(&self, site: Arc<TlsSite>, folder: &Folder) {
        let mut served = self.site.lock().expect("no panic while the lock is held");
        if served.as_ref().is_none_or(|served| !Arc::ptr_eq(served, &site)) {
            self.take_up(&site, folder); // Another may have come since the site was made.
        }
        *served = Some(site);
    }

    /// Looks after it for as long as it is polled.
    pub(super) async fn look_after(self: Arc<Self>, shared: Arc<Shared>) {
        let (mut known, mut asked, mut patience) = (None, Asked::default(), None);
        loop {
            let certificate = self.read(&shared, &mut known);
            let memory = shared.folder.memory(&self.id);
            let may_write = shared.writes.load(Ordering::Acquire);
            if !may_write {
                patience = None; // What another process runs into is in the memory.
            } else if let Some(certificate) = &certificate
                && asked.is_time(certificate, SystemTime::now())
            {
                asked.begin(certificate, SystemTime::now());
                self.ask(&mut asked, &shared, &memory, certificate).await;
            }
            let now = Now::here();
            let is_past = self.is_past(memory.issuer.as_deref(), &shared.settings.cas);
            let current = certificate.as_deref().filter(|_| !is_past);
            let window = certificate.as_deref().and_then(|certificate| asked.window(certificate));
            let due = self.due(current, window, now.wall);
            let patience = patience.get_or_insert_with(|| self.patience(&shared, &memory, now));
            let left = patience.left(due, now);
            self.report(&shared, |report| {
                report.not_after = certificate.as_deref().map(Certificate::not_after);
                report.renews_at = now.wall.checked_add(left);
                report.failures = memory.failures;
                if patience.is_in_vain() {
                    report.trouble = Some(CLOCK_IS_WRONG.to_owned());
                } else if report.trouble.as_deref() == Some(CLOCK_IS_WRONG) {
                    report.trouble = None;
                }
            });
            if !may_write || !left.is_zero() {
                // Never longer, as the clock may jump meanwhile.
                tokio::time::sleep(if left.is_zero() { LOCK_EVERY } else { left.min(LOOK_EVERY) }).await;
                continue;
            }
            match self.obtain(&shared, memory, certificate.as_deref(), window.is_some()).await {
                Ok(()) => patience.obtained(),
                Err(Failed { failures, wait }) => patience.failed(failures, wait, Now::here()),
            }
        }
    }

    /// Asks the CA that issued this certificate when it wants it to be renewed.
    pub(super) async fn ask(&self, asked: &mut Asked, shared: &Shared, memory: &Memory, certificate: &Certificate) {
        let Some(ca) = memory.issuer.as_deref() else { return };
        if let Ok(account) = shared.accounts.with(ca, self.email(shared), &shared.settings).await {
            asked.ask(&account, certificate, SystemTime::now()).await;
        }
    }

    fn patience(&self, shared: &Shared, memory: &Memory, now: Now) -> Patience {
        let failed = (memory.failures, memory.failed_at);
        Patience::after(shared.settings.back_off, self.share(), failed, now)
    }

    /// The certificate as it is on disk; it is given to the site whenever it is another one than before.
    fn read(&self, shared: &Shared, known: &mut Option<Arc<Certificate>>) -> Option<Arc<Certificate>> {
        let on_disk = shared.folder.certificate(&self.id)?;
        if known.as_ref().is_none_or(|known| known.der() != on_disk.der()) {
            *known = Some(Arc::new(on_disk.clone()));
            if let Some(site) = &*self.site.lock().expect("no panic while the lock is held") {
                give(site, &on_disk);
            }
        }
        known.clone()
    }

    /// When the next certificate is to be asked for. `None`: now.
    fn due(&self, certificate: Option<&Certificate>, window: Option<Window>, now: SystemTime) -> Option<SystemTime> {
        let certificate = certificate?;
        let covers_all = self.names.iter().all(|name| certificate.names().contains(name));
        let valid = (certificate.not_before(), certificate.not_after());
        covers_all.then(|| due(valid, window, self.share(), now)).flatten()
    }

    /// Whether the CA that issued the certificate is to be asked no longer, as one for tests is not when
    /// all works.
    pub(super) fn is_past(&self, issuer: Option<&str>, cas: &[Box<str>]) -> bool {
        let is_asked = |issuer: &str| match &self.ca {
            Some(ca) => **ca == *issuer,
            None => cas.iter().any(|ca| **ca == *issuer),
        };
        issuer.is_some_and(|issuer| !is_asked(issuer))
    }

    /// Asks for a certificate, once.
    pub(super) async fn obtain(
        &self,
        shared: &Shared,
        mut memory: Memory,
        current: Option<&Certificate>,
        ca_knows: bool,
    ) -> Result<(), Failed> {
        let placed = match self.is_local {
            true => self.make_locally(shared),
            false => {
                let _permit = shared.permits.acquire().await.expect("the semaphore is never closed");
                let replaces = current.filter(|_| ca_knows).and_then(identifier);
                let placing = self.place(shared, &mut memory, replaces);
                tokio::time::timeout(ORDER_TIME_MAX, placing).await.unwrap_or_else(|_| {
                    Err(Trouble::new("ordering a certificate", "it took more than an hour").with(Remedy::NewOrder))
                })
            }
        };
        let names = self.names.join(" ");
        let (trouble, wait) = match placed {
            Ok(()) => {
                tracing::info!(site = %names, "a certificate was obtained");
                memory = Memory { issuer: memory.issuer, ..Memory::default() };
                (None, Ok(()))
            }
            Err(trouble) => {
                let wait = self.suffer(shared, &mut memory, &trouble);
                tracing::warn!(site = %names, %trouble, failures = memory.failures, "no certificate was obtained; trying again later");
                (Some(trouble.to_string()), Err(Failed { failures: memory.failures, wait }))
            }
        };
        if let Err(error) = shared.folder.remember(&self.id, &memory) {
            tracing::warn!(site = %names, %error, "the state of its certificate cannot be kept");
            self.report(shared, |report| report.trouble = Some(error.to_string()));
            return Err(Failed { failures: memory.failures, wait: LOOK_EVERY });
        }
        self.report(shared, |report| {
            let is_of_many = report.names != self.names;
            report.trouble = trouble.map(|why| if is_of_many { format!("{names}: {why}") } else { why });
            report.failures = memory.failures;
        });
        wait
    }

    /// Orders a certificate, or goes on with an order, and keeps what comes of it.
    async fn place(
        &self,
        shared: &Shared,
        memory: &mut Memory,
        replaces: Option<CertificateIdentifier<'_>>,
    ) -> Result<(), Trouble> {
        let settings = &shared.settings;
        let ca = match &memory.order {
            Some(order) => order.ca.clone(),
            None => self.ca(shared, memory.failures).to_owned(),
        };
        let account = shared.accounts.with(&ca, self.email(shared), settings).await?;
        let placed = self.place_with(&account, &ca, shared, memory, replaces).await;
        placed.inspect_err(|trouble| {
            if trouble.remedy() == Remedy::NewAccount {
                shared.accounts.forget(&ca, self.email(shared), &account);
            }
        })
    }

    async fn place_with(
        &self,
        account: &Account,
        ca: &str,
        shared: &Shared,
        memory: &mut Memory,
        replaces: Option<CertificateIdentifier<'_>>,
    ) -> Result<(), Trouble> {
        let (settings, stage) = (&shared.settings, &shared.stage);
        let placing = Placing { account, ca, names: &self.names, settings, stage };
        let order = match memory.order.clone() {
            Some(order) => order,
            None => {
                shared.take_order()?;
                // Tried again, it is said no longer: that may be what the CA did not understand.
                let says_it = memory.failures == 0 && memory.issuer.as_deref() == Some(ca);
                let order = placing.begin(replaces.filter(|_| says_it)).await?;
                memory.order = Some(order.clone());
                self.remember(shared, memory)?;
                order
            }
        };
        let issued = placing.finish(&order, memory).await?;
        self.keep(shared, &issued.chain, &issued.key)?;
        memory.issuer = Some(ca.to_owned());
        self.put(issued.certificate);
        Ok(())
    }

    fn make_locally(&self, shared: &Shared) -> Result<(), Trouble> {
        let failed = |cause: String| Trouble::new("making a certificate for this machine", cause);
        let (chain, key) = shared.local.issue(&self.names).map_err(failed)?;
        let made =
            Certificate::from_pem(chain.as_bytes(), key.as_bytes()).map_err(|error| failed(error.to_string()))?;
        self.keep(shared, &chain, &key)?;
        self.put(made);
        Ok(())
    }

    /// What is to be done differently, and how long to wait at least.
    fn suffer(&self, shared: &Shared, memory: &mut Memory, trouble: &Trouble) -> Duration {
        if let Remedy::NextOrder(wait) = trouble.remedy() {
            return wait; // No failure of this site.
        }
        let ca =
            memory.order.as_ref().map_or_else(|| self.ca(shared, memory.failures).to_owned(), |order| order.ca.clone());
        memory.failures = memory.failures.saturating_add(1);
        memory.failed_at = seconds(SystemTime::now());
        let begins_anew = matches!(trouble.remedy(), Remedy::NewAccount | Remedy::NewOrder);
        // An order at a CA that does not answer is given up with that CA.
        if begins_anew || self.ca(shared, memory.failures) != ca {
            memory.order = None;
        }
        if trouble.remedy() == Remedy::Rest { REST } else { Duration::ZERO }
    }

    fn keep(&self, shared: &Shared, chain: &str, key: &str) -> Result<(), Trouble> {
        let kept = shared.folder.keep_certificate(&self.id, chain, key);
        kept.map_err(|cause| Trouble::new("keeping the certificate", cause))
    }

    fn remember(&self, shared: &Shared, memory: &Memory) -> Result<(), Trouble> {
        let kept = shared.folder.remember(&self.id, memory);
        kept.map_err(|cause| Trouble::new("keeping the state of the order", cause))
    }

    /// Gives the site this certificate.
    pub(super) fn put(&self, certificate: Certificate) {
        if let Some(site) = self.site.lock().expect("no panic while the lock is held").clone() {
            site.put(certificate);
        }
    }

    fn report(&self, shared: &Shared, change: impl FnOnce(&mut Report)) {
        let mut reports = shared.reports.lock().expect("no panic while the lock is held");
        let (id, names) = &self.told_as;
        let report = reports.entry(id.clone()).or_default();
        report.names.clone_from(names);
        change(report);
    }

    /// The directory of the CA whose turn it is.
    fn ca<'a>(&'a self, shared: &'a Shared, failures: u32) -> &'a str {
        let cas = &shared.settings.cas;
        match &self.ca {
            Some(ca) => ca,
            None => &cas[(failures / FAILURES_EACH) as usize % cas.len()],
        }
    }

    fn email<'a>(&'a self, shared: &'a Shared) -> Option<&'a str> {
        self.email.as_deref().or(shared.settings.email.as_deref())
    }

    /// Whether it is time to ask for another certificate than this, which its CA may have said something of.
    pub(super) fn is_due(&self, certificate: &Certificate, window: Option<Window>, now: SystemTime) -> bool {
        self.due(Some(certificate), window, now).is_none_or(|due| due <= now)
    }

    /// What is remembered. That it failed in what is now the future is forgotten: the clock was set back,
    /// and nobody is to wait until it has come there again.
    pub(super) fn memory(&self, shared: &Shared, now: Now) -> Memory {
        let mut memory = shared.folder.memory(&self.id);
        if memory.failures > 0 && time(memory.failed_at) > now.wall {
            memory.failed_at = seconds(now.wall);
            if shared.writes.load(Ordering::Acquire) {
                let _ = shared.folder.remember(&self.id, &memory); // Or else it is forgotten anew each time.
            }
        }
        memory
    }

    pub(super) fn share(&self) -> f64 {
        share_of(&self.id)
    }
}

/// Gives a site this certificate, unless it shows a better one: what a site shows that has changed was that of its
/// names before, and may be valid where its own, from some time ago, is not.
fn give(site: &TlsSite, certificate: &Certificate) {
    let is_valid = |certificate: &Certificate| matches!(certificate.validity(SystemTime::now()), Validity::Valid(_));
    let is_better =
        |shown: &Certificate| shown.der() == certificate.der() || (is_valid(shown) && !is_valid(certificate));
    if !site.certificate().is_some_and(|shown| is_better(&shown)) {
        site.put(certificate.clone());
    }
}

/// What tells what is kept of these names from all else.
fn id(names: &[Box<str>], terms: &Terms) -> String {
    let said = [terms.ca.as_deref(), terms.email.as_deref()].map(Option::unwrap_or_default);
    file_name(&format!("{} {} {}", names.join(" "), said[0], said[1]))
}

/// Names of this machine alone (RFC 6761 §6.3): no public CA knows them.
pub(super) fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use unary_net::tls::{Certificates, Terms as TlsTerms};

    use super::*;

    #[track_caller]
    fn check(own: Option<&str>, issuer: Option<&str>, expected: bool) {
        let site = Arc::new(Certificates::new().unwrap().site(&["a.example"], &TlsTerms::default()).unwrap());
        let terms = Terms { email: None, ca: own.map(Into::into) };
        let managed = Managed::of(&Wanted { site, terms, is_on_demand: false }).unwrap();
        let cas = ["https://first".into(), "https://second".into()];
        assert_eq!(managed.is_past(issuer, &cas), expected, "{own:?} {issuer:?}");
    }

    #[test]
    fn a_certificate_of_a_ca_that_is_asked_no_longer_is_past() {
        check(None, Some("https://second"), false);
        check(None, Some("https://for-tests"), true);
        check(Some("https://own"), Some("https://own"), false);
        check(Some("https://own"), Some("https://first"), true);
        // Of this machine's own CA, or from before that was written down.
        check(None, None, false);
    }
}
