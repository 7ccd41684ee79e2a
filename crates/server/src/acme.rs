//! Certificates that look after themselves: asked for, renewed and kept by ACME (RFC 8555), and by a CA
//! of this machine's own for `localhost`.
//!
//! All of it runs on a thread of its own, off the event loops. Each site has a task there: what one site
//! runs into never stops another. What was obtained is on disk before it is used, and what was begun is
//! gone on with after a restart.

mod accounts;
mod answers;
mod ask;
mod client;
mod demand;
mod disk;
#[cfg(test)]
mod fake_ca;
mod folder;
mod kept;
pub(crate) mod local;
mod managed;
mod order;
mod proof;
mod quota;
mod renewal;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
mod told;
mod trouble;
mod update;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use unary_net::tls::Certificates;

pub(crate) use answers::Answers;
#[cfg(feature = "otel")]
pub(crate) use client::system_roots;
pub(crate) use managed::Report;
pub(crate) use settings::AcmeSettings;
pub(crate) use told::wanted;

use accounts::Accounts;
use client::Client;
use demand::{Demand, OnDemandSite};
use folder::Folder;
use local::LocalCa;
use managed::Managed;
use proof::Stage;
use quota::Quota;
use schedule::Now;
use settings::Wanted;
use trouble::Trouble;

/// Orders under way at once. CAs allow more; a site that waits for its first certificate waits longer.
const ORDERS_AT_ONCE: usize = 4;

/// How often somebody who may not write tries to become the one who may.
const LOCK_EVERY: Duration = Duration::from_secs(5);

/// Certificates that look after themselves. Dropping this ends all that it does; what is under way is
/// gone on with by the next.
#[derive(Debug)]
pub(crate) struct Acme {
    settings: AcmeSettings,
    folder: Folder,
    reports: Arc<Mutex<HashMap<String, Report>>>,
    shared: Weak<Shared>,
    /// Dropped to stop.
    news: Option<watch::Sender<Vec<Wanted>>>,
    thread: Option<JoinHandle<()>>,
}

/// What all sites' tasks share.
struct Shared {
    settings: AcmeSettings,
    folder: Folder,
    accounts: Accounts,
    local: LocalCa,
    stage: Stage,
    /// Bounds the orders under way.
    permits: Semaphore,
    /// The orders that may be made; nothing before the first.
    orders: Mutex<Option<Quota>>,
    /// Whoever comes with names that have no certificate yet.
    demand: Option<Demand>,
    /// Whether this process may write.
    writes: AtomicBool,
    reports: Arc<Mutex<HashMap<String, Report>>>,
}

impl Acme {
    /// Begins, with no site yet. CAs that look over plain HTTP are to get these answers. This blocks.
    ///
    /// # Errors
    ///
    /// If the folder for the state cannot be written, or the CA certificate cannot be read, or there is
    /// no CA.
    pub(crate) fn start(settings: AcmeSettings, certificates: &Certificates, answers: &Answers) -> io::Result<Self> {
        if settings.cas.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no CA to ask for certificates"));
        }
        let kept = settings.clone();
        let folder = Folder::open(&settings.state)?;
        let client = Client::new(settings.root.as_deref())?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let demand = settings.on_demand.clone().map(|told| Demand::new(told, runtime.handle().clone())).transpose()?;
        let reports = Arc::default();
        let shared = Arc::new(Shared {
            accounts: Accounts::new(client, folder.clone()),
            local: LocalCa::at(&folder),
            stage: Stage { answers: answers.clone(), certificates: certificates.clone() },
            permits: Semaphore::new(ORDERS_AT_ONCE),
            orders: Mutex::default(),
            demand,
            writes: AtomicBool::new(false),
            reports: Arc::clone(&reports),
            settings,
            folder: folder.clone(),
        });
        let (news, told) = watch::channel(Vec::new());
        let weak = Arc::downgrade(&shared);
        let work = move || {
            runtime.block_on(shared.run(told));
            runtime.shutdown_background(); // It may be looking a name up, which is not to be waited for.
        };
        let thread = thread::Builder::new().name("acme".to_owned()).spawn(work)?;
        Ok(Self { settings: kept, folder, reports, shared: weak, news: Some(news), thread: Some(thread) })
    }

    /// Looks after these sites from now on, and no others. Those whose certificate is on disk, or another
    /// that is for some of their names, have it when this returns, which blocks for as long as that takes.
    pub(crate) fn manage(&self, wanted: Vec<Wanted>) {
        for wanted in &wanted {
            if wanted.is_on_demand {
                wanted.site.obtain_by(OnDemandSite::new(wanted.terms.clone(), self.shared.clone()));
            }
            if wanted.site.certificate().is_none()
                && let Some(managed) = Managed::of(wanted)
            {
                managed.take_up(&wanted.site, &self.folder);
            }
        }
        let without = wanted.iter().filter(|wanted| !wanted.is_on_demand && wanted.site.certificate().is_none());
        kept::make_do(&without.map(|wanted| &*wanted.site).collect::<Vec<_>>(), &self.folder);
        if let Some(news) = &self.news {
            news.send_replace(wanted);
        }
    }

    /// What it was told when it began.
    pub(crate) fn settings(&self) -> &AcmeSettings {
        &self.settings
    }

    /// How it is with each site.
    pub(crate) fn reports(&self) -> Vec<Report> {
        let reports = self.reports.lock().expect("no panic while the lock is held");
        let mut reports: Vec<Report> = reports.values().cloned().collect();
        reports.sort_by(|one, other| one.names.cmp(&other.names));
        reports
    }
}

impl Drop for Acme {
    fn drop(&mut self) {
        self.news = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>, mut told: watch::Receiver<Vec<Wanted>>) {
        let mut tasks: HashMap<String, (Arc<Managed>, AbortHandle)> = HashMap::new();
        let mut lock: Option<File> = self.try_lock();
        loop {
            tokio::select! {
                changed = told.changed() => match changed {
                    Ok(()) => {
                        lock = lock.take().or_else(|| self.try_lock()); // Whoever had it before may just have gone.
                        self.take_over(&mut tasks, told.borrow_and_update().clone());
                    }
                    Err(_) => break,
                },
                () = tokio::time::sleep(LOCK_EVERY), if lock.is_none() => lock = self.try_lock(),
            }
        }
        tasks.values().for_each(|(_, task)| task.abort());
        drop(lock);
    }

    fn try_lock(&self) -> Option<File> {
        let lock = self.folder.lock().unwrap_or_else(|error| {
            tracing::warn!(%error, "the lock on the folder of certificates cannot be had; trying again");
            None
        });
        self.writes.store(lock.is_some(), Ordering::Release);
        lock
    }

    /// Begins tasks for sites that are new, ends those of sites that are gone, and leaves the others be.
    fn take_over(self: &Arc<Self>, tasks: &mut HashMap<String, (Arc<Managed>, AbortHandle)>, wanted: Vec<Wanted>) {
        let mut now = HashMap::new();
        let on_demand = wanted.iter().filter(|wanted| wanted.is_on_demand);
        let on_demand: HashSet<String> = on_demand.map(Managed::id_of).collect();
        for wanted in wanted.into_iter().filter(|wanted| !wanted.is_on_demand) {
            let Some(managed) = Managed::of(&wanted) else {
                tracing::warn!("no certificate is for all names, so one site gets none");
                continue;
            };
            let id = managed.id().to_owned();
            let (managed, task) = tasks.remove(&id).unwrap_or_else(|| {
                let managed = Arc::new(managed);
                let task = tokio::spawn(managed.clone().look_after(self.clone()));
                (managed, task.abort_handle())
            });
            managed.serve(wanted.site, &self.folder);
            now.insert(id, (managed, task));
        }
        std::mem::replace(tasks, now).values().for_each(|(_, task)| task.abort());
        let mut reports = self.reports.lock().expect("no panic while the lock is held");
        reports.retain(|id, _| tasks.contains_key(id) || on_demand.contains(id));
    }

    /// Takes one of the orders that may be made; or says how long to wait.
    fn take_order(&self) -> Result<(), Trouble> {
        let mut orders = self.orders.lock().expect("no panic while the lock is held");
        let (max, per, now) = (self.settings.orders_max, self.settings.orders_per, Now::here());
        let orders = orders.get_or_insert_with(|| Quota::resume(max, per, &self.folder.orders(), now));
        orders.take(now.steady).map_err(|wait| {
            let cause = format!("there have been {max} in {} s, and there may be no more", per.as_secs());
            Trouble::new("ordering a certificate", cause).with(trouble::Remedy::NextOrder(wait))
        })?;
        // Counted before it is made: a crash in between costs one, and the other way round the bound.
        self.folder.keep_orders(&orders.taken(now)).map_err(|cause| Trouble::new("keeping the times of orders", cause))
    }
}
