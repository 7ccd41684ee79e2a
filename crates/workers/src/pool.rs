//! Workers of a program that listens: started when they are asked for, kept while they are busy, gone when idle.
//!
//! ```text
//!  requests ──▶ pool ──▶ a seat at a worker ──▶ its service: HTTP, FastCGI, …
//!                 │ ▲
//!    pooling: decides, with no hands and no clock
//!                 │ ▲
//!              worker: one task each; spawns it, waits until it answers, reads what it writes, ends it
//! ```
//!
//! A request that finds no room waits while a worker starts, and others while all are busy: first come, first served,
//! bounded in number and time. How a worker is spoken to is not known here: whoever makes a pool says it, by a service
//! for an address.

mod counts;
mod nook;
mod output;
mod pooling;
mod ready;
mod settings;
mod usage;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use unary_http::{Request, Response};
use unary_net::{Address, Peer};
use unary_service::{Available, BoxService, Error, HasContext, Kind, Lasting, Service};

use crate::asked::{self, Ask};
use crate::host::engaged::{Engaged, Place};
use crate::program::Program;
use crate::spawner::Spawner;
use crate::spool;
pub use counts::Counts;
use counts::{Counting, Wait};
use pooling::{Act, Asked, Number, Pooling, Waits};
pub use settings::{Door, Readiness, Reuse, Settings};
pub use usage::Usage;

/// How a worker at an address is spoken to.
pub type Speak = dyn Fn(&Address) -> Result<BoxService<Request, Response>, Error> + Send + Sync;

/// Workers of one program, and the way to them. Cheap to clone; all clones are one. When the last is gone the workers
/// are told to end.
#[derive(Clone)]
pub struct Pool(Arc<Inner>, Ask);

struct Inner {
    settings: Settings,
    spawner: Spawner,
    program: String,
    stop_time: Duration,
    speak: Box<Speak>,
    state: Mutex<State>,
    counts: Counting,
    /// An earlier deadline has come up.
    rouse: Arc<Notify>,
}

struct State {
    pooling: Pooling<Ticket>,
    workers: HashMap<Number, Worker>,
    /// When somebody looks next for what is due.
    tick_at: Option<Instant>,
}

/// A request that waits.
type Ticket = oneshot::Sender<Result<Seat, String>>;

/// Its other end.
type Queued = oneshot::Receiver<Result<Seat, String>>;

impl Waits for Ticket {
    fn is_gone(&self) -> bool {
        self.is_closed()
    }
}

struct Worker {
    /// There once it is ready.
    service: Option<BoxService<Request, Response>>,
    pid: Option<u32>,
    /// Dropped, it tells the worker's task to end it.
    _stop: oneshot::Sender<()>,
}

/// A place at a worker, until it is dropped.
struct Seat {
    pool: Weak<Inner>,
    number: Number,
    service: BoxService<Request, Response>,
    /// Whether the worker may have seen anything of a request.
    is_used: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            let number = self.number;
            let over = if self.is_used { Pooling::released } else { Pooling::unseated };
            pool.change(|pooling, now| over(pooling, number, now));
        }
    }
}

impl Place for Seat {
    fn is_lost(&self) {
        if let Some(pool) = self.pool.upgrade() {
            let number = self.number;
            pool.change(|pooling, _| pooling.lost(number));
        }
    }
}

/// A worker as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its process, once it has one.
    pub pid: Option<u32>,
    /// In a word.
    pub state: &'static str,
    /// Its requests now.
    pub busy: usize,
    /// Its requests so far.
    pub served: u64,
}

impl Pool {
    /// A pool of this program's workers, each of which is spoken to by a service that `speak` makes of its address.
    /// Nothing is started yet.
    pub fn new(
        program: &Program,
        spawner: Spawner,
        settings: Settings,
        speak: impl Fn(&Address) -> Result<BoxService<Request, Response>, Error> + Send + Sync + 'static,
    ) -> Self {
        let state = State { pooling: Pooling::new(settings.clone()), workers: HashMap::new(), tick_at: None };
        let inner = Inner {
            settings,
            spawner,
            program: program.name(),
            stop_time: program.stop_time,
            speak: Box::new(speak),
            state: Mutex::new(state),
            counts: Counting::default(),
            rouse: Arc::default(),
        };
        Self(Arc::new(inner), asked::Asked::directly)
    }

    /// Asks this over which connection a request came that waits: who leaves it waits no longer. Its own, unless told.
    pub fn asking(self, ask: Ask) -> Self {
        Self(self.0, ask)
    }

    /// What the program is called.
    pub fn program(&self) -> &str {
        &self.0.program
    }

    /// Its workers now, and how many requests wait for room.
    pub fn shown(&self) -> (Vec<Shown>, usize) {
        let state = self.0.lock();
        let (workers, waiting) = state.pooling.shown();
        let shown = workers.map(|worker| Shown {
            pid: state.workers.get(&worker.number).and_then(|known| known.pid),
            state: worker.stage,
            busy: worker.busy,
            served: worker.served,
        });
        (shown.collect(), waiting)
    }

    /// What became of requests that found no room.
    pub fn counts(&self) -> Counts {
        self.0.counts.read()
    }

    /// Replaces all workers, one after the other: each when another is ready, and when its requests are over.
    pub fn restart(&self) {
        self.0.change(Pooling::replace_all);
    }

    fn step(&self) -> String {
        format!("waiting for a worker of {}", self.0.program)
    }

    /// A place at a worker, or one in the queue.
    fn seat(&self) -> Result<Result<Seat, Queued>, Error> {
        let (ticket, seated) = oneshot::channel();
        let number = match self.0.ask(ticket) {
            Asked::Seat(number) => number,
            Asked::Waits => return Ok(Err(seated)),
            Asked::Full(_) => {
                Counting::add(&self.0.counts.refused, 1);
                return Err(Error::overloaded(self.step()).because("too many requests wait"));
            }
            Asked::Failing(_, why) => return Err(Error::new(Kind::Upstream, self.step()).because(why)),
        };
        let gone = || Error::new(Kind::Unavailable, self.step()).because("the worker is gone");
        self.0.seat(number).map(Ok).ok_or_else(gone)
    }

    /// The place that whoever is queued gets, until `deadline` at most.
    async fn wait(&self, queued: Queued, deadline: Option<tokio::time::Instant>) -> Result<Seat, Error> {
        let counts = &self.0.counts;
        Counting::add(&counts.waited, 1);
        let since = Instant::now();
        let _wait = Wait { counts, since };
        let latest = tokio::time::Instant::from_std(since) + self.0.settings.wait_time_max;
        let late = |_| {
            Counting::add(&counts.late, 1);
            Error::overloaded(self.step()).because("no worker had room for it in time")
        };
        let until = deadline.map_or(latest, |deadline| deadline.min(latest));
        let seated = tokio::time::timeout_at(until, queued).await.map_err(late)?;
        let gone = |_| Error::new(Kind::Unavailable, self.step()).because("the pool is gone");
        seated.map_err(gone)?.map_err(|why| Error::new(Kind::Upstream, self.step()).because(why))
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(self: &Arc<Self>, ticket: Ticket) -> Asked<Ticket> {
        let now = Instant::now();
        let (asked, acts) = {
            let pooling = &mut self.lock().pooling;
            match pooling.ask(now, || ticket) {
                (Asked::Full(ticket), _) => {
                    pooling.forget();
                    pooling.ask(now, || ticket)
                }
                asked => asked,
            }
        };
        self.perform(acts, now);
        asked
    }

    /// The seat that was given at a worker, which has its place among those that are known until it is dropped.
    fn seat(self: &Arc<Self>, number: Number) -> Option<Seat> {
        let service = self.lock().workers.get(&number)?.service.clone()?;
        Some(Seat { pool: Arc::downgrade(self), number, service, is_used: false })
    }

    /// Tells what decides of an event, and does what it says.
    fn change(self: &Arc<Self>, event: impl FnOnce(&mut Pooling<Ticket>, Instant) -> Vec<Act<Ticket>>) {
        let now = Instant::now();
        let acts = event(&mut self.lock().pooling, now);
        self.perform(acts, now);
    }

    fn perform(self: &Arc<Self>, acts: Vec<Act<Ticket>>, now: Instant) {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Start(number) => {
                    let (stop, stopped) = oneshot::channel();
                    let worker = Worker { service: None, pid: None, _stop: stop };
                    self.lock().workers.insert(number, worker);
                    tokio::spawn(worker::live(Arc::downgrade(self), worker::Life::of(self, number), stopped));
                }
                Act::Stop(number) => drop(self.lock().workers.remove(&number)),
                Act::Seat(ticket, number) => {
                    let Some(seat) = self.seat(number) else { continue };
                    // Who has left just now gives the seat back here: to drop it would come back here, for each anew.
                    if let Err(Ok(mut seat)) = ticket.send(Ok(seat)) {
                        seat.pool = Weak::new();
                        acts.extend(self.lock().pooling.unseated(number, now));
                    }
                }
                Act::Fail(ticket, why) => drop(ticket.send(Err(why))),
            }
        }
        self.see_to_deadline(now);
    }

    /// Has somebody look when something is due.
    fn see_to_deadline(self: &Arc<Self>, now: Instant) {
        let mut state = self.lock();
        let Some(due) = state.pooling.deadline() else { return };
        match state.tick_at {
            Some(at) if at <= due => {}
            Some(_) => {
                state.tick_at = Some(due);
                self.rouse.notify_one();
            }
            None => {
                state.tick_at = Some(due.max(now));
                let (pool, rouse) = (Arc::downgrade(self), self.rouse.clone());
                tokio::spawn(tick(pool, rouse));
            }
        }
    }

    /// A worker answers at this address.
    fn ready(self: &Arc<Self>, number: Number, service: BoxService<Request, Response>) {
        if let Some(worker) = self.lock().workers.get_mut(&number) {
            worker.service = Some(service);
        }
        self.change(|pooling, now| pooling.ready(number, now));
    }

    fn ended(self: &Arc<Self>, number: Number, why: &str) {
        // Nobody may be sent to a worker that is not known any more.
        self.change(|pooling, now| pooling.ended(number, now, why));
        drop(self.lock().workers.remove(&number));
    }
}

/// Looks for what is due, for as long as anything will be.
async fn tick(pool: Weak<Inner>, rouse: Arc<Notify>) {
    loop {
        let Some(at) = pool.upgrade().and_then(|pool| pool.lock().tick_at) else { return };
        let _ = tokio::time::timeout_at(at.into(), rouse.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let (acts, is_over) = {
            let mut state = pool.lock();
            let acts = state.pooling.tick(now);
            state.tick_at = state.pooling.deadline();
            (acts, state.tick_at.is_none())
        };
        pool.perform(acts, now);
        if is_over {
            return;
        }
    }
}

impl Available for Pool {}

impl Service<Request> for Pool {
    type Reply = Response;

    async fn call(&self, mut request: Request) -> Result<Response, Error> {
        let wants_length = self.0.settings.door == Door::Stdin;
        if wants_length && request.body().length().is_none() {
            // Whoever sends it slowly is not to have a worker meanwhile.
            request = spool::with_length(request, self.0.settings.kept_bytes_max).await?;
        }
        let deadline = request.context().and_then(|context| context.deadline);
        let mut seat = match self.seat()? {
            Ok(seat) => seat,
            Err(queued) => {
                let _there = (self.1)(&request).peer.map(Peer::while_there);
                self.wait(queued, deadline).await?
            }
        };
        seat.is_used = true;
        if wants_length {
            let seat = Arc::new(seat);
            request.extensions_mut().insert(Engaged(seat.clone()));
            return seat.service.call(request).await;
        }
        let reply = seat.service.call(request).await?;
        Ok(reply.holding(seat)) // The call ends when its body has been sent.
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("program", &self.0.program).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
