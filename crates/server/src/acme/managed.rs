//! One site's certificate over time: asked for, renewed, tried again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use instant_acme::CertificateIdentifier;
use rustls::pki_types::CertificateDer;
use unary_net::tls::{Certificate, TlsSite, Validity};

use super::folder::{Folder, Memory, file_name};
use super::order::Ordering as Placing;
use super::schedule::{Window, back_off, renewal, seconds, share_of, wait_left};
use super::settings::Wanted;
use super::trouble::{Remedy, Trouble};
use super::{LOCK_EVERY, Shared};

/// How long nothing is looked at. Short, so that a clock that jumps, and a certificate that another
/// process has written, are seen.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long a whole order may take, waiting for the DNS and for the CA included.
const ORDER_TIME_MAX: Duration = Duration::from_secs(3600);

/// How long a CA that was asked too often is let be.
const REST: Duration = Duration::from_secs(3600);

/// How often a CA is asked when it wants a certificate to be renewed, whatever it says itself.
const ASK_EVERY: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(24 * 3600));

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
    /// The site as it is served now; a reload makes another of the same names.
    site: Mutex<Option<Arc<TlsSite>>>,
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
    /// `None` if there is no certificate for such a name.
    pub(super) fn of(wanted: &Wanted) -> Option<Self> {
        let mut names = wanted.site.names().to_vec();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() || names.iter().any(|name| **name == *"*") {
            return None;
        }
        let is_local = names.iter().all(|name| is_local(name));
        let said = [wanted.ca.as_deref(), wanted.email.as_deref()].map(Option::unwrap_or_default);
        let id = file_name(&format!("{} {} {}", names.join(" "), said[0], said[1]));
        let (email, ca) = (wanted.email.clone(), wanted.ca.clone());
        Some(Self { id, names, email, ca, is_local, site: Mutex::default() })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Gives this site the certificate that is on disk, if it has none.
    pub(super) fn take_up(&self, site: &TlsSite, folder: &Folder) {
        if site.certificate().is_none()
            && let Some(certificate) = folder.certificate(&self.id)
        {
            site.put(certificate);
        }
    }

    /// Gives its certificates to this site from now on.
    pub(super) fn serve(&self, site: Arc<TlsSite>, folder: &Folder) {
        self.take_up(&site, folder); // Another may have come since it was last looked.
        *self.site.lock().expect("no panic while the lock is held") = Some(site);
    }

    /// Looks after it for as long as it is polled.
    pub(super) async fn look_after(self: Arc<Self>, shared: Arc<Shared>) {
        let (mut known, mut asked) = (None, Asked::default());
        loop {
            let certificate = self.read(&shared, &mut known);
            let memory = shared.folder.memory(&self.id);
            let may_write = shared.writes.load(Ordering::Acquire);
            if may_write && let Some(certificate) = &certificate {
                asked.ask(&self, &shared, &memory, certificate).await;
            }
            let due = self.due(certificate.as_deref(), asked.window);
            let now = SystemTime::now();
            let left = due.map_or(Duration::ZERO, |due| due.duration_since(now).unwrap_or_default());
            let back_off = match memory.failures {
                0 => Duration::ZERO,
                failures => back_off(shared.settings.back_off, failures, self.share()),
            };
            let left = left.max(wait_left(memory.failed_at, back_off, now));
            self.report(&shared, |report| {
                report.not_after = certificate.as_deref().map(Certificate::not_after);
                report.renews_at = now.checked_add(left);
                report.failures = memory.failures;
            });
            if !may_write || !left.is_zero() {
                // Never longer, as the clock may jump meanwhile.
                tokio::time::sleep(if left.is_zero() { LOCK_EVERY } else { left.min(LOOK_EVERY) }).await;
                continue;
            }
            if let Err(wait) = self.obtain(&shared, memory, certificate.as_deref(), asked.window.is_some()).await {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// The certificate as it is on disk; it is given to the site whenever it is another one than before.
    fn read(&self, shared: &Shared, known: &mut Option<Arc<Certificate>>) -> Option<Arc<Certificate>> {
        let on_disk = shared.folder.certificate(&self.id)?;
        if known.as_ref().is_none_or(|known| known.der() != on_disk.der()) {
            *known = Some(Arc::new(on_disk.clone()));
            let site = self.site.lock().expect("no panic while the lock is held").clone();
            if let Some(site) = site.filter(|site| site.certificate().is_none_or(|now| now.der() != on_disk.der())) {
                site.put(on_disk);
            }
        }
        known.clone()
    }

    /// When the next certificate is to be asked for. `None`: now.
    fn due(&self, certificate: Option<&Certificate>, window: Option<Window>) -> Option<SystemTime> {
        let certificate = certificate?;
        let covers_all = self.names.iter().all(|name| certificate.names().contains(name));
        if !covers_all || matches!(certificate.validity(SystemTime::now()), Validity::Expired(_)) {
            return None;
        }
        Some(renewal((certificate.not_before(), certificate.not_after()), window, self.share()))
    }

    /// Asks for a certificate, once. On failure, how long not to ask again at least.
    async fn obtain(
        &self,
        shared: &Shared,
        mut memory: Memory,
        current: Option<&Certificate>,
        ca_knows: bool,
    ) -> Result<(), Duration> {
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
                (Some(trouble.to_string()), Err(wait))
            }
        };
        if let Err(error) = shared.folder.remember(&self.id, &memory) {
            tracing::warn!(site = %names, %error, "the state of its certificate cannot be kept");
            self.report(shared, |report| report.trouble = Some(error.to_string()));
            return Err(LOOK_EVERY);
        }
        self.report(shared, |report| report.trouble = trouble);
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
        let (ca, stage) = (ca.as_str(), &shared.stage);
        let placing = Placing { account: &account, ca, names: &self.names, settings, stage };
        let order = match memory.order.clone() {
            Some(order) => order,
            None => {
                shared.take_order()?;
                let order = placing.begin(replaces.filter(|_| memory.issuer.as_deref() == Some(ca))).await?;
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
        if trouble.remedy() == Remedy::NewAccount {
            shared.accounts.forget(&ca, self.email(shared));
        }
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

    fn put(&self, certificate: Certificate) {
        if let Some(site) = self.site.lock().expect("no panic while the lock is held").clone() {
            site.put(certificate);
        }
    }

    fn report(&self, shared: &Shared, change: impl FnOnce(&mut Report)) {
        let mut reports = shared.reports.lock().expect("no panic while the lock is held");
        let report = reports.entry(self.id.clone()).or_default();
        report.names.clone_from(&self.names);
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

    fn share(&self) -> f64 {
        share_of(&self.id)
    }
}

/// What a CA said of when it wants a certificate to be renewed, and when it was asked.
#[derive(Default)]
struct Asked {
    window: Option<Window>,
    of: Vec<u8>,
    again_at: Option<SystemTime>,
}

impl Asked {
    /// Asks the CA again, if it is time. That it does not say is no failure: two thirds of a life do.
    async fn ask(&mut self, managed: &Managed, shared: &Shared, memory: &Memory, certificate: &Certificate) {
        let now = SystemTime::now();
        let is_other = self.of != certificate.der();
        // A clock that was set back does not keep it from being asked.
        let waits = self.again_at.is_some_and(|at| at > now && at < now + ASK_EVERY.1);
        let Some(ca) = memory.issuer.as_deref().filter(|_| is_other || !waits) else { return };
        if is_other {
            *self = Self { of: certificate.der().to_vec(), ..Self::default() };
        }
        self.again_at = Some(now + ASK_EVERY.1 / 4);
        let Some(id) = identifier(certificate) else { return };
        let Ok(account) = shared.accounts.with(ca, managed.email(shared), &shared.settings).await else { return };
        if let Ok((info, again)) = account.renewal_info(&id).await {
            let (start, end) = (info.suggested_window.start.into(), info.suggested_window.end.into());
            self.window = Some(Window { start, end });
            self.again_at = now.checked_add(again.clamp(ASK_EVERY.0, ASK_EVERY.1));
        }
    }
}

/// As a CA names a certificate (RFC 9773 §4.1).
fn identifier(certificate: &Certificate) -> Option<CertificateIdentifier<'static>> {
    CertificateIdentifier::try_from(&CertificateDer::from(certificate.der())).ok().map(|id| id.into_owned())
}

/// Names of this machine alone (RFC 6761 §6.3): no public CA knows them.
pub(super) fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}
