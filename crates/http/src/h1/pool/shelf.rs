//! Where connections rest between calls, and who waits for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use unary_net::{Address, Connection, Transport};
use unary_service::{Error, Service};

use super::Settings;
use crate::EarlyHints;
use crate::h1::client::{Bounds, Home, Place, Wire};

/// How often connections at rest are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// More event loops than this share places to rest.
const SHARDS_MAX: usize = 64;

/// The connections to one server.
pub(super) struct Shelf<D, S> {
    this: Weak<Self>,
    address: Address,
    text: String,
    dial: D,
    settings: Settings,
    bounds: Bounds,
    idle_sweeps_max: u32,
    shards: Box<[Mutex<Shard<S>>]>,
    permits: Arc<Semaphore>,
    tunnels: Arc<Semaphore>,
    waiters: Mutex<VecDeque<oneshot::Sender<Box<Wire<S>>>>>,
    /// How many those are. Looked at whenever a connection comes back.
    waiting: AtomicUsize,
}

/// One event loop's connections at rest, those that rest longest first.
struct Shard<S> {
    idle: Vec<Idle<S>>,
    /// The sweeps so far: the clock by which connections rest.
    sweeps: u32,
    /// Whether a task sweeps; it ends when there is nothing left to look at.
    is_swept: bool,
}

struct Idle<S> {
    wire: Box<Wire<S>>,
    since: u32,
}

impl<D, S> Shelf<D, S> {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn dial(&self) -> &D {
        &self.dial
    }

    pub(super) fn early_hints(&self) -> EarlyHints {
        self.settings.early_hints
    }

    pub(super) fn is_full(&self) -> bool {
        self.permits.available_permits() == 0 && self.idle() == 0
    }

    pub(super) fn connections(&self) -> usize {
        self.settings.connections_max - self.permits.available_permits()
    }

    pub(super) fn tunnels(&self) -> usize {
        self.settings.tunnels_max - self.tunnels.available_permits()
    }

    pub(super) fn idle(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).idle.len()).sum()
    }
}

impl<D, S> Shelf<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    pub(super) fn new(address: Address, dial: D, settings: Settings) -> Arc<Self> {
        let connections_max = settings.connections_max.clamp(1, Semaphore::MAX_PERMITS);
        let tunnels_max = settings.tunnels_max.min(Semaphore::MAX_PERMITS);
        let settings = Settings { connections_max, tunnels_max, ..settings };
        let sweeps = settings.idle_time_max.as_millis().div_ceil(SWEEP_EVERY.as_millis());
        let shard = || Mutex::new(Shard { idle: Vec::new(), sweeps: 0, is_swept: false });
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            text: address.to_string(),
            address,
            dial,
            settings,
            bounds: settings.limits.into(),
            idle_sweeps_max: u32::try_from(sweeps).unwrap_or(u32::MAX),
            shards: (0..shards()).map(|_| shard()).collect(),
            permits: Arc::new(Semaphore::new(connections_max)),
            tunnels: Arc::new(Semaphore::new(tunnels_max)),
            waiters: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The connection that has rested least, if one does here.
    pub(super) fn take_idle(&self) -> Option<Box<Wire<S>>> {
        self.take_from(here())
    }

    fn take_from(&self, shard: usize) -> Option<Box<Wire<S>>> {
        let shard = &self.shards[shard % self.shards.len()];
        loop {
            let mut wire = lock(shard).idle.pop()?.wire;
            if wire.is_quiet() {
                return Some(wire);
            }
        }
    }

    /// A fresh connection, or one that another call is done with if there may be no more.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Box<Wire<S>>, Error> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match self.wait().await? {
                Waited::Wire(wire) => return Ok(wire),
                Waited::Permit(permit) => permit,
            },
        };
        let connection = self.dial.call(self.address.clone()).await?;
        let place = Place::new(here() % self.shards.len(), permit);
        Ok(Box::new(Wire::new(connection, self.bounds.head, place)))
    }

    /// A place for a connection that is about to leave HTTP.
    pub(super) fn tunnel(&self) -> Result<OwnedSemaphorePermit, Error> {
        let taken = || format!("all {} are taken", self.settings.tunnels_max);
        let refusal = || Error::overloaded(format!("opening a tunnel to {}", self.text)).because(taken());
        self.tunnels.clone().try_acquire_owned().map_err(|_| refusal())
    }

    async fn wait(&self) -> Result<Waited<S>, Error> {
        let mut returned = self.join_queue()?;
        // After joining: who gives one back from now on sees that somebody waits.
        if let Some(wire) = (0..self.shards.len()).find_map(|shard| self.take_from(shard)) {
            return Ok(Waited::Wire(wire));
        }
        let wait = async {
            tokio::select! {
                biased;
                Ok(wire) = &mut returned => Waited::Wire(wire),
                Ok(permit) = self.permits.clone().acquire_owned() => Waited::Permit(permit),
            }
        };
        timeout(self.settings.wait_time_max, wait).await.map_err(|_| {
            let Settings { connections_max, wait_time_max, .. } = self.settings;
            self.refusal(format!("none of {connections_max} became free within {wait_time_max:?}"))
        })
    }

    fn join_queue(&self) -> Result<oneshot::Receiver<Box<Wire<S>>>, Error> {
        let Settings { connections_max, waiting_max, .. } = self.settings;
        let mut waiters = lock(&self.waiters);
        if waiters.len() >= waiting_max {
            waiters.retain(|waiter| !waiter.is_closed());
        }
        if waiters.len() >= waiting_max {
            return Err(self.refusal(format!("all {connections_max} are busy and {waiting_max} wait")));
        }
        let (sender, receiver) = oneshot::channel();
        waiters.push_back(sender);
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        Ok(receiver)
    }

    fn refusal(&self, cause: String) -> Error {
        Error::overloaded(format!("waiting for a connection to {}", self.text)).because(cause)
    }

    /// Gives a connection to whoever waits longest; back, if nobody does.
    fn hand_over(&self, mut wire: Box<Wire<S>>) -> Option<Box<Wire<S>>> {
        let mut waiters = lock(&self.waiters);
        while let Some(waiter) = waiters.pop_front() {
            self.waiting.store(waiters.len(), Ordering::SeqCst);
            match waiter.send(wire) {
                Ok(()) => return None,
                Err(unwanted) => wire = unwanted,
            }
        }
        Some(wire)
    }

    /// Closes what has rested too long or was closed by the server; whether anything still rests.
    fn sweep(&self, shard: usize) -> bool {
        let mut shard = lock(&self.shards[shard]);
        shard.sweeps = shard.sweeps.wrapping_add(1);
        let now = shard.sweeps;
        let is_over = |idle: &mut Idle<S>| now.wrapping_sub(idle.since) > self.idle_sweeps_max || !idle.wire.is_quiet();
        let closed: Vec<_> = shard.idle.extract_if(.., is_over).collect();
        let is_left = !shard.idle.is_empty();
        shard.is_swept = is_left;
        drop(shard); // Before the connections close.
        drop(closed);
        is_left
    }
}

enum Waited<S> {
    Wire(Box<Wire<S>>),
    Permit(OwnedSemaphorePermit),
}

impl<D, S> Home<S> for Shelf<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    fn take_back(&self, mut wire: Box<Wire<S>>) {
        wire.rest();
        if self.waiting.load(Ordering::Relaxed) > 0 {
            match self.hand_over(wire) {
                Some(unwanted) => wire = unwanted,
                None => return,
            }
        }
        let index = wire.shard();
        let mut shard = lock(&self.shards[index]);
        // Whoever began to wait and found nothing here did so before we got the lock, and is seen; what
        // is dropped instead gives its permit to them.
        if shard.idle.len() < self.settings.idle_max && self.waiting.load(Ordering::SeqCst) == 0 {
            if !shard.is_swept {
                let Ok(event_loop) = Handle::try_current() else { return };
                shard.is_swept = true;
                event_loop.spawn(Sweeping { shelf: self.this.clone(), shard: index, is_over: false }.sweep());
            }
            let since = shard.sweeps;
            shard.idle.push(Idle { wire, since });
        }
    }

    fn name(&self) -> &str {
        &self.text
    }

    fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}

/// The task that looks at a shard's connections. Dropped amid it, as a runtime that ends does to its
/// tasks, it says that nobody does so any more.
struct Sweeping<D, S> {
    shelf: Weak<Shelf<D, S>>,
    shard: usize,
    is_over: bool,
}

impl<D, S> Sweeping<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    async fn sweep(mut self) {
        while !self.is_over {
            sleep(SWEEP_EVERY).await;
            self.is_over = !self.shelf.upgrade().is_some_and(|shelf| shelf.sweep(self.shard));
        }
    }
}

impl<D, S> Drop for Sweeping<D, S> {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(shelf) = self.shelf.upgrade()
        {
            lock(&shelf.shards[self.shard]).is_swept = false;
        }
    }
}

/// This thread's number among those that ever had connections.
fn here() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HERE: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    HERE.with(|here| *here)
}

/// One for each event loop there may be, as a rule.
fn shards() -> usize {
    static SHARDS: OnceLock<usize> = OnceLock::new();
    *SHARDS.get_or_init(|| thread::available_parallelism().map_or(1, usize::from).min(SHARDS_MAX))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while the lock is held")
}
