//! Certificates that are obtained when somebody comes: for which names, who is asked, and who waits.
//!
//! Nobody is trusted to come with names of sense. So one thing after the other narrows down what a name
//! may cost: whether it is well formed, what was said of it lately, whether it is kept on disk, whoever
//! knows, how many new names there may be, and how many orders.

mod name;
mod renewals;
#[cfg(test)]
mod tests;
mod verdicts;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use unary_net::tls::{Certificate, Obtain, TlsSite, Validity, Waiting};

use super::ask::Ask;
use super::managed::{Failed, Managed};
use super::quota::Quota;
use super::schedule::{Now, Window, back_off, renewal, wait_left};
use super::settings::{OnDemand, Terms};
use super::{LOCK_EVERY, Shared};
use name::is_well_formed;
use renewals::Renewals;
use verdicts::{Verdict, Verdicts};

/// Names that are being obtained at once, most of which wait for somebody's answer.
const UNDER_WAY_MAX: usize = 256;

/// Handshakes that wait at once: a quarter of those that may be under way.
const WAITING_MAX: usize = 512;

/// Questions that are open at once.
const QUESTIONS_MAX: usize = 16;

/// CAs that are asked at once when they want a certificate to be renewed.
const ASKED_AT_ONCE: usize = 4;

/// How long an answer is believed.
const ANSWER_LIFE: Duration = Duration::from_secs(60);

/// How long nobody is asked of a name again, where nobody answered.
const SILENCE: Duration = Duration::from_secs(5);

/// How long it is waited for another process that has the right to order, such as one that is draining.
const RIGHT_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long a name is let be whose certificate has expired when it is issued: a clock is wrong.
const WRONG_CLOCK: Duration = Duration::from_secs(3600);

/// What sites have in common whose certificates are obtained when somebody comes.
pub(super) struct Demand {
    ask: Ask,
    settings: OnDemand,
    runtime: Handle,
    state: Mutex<State>,
    questions: Semaphore,
    /// Bounds the CAs that are asked about renewals.
    asking: Arc<Semaphore>,
    /// How many new names there may be.
    names: Mutex<Option<Quota>>,
    /// Whether somebody was told that nobody answers, or that there are too many names. Told again once
    /// that has changed in between.
    has_complained: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What is being obtained, by where it is kept, and who waits for it.
    under_way: HashMap<String, Vec<oneshot::Sender<()>>>,
    /// How many wait for those at most: some may have gone.
    waiting: usize,
    verdicts: Verdicts,
    renewals: Renewals,
}

/// One such site.
#[derive(Clone)]
pub(super) struct OnDemandSite {
    shared: Weak<Shared>,
    terms: Terms,
}

impl Demand {
    /// This blocks.
    pub(super) fn new(settings: OnDemand, runtime: Handle) -> io::Result<Self> {
        Ok(Self {
            ask: Ask::at(settings.ask.clone())?,
            settings,
            runtime,
            state: Mutex::default(),
            questions: Semaphore::new(QUESTIONS_MAX),
            asking: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            names: Mutex::default(),
            has_complained: AtomicBool::new(false),
        })
    }

    /// When the CA wants this certificate of a name to be renewed, if it has said so.
    fn window(&self, name: &str, certificate: &Certificate) -> Option<Window> {
        let asked = self.state().renewals.of(name);
        asked.window(certificate)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }

    /// Whether this name may have a certificate; if not, how long that is so.
    async fn allows(&self, name: &str) -> Result<(), Duration> {
        if self.state().verdicts.of(name, Instant::now()) == Some(Verdict::Yes) {
            return Ok(());
        }
        let _permit = self.questions.acquire().await.expect("the semaphore is never closed");
        match self.ask.about(name).await {
            Ok(true) => {
                self.has_complained.store(false, Ordering::Relaxed);
                self.state().verdicts.add(name, Verdict::Yes, Instant::now() + ANSWER_LIFE);
                Ok(())
            }
            Ok(false) => {
                tracing::debug!(%name, "it may not have a certificate");
                Err(ANSWER_LIFE)
            }
            Err(cause) => {
                self.complain(|| {
                    tracing::warn!(%name, ask = %self.ask, %cause, "nobody says whether it may have a certificate");
                });
                Err(SILENCE)
            }
        }
    }

    /// Takes one of the new names that there may be; or says how long to wait for the next.
    fn take_name(&self, shared: &Shared, name: &str) -> Result<(), Duration> {
        let now = Now::here();
        let mut names = self.names.lock().expect("no panic while the lock is held");
        let (max, per) = (self.settings.names_max, self.settings.names_per);
        let names = names.get_or_insert_with(|| Quota::resume(max, per, &shared.folder.new_names(), now));
        names.take(now.steady).inspect_err(|wait| {
            self.complain(|| {
                let (wait, per) = (wait.as_secs(), per.as_secs());
                tracing::warn!(%name, "there have been {max} new names in {per} s, and there may be no more for {wait} s");
            });
        })?;
        // Counted before anything is ordered, as orders are.
        shared.folder.keep_new_names(&names.taken(now)).map_err(|error| {
            tracing::warn!(%error, "how many new names there were cannot be kept");
            SILENCE
        })
    }

    fn complain(&self, say: impl FnOnce()) {
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            say();
        }
    }
}

impl State {
    /// Whether one more may wait.
    fn has_room(&mut self) -> bool {
        if self.waiting >= WAITING_MAX {
            self.under_way.values_mut().for_each(|waiting| waiting.retain(|one| !one.is_closed()));
            self.waiting = self.under_way.values().map(Vec::len).sum();
        }
        self.waiting < WAITING_MAX
    }
}

/// Somebody who came with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guest {
    Waits,
    /// There is a certificate for it still.
    IsServed,
}

impl OnDemandSite {
    pub(super) fn new(terms: Terms, shared: Weak<Shared>) -> Self {
        Self { shared, terms }
    }

    /// Begins to obtain a certificate of this name, unless somebody has. What to wait for, for a guest who
    /// does, if there is hope.
    fn begin(&self, site: &Arc<TlsSite>, name: &str, guest: Guest) -> Option<oneshot::Receiver<()>> {
        if !is_well_formed(name) {
            return None;
        }
        let shared = self.shared.upgrade()?;
        let demand = shared.demand.as_ref()?;
        let managed = Managed::on_demand(name, site, &self.terms);
        let mut state = demand.state();
        let waits = guest == Guest::Waits;
        if state.verdicts.of(name, Instant::now()) == Some(Verdict::No) || (waits && !state.has_room()) {
            return None;
        }
        let is_new = !state.under_way.contains_key(managed.id());
        if is_new && state.under_way.len() >= UNDER_WAY_MAX {
            return None;
        }
        let under_way = state.under_way.entry(managed.id().to_owned()).or_default();
        let waiting = waits.then(|| {
            let (done, waiting) = oneshot::channel();
            under_way.push(done);
            waiting
        });
        state.waiting += usize::from(waits);
        drop(state);
        if is_new {
            let (handle, name) = (demand.runtime.clone(), name.to_owned());
            let under_way = UnderWay { shared, id: managed.id().to_owned() };
            handle.spawn(async move { under_way.obtain(&managed, &name).await });
        }
        waiting
    }
}

impl Obtain for OnDemandSite {
    fn obtain(&self, site: &Arc<TlsSite>, name: &str) -> Waiting {
        let waiting = self.begin(site, name, Guest::Waits);
        Box::pin(async move {
            if let Some(waiting) = waiting {
                let _ = waiting.await; // Whether there is one now is seen where it is looked for.
            }
        })
    }

    fn shown(&self, site: &Arc<TlsSite>, name: &str, certificate: &Certificate) {
        let Some(shared) = self.shared.upgrade() else { return };
        let Some(demand) = &shared.demand else { return };
        let (valid, now) = ((certificate.not_before(), certificate.not_after()), SystemTime::now());
        let window = demand.window(name, certificate);
        // Unless its CA says so, for no name is it sooner than that.
        let may_be_due = window.is_some() || renewal(valid, None, 1.0) <= now;
        if may_be_due && Managed::on_demand(name, site, &self.terms).is_due(certificate, window, now) {
            self.begin(site, name, Guest::IsServed);
        } else if shared.writes.load(Ordering::Acquire) {
            self.ask(&shared, demand, site, name, certificate);
        }
    }
}

impl OnDemandSite {
    /// Asks the CA when it wants this certificate to be renewed, if it is time; and renews it if that is now.
    fn ask(&self, shared: &Arc<Shared>, demand: &Demand, site: &Arc<TlsSite>, name: &str, certificate: &Certificate) {
        let Ok(permit) = demand.asking.clone().try_acquire_owned() else { return }; // Whoever comes next asks.
        let Some(mut asked) = demand.state().renewals.begin(name, certificate) else { return };
        let (by, shared, site) = (self.clone(), shared.clone(), site.clone());
        let (name, certificate) = (name.to_owned(), certificate.clone());
        demand.runtime.spawn(async move {
            let managed = Managed::on_demand(&name, &site, &by.terms);
            let memory = shared.folder.memory(managed.id());
            managed.ask(&mut asked, &shared, &memory, &certificate).await;
            drop(permit);
            if let Some(demand) = &shared.demand {
                demand.state().renewals.add(&name, asked);
            }
            if managed.is_due(&certificate, asked.window(&certificate), SystemTime::now()) {
                by.begin(&site, &name, Guest::IsServed);
            }
        });
    }
}

/// A name that is being obtained. Dropped, it no longer is, whatever became of it.
struct UnderWay {
    shared: Arc<Shared>,
    id: String,
}

impl UnderWay {
    async fn obtain(self, managed: &Managed, name: &str) {
        let Some(demand) = &self.shared.demand else { return };
        if let Err(wait) = self.try_obtain(demand, managed, name).await {
            demand.state().verdicts.add(name, Verdict::No, Instant::now() + wait);
        }
    }

    /// If there is none to be had, how long that is so.
    async fn try_obtain(&self, demand: &Demand, managed: &Managed, name: &str) -> Result<(), Duration> {
        let (shared, now) = (&*self.shared, Now::here());
        let on_disk = shared.folder.certificate(managed.id());
        if let Some(kept) = on_disk.as_ref().filter(|kept| is_valid(kept)) {
            managed.put(kept.clone());
            self.release();
        }
        let window = on_disk.as_ref().and_then(|kept| demand.window(name, kept));
        let memory = managed.memory(shared, now);
        let is_past = managed.is_past(memory.issuer.as_deref(), &shared.settings.cas);
        if on_disk.as_ref().is_some_and(|kept| is_valid(kept) && !is_past && !managed.is_due(kept, window, now.wall)) {
            return Ok(());
        }
        if memory.failures > 0 {
            let back_off = back_off(shared.settings.back_off, memory.failures, managed.share());
            let wait = wait_left(memory.failed_at, back_off, now.wall);
            if !wait.is_zero() {
                return Err(wait.min(ANSWER_LIFE));
            }
        }
        demand.allows(name).await?;
        may_write(shared).await?;
        if on_disk.is_none() && memory.order.is_none() {
            demand.take_name(shared, name)?;
        }
        let obtained = managed.obtain(shared, memory, on_disk.as_ref(), window.is_some()).await;
        obtained.map_err(|Failed { failures, wait }| match failures {
            0 => wait.max(SILENCE),
            failures => wait.max(back_off(shared.settings.back_off, failures, managed.share())),
        })?;
        let Some(new) = shared.folder.certificate(managed.id()) else { return Ok(()) };
        // Its CA is let be for a while: one that wants each to be renewed at once would be asked for ever.
        demand.state().renewals.begin(name, &new);
        let is_fit = is_valid(&new) && !managed.is_due(&new, None, SystemTime::now());
        if is_fit { Ok(()) } else { Err(WRONG_CLOCK) }
    }

    /// Whoever waits need not any longer.
    fn release(&self) {
        if let Some(demand) = &self.shared.demand {
            let mut state = demand.state();
            let waiting = state.under_way.get_mut(&self.id).map(std::mem::take).unwrap_or_default();
            state.waiting -= waiting.len();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.release();
        if let Some(demand) = &self.shared.demand {
            demand.state().under_way.remove(&self.id);
        }
    }
}

/// Waits until this process may order.
async fn may_write(shared: &Shared) -> Result<(), Duration> {
    let until = Instant::now() + RIGHT_WAIT_MAX;
    while !shared.writes.load(Ordering::Acquire) {
        if Instant::now() >= until {
            return Err(LOCK_EVERY);
        }
        tokio::time::sleep(LOCK_EVERY / 10).await;
    }
    Ok(())
}

fn is_valid(certificate: &Certificate) -> bool {
    matches!(certificate.validity(SystemTime::now()), Validity::Valid(_))
}
