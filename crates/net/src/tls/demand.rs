//! Certificates by name, for sites where each name has its own, obtained when somebody comes with it.
//!
//! Here they are held and found; who may have one, and how it is had, is for an [`Obtain`] to decide.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use arc_swap::{ArcSwap, ArcSwapOption};

use super::certificate::{Certificate, Validity};
use super::certificates::TlsSite;

/// Certificates held for one site, some 8 KiB each. Beyond them the one that nobody has come for the
/// longest is let go of; whoever obtained it has it still.
const HELD_MAX: usize = 10_000;

/// Whoever obtains certificates for names that somebody comes with. Called on event loops: nothing here
/// may wait, but for what is returned.
pub trait Obtain: Send + Sync {
    /// Somebody came with this name, in lower case, for which the site has no certificate that is valid.
    /// What is returned ends when it has one, or when there is none to be had for now. Dropping it ends
    /// nothing but the wait.
    fn obtain(&self, site: &Arc<TlsSite>, name: &str) -> Waiting;

    /// Somebody came with this name and is shown this certificate: it may be time to renew it.
    fn shown(&self, site: &Arc<TlsSite>, name: &str, certificate: &Certificate);
}

/// What [`Obtain::obtain`] returns.
pub type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The certificates of a site, by name.
#[derive(Default)]
pub(super) struct Demand {
    held: ArcSwap<HashMap<Box<str>, Held>>,
    /// Held while they are changed.
    changing: Mutex<()>,
    by: ArcSwapOption<Box<dyn Obtain>>,
    /// How many have come so far, which tells who came last.
    came: AtomicU64,
}

#[derive(Clone)]
struct Held {
    certificate: Arc<Certificate>,
    /// Who came for it last.
    came: Arc<AtomicU64>,
}

impl Demand {
    pub(super) fn obtain_by(&self, by: Box<dyn Obtain>) {
        self.by.store(Some(Arc::new(by)));
    }

    /// The certificate of this name, for somebody who came with it.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Certificate>> {
        let held = self.held.load();
        let held = held.get(name)?;
        held.came.store(self.came.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(held.certificate.clone())
    }

    /// All that are held, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Certificate>> {
        let held = self.held.load();
        let mut all: Vec<_> = held.iter().map(|(name, held)| (name, &held.certificate)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter().map(|(_, certificate)| certificate.clone()).collect()
    }

    /// Holds a certificate for each name it is for, in place of those from before.
    pub(super) fn put(&self, certificate: Certificate) {
        self.put_within(certificate, HELD_MAX);
    }

    fn put_within(&self, certificate: Certificate, held_max: usize) {
        let certificate = Arc::new(certificate);
        let _changing = self.changing.lock().expect("no panic while the lock is held");
        let mut held = HashMap::clone(&self.held.load());
        for name in certificate.names() {
            if held.len() >= held_max && !held.contains_key(name) {
                let longest = held.iter().min_by_key(|(_, held)| held.came.load(Ordering::Relaxed));
                let longest = longest.map(|(name, _)| name.clone());
                longest.and_then(|name| held.remove(&name));
            }
            let came = Arc::new(AtomicU64::new(self.came.fetch_add(1, Ordering::Relaxed)));
            held.insert(name.clone(), Held { certificate: certificate.clone(), came });
        }
        self.held.store(Arc::new(held));
    }

    /// For somebody who came with this name: what to wait for, if there is no certificate that is valid.
    pub(super) fn come(&self, site: &Arc<TlsSite>, name: &str) -> Option<Waiting> {
        let by = self.by.load_full()?;
        match self.find(name) {
            Some(held) if matches!(held.validity(SystemTime::now()), Validity::Valid(_)) => {
                by.shown(site, name, &held);
                None
            }
            _ => Some(by.obtain(site, name)),
        }
    }
}

impl fmt::Debug for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates by name", self.held.load().len())
    }
}

#[cfg(test)]
mod tests;
