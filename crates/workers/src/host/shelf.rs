//! The connections to one worker: those at rest, and who waits for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use unary_net::{Address, Connection, Transport};
use unary_service::{Error, Service};

use super::capacity::{Capacity, Freed, Patience, Verdict};
use super::wire::Wire;
use super::{Bounds, Settings};
use crate::voice::Voice;

/// How often connections at rest are looked at.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Calls that one connection carries. Whoever waits behind connections that are kept gets a turn in the end, other
/// servers' among them.
const CALLS_MAX: u32 = 1000;

/// The connections to one worker.
pub(crate) struct Shelf<D, S> {
    this: Weak<Self>,
    address: Address,
    name: String,
    dial: D,
    settings: Settings,
    bounds: Bounds,
    /// What it says beside its replies.
    voice: Voice,
    state: Mutex<State<S>>,
    /// Whether the worker has been asked how much it takes.
    was_asked: AtomicBool,
    /// Calls under way.
    calls: AtomicUsize,
}

struct State<S> {
    capacity: Capacity,
    /// Those that have rested longest are first.
    idle: Vec<Idle<S>>,
    waiters: VecDeque<oneshot::Sender<Grant<S>>>,
    /// Whether a task looks at those at rest; it ends when there are none.
    is_swept: bool,
}

struct Idle<S> {
    wire: Leased<S>,
    since: Instant,
    thread: usize,
}

/// What a call is given that waited.
enum Grant<S> {
    Wire(Leased<S>),
    /// It may make a connection.
    Dial(Lease),
}

/// A connection, and its place among those of its worker.
pub(crate) struct Leased<S> {
    pub(crate) wire: Box<Wire<S>>,
    lease: Lease,
    /// When the call on it began.
    began: Instant,
    has_answered: bool,
}

/// A place among a worker's connections, given back when the connection is no more.
struct Lease {
    number: u64,
    shelf: Weak<dyn Places>,
}

trait Places: Send + Sync {
    fn closed(&self, number: u64);
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shelf) = self.shelf.upgrade() {
            shelf.closed(self.number);
        }
    }
}

impl<S> Leased<S> {
    /// Whether it has carried a call before: then its worker may have closed it in the meantime.
    pub(crate) fn is_used(&self) -> bool {
        self.wire.calls > 0
    }
}

impl<D, S> Shelf<D, S> {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn voice(&self) -> &Voice {
        &self.voice
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Calls under way.
    pub(crate) fn calls(&self) -> &AtomicUsize {
        &self.calls
    }

    /// Whether calls would have to wait.
    pub(crate) fn is_full(&self) -> bool {
        let state = lock(&self.state);
        state.idle.is_empty() && state.capacity.is_exhausted()
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.capacity.open(), state.idle.len())
    }

    /// Whether the worker is to be asked now how much it takes: once, when nobody waits for it.
    pub(crate) fn may_ask(&self) -> bool {
        !self.was_asked.load(Ordering::Relaxed)
            && lock(&self.state).waiters.is_empty()
            && !self.was_asked.swap(true, Ordering::Relaxed)
    }

    /// The worker says how many connections it takes.
    pub(crate) fn says(&self, connections: usize) {
        lock(&self.state).capacity.says(connections);
    }
}

impl<D, S> Shelf<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    pub(crate) fn new(address: Address, dial: D, settings: Settings) -> Arc<Self> {
        let capacity = Capacity::new(settings.connections_max);
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            voice: Voice::of(&address.to_string()),
            name: address.to_string(),
            address,
            dial,
            settings,
            bounds: settings.into(),
            state: Mutex::new(State { capacity, idle: Vec::new(), waiters: VecDeque::new(), is_swept: false }),
            was_asked: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        })
    }

    /// A connection at rest, or a fresh one, or one that another call is done with.
    pub(crate) async fn take(&self) -> Result<Leased<S>, Error> {
        let now = Instant::now();
        if let Some(wire) = self.take_idle(now) {
            return Ok(wire);
        }
        let grant = {
            let mut state = lock(&self.state);
            match state.capacity.call(now, Patience::Left) {
                Verdict::Dial(number) => Ok(number),
                Verdict::Wait => Err(state.join_queue(&self.settings)),
            }
        };
        match grant {
            Ok(number) => self.dial(self.lease(number)).await,
            Err(queued) => {
                let mut granted = queued.map_err(|why| self.refusal(why))?;
                match self.wait(&mut granted, now).await? {
                    Grant::Wire(wire) => Ok(wire),
                    Grant::Dial(lease) => self.dial(lease).await,
                }
            }
        }
    }

    /// A fresh connection, for a call whose kept one turned out to be closed.
    pub(crate) async fn take_fresh(&self) -> Result<Leased<S>, Error> {
        let now = Instant::now();
        let granted = {
            let mut state = lock(&self.state);
            match state.capacity.call(now, Patience::Lost) {
                Verdict::Dial(number) => Some(number),
                Verdict::Wait => None,
            }
        };
        match granted {
            Some(number) => self.dial(self.lease(number)).await,
            None => self.take().await,
        }
    }

    fn take_idle(&self, now: Instant) -> Option<Leased<S>> {
        let here = here();
        let mut closed = Vec::new(); // Dropped when the lock is free: each takes it to give its place back.
        let mut state = lock(&self.state);
        let found = loop {
            // One of this thread's, if there is: the others' wake their own first.
            let of_here = state.idle.iter().rposition(|idle| idle.thread == here);
            let Some(at) = of_here.or(state.idle.len().checked_sub(1)) else { break None };
            let mut wire = state.idle.remove(at).wire;
            if wire.wire.is_quiet() {
                wire.began = now;
                break Some(wire);
            }
            closed.push(wire);
        };
        drop(state);
        found
    }

    async fn dial(&self, lease: Lease) -> Result<Leased<S>, Error> {
        let began = Instant::now();
        let connection = self.dial.call(self.address.clone()).await?;
        let wire = Box::new(Wire::new(connection));
        Ok(Leased { wire, lease, began, has_answered: false })
    }

    async fn wait(&self, granted: &mut oneshot::Receiver<Grant<S>>, begun: Instant) -> Result<Grant<S>, Error> {
        let until = begun + self.settings.wait_time_max;
        let patience = lock(&self.state).capacity.patience(begun);
        if let Ok(Ok(grant)) = timeout_at(until.min(begun + patience), &mut *granted).await {
            return Ok(grant);
        }
        let verdict = {
            let mut state = lock(&self.state);
            match granted.try_recv() {
                Ok(grant) => return Ok(grant), // Given under this lock, before we got it.
                Err(_) => state.capacity.call(Instant::now(), Patience::Lost),
            }
        };
        if let Verdict::Dial(number) = verdict {
            granted.close(); // A grant that came in between is dropped with it, and gives its place back.
            return match granted.try_recv() {
                Ok(grant) => {
                    drop(self.lease(number));
                    Ok(grant)
                }
                Err(_) => Ok(Grant::Dial(self.lease(number))),
            };
        }
        tokio::select! {
            biased;
            Ok(grant) = &mut *granted => Ok(grant),
            () = sleep_until(until) => {
                let Settings { wait_time_max, .. } = self.settings;
                Err(self.refusal(format!("none became free within {wait_time_max:?}")))
            }
        }
    }

    fn refusal(&self, cause: String) -> Error {
        Error::overloaded(format!("waiting for a connection to {}", self.name)).because(cause)
    }

    fn lease(&self, number: u64) -> Lease {
        let this: Weak<dyn Places> = self.this.clone();
        Lease { number, shelf: this }
    }

    /// The first byte of a reply has come on this connection.
    pub(crate) fn answered(&self, wire: &mut Leased<S>) {
        if !wire.has_answered {
            wire.has_answered = true;
            lock(&self.state).capacity.answered(wire.lease.number);
            self.promote();
        }
    }

    /// Takes back a connection that can carry another call.
    pub(crate) fn give_back(&self, mut wire: Leased<S>) {
        wire.wire.rest();
        let now = Instant::now();
        let mut state = lock(&self.state);
        if wire.wire.calls >= CALLS_MAX || state.capacity.freed(wire.began, now) == Freed::Close {
            drop(state);
            return drop(wire);
        }
        wire.began = now;
        let mut unwanted = Vec::new();
        let mut left = Some(wire);
        while let Some(wire) = left.take() {
            let Some(waiter) = state.waiters.pop_front() else {
                left = Some(wire);
                break;
            };
            if let Err(Grant::Wire(wire)) = waiter.send(Grant::Wire(wire)) {
                left = Some(wire);
            }
        }
        if let Some(wire) = left {
            match self.sees_to_sweeping(&mut state) {
                true => state.idle.push(Idle { wire, since: now, thread: here() }),
                false => unwanted.push(wire), // No event loop runs here: nobody would close it in the end.
            }
        }
        drop(state);
        drop(unwanted);
    }

    /// Lets those who wait make a connection, if there may be one more.
    fn promote(&self) {
        let now = Instant::now();
        loop {
            let mut state = lock(&self.state);
            state.waiters.retain(|waiter| !waiter.is_closed());
            if state.waiters.is_empty() {
                return;
            }
            let Verdict::Dial(number) = state.capacity.call(now, Patience::Left) else { return };
            let waiter = state.waiters.pop_front();
            drop(state);
            if let Some(waiter) = waiter {
                // Whoever does not wait any more drops it, and with it the place.
                drop(waiter.send(Grant::Dial(self.lease(number))));
            }
        }
    }

    /// Sees to it that connections at rest are looked at; whether they are.
    fn sees_to_sweeping(&self, state: &mut State<S>) -> bool {
        if !state.is_swept {
            let Ok(event_loop) = Handle::try_current() else { return false };
            state.is_swept = true;
            event_loop.spawn(Sweeping { shelf: self.this.clone(), is_over: false }.sweep());
        }
        true
    }

    /// Closes what has rested too long or was closed by the worker; whether anything still rests.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let idle_time_max = self.settings.idle_time_max;
        let is_over = |idle: &mut Idle<S>| now - idle.since > idle_time_max || !idle.wire.wire.is_quiet();
        let mut state = lock(&self.state);
        let closed: Vec<_> = state.idle.extract_if(.., is_over).collect();
        state.is_swept = !state.idle.is_empty();
        let is_left = state.is_swept;
        drop(state); // Before the connections close, which give their places back.
        drop(closed);
        is_left
    }
}

impl<S> State<S> {
    fn join_queue(&mut self, settings: &Settings) -> Result<oneshot::Receiver<Grant<S>>, String> {
        if self.waiters.len() >= settings.waiting_max {
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        if self.waiters.len() >= settings.waiting_max {
            return Err(format!("all {} are busy and {} wait", self.capacity.open(), settings.waiting_max));
        }
        let (sender, receiver) = oneshot::channel();
        self.waiters.push_back(sender);
        Ok(receiver)
    }
}

impl<D, S> Places for Shelf<D, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    S: Transport,
{
    fn closed(&self, number: u64) {
        lock(&self.state).capacity.closed(number);
        self.promote();
    }
}

/// The task that looks at connections at rest. Dropped amid it, as a runtime that ends does to its tasks, it says that
/// nobody does so any more.
struct Sweeping<D, S> {
    shelf: Weak<Shelf<D, S>>,
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
            self.is_over = !self.shelf.upgrade().is_some_and(|shelf| shelf.sweep());
        }
    }
}

impl<D, S> Drop for Sweeping<D, S> {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(shelf) = self.shelf.upgrade()
        {
            lock(&shelf.state).is_swept = false;
        }
    }
}

/// This thread's number among those that ever had connections.
pub(crate) fn here() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static HERE: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    HERE.with(|here| *here)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no panic while the lock is held")
}
