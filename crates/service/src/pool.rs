//! The pool: a bounded number of threads for what would hold an event loop, and a bounded queue
//! before them. Long calculations run here (see [`offload`](fn@crate::offload)), and reads of files
//! that are not in memory.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::thread;

use tokio::sync::oneshot;

use crate::{Available, Error, Kind, Status};

/// Threads of the shared pool for each core. Most of what runs there waits for a disk, so there
/// are more than can calculate at once.
const SHARED_THREADS_PER_CORE: usize = 4;
/// A disk is worth asking several things at once, however few the cores.
const SHARED_THREADS_MIN: usize = 8;
/// More than this only takes turns.
const SHARED_THREADS_MAX: usize = 64;
/// What waits behind this many cold reads of some milliseconds each is better refused.
const SHARED_QUEUE_MAX: usize = 1024;

/// A bounded number of threads for what would hold an event loop, with a bounded queue.
///
/// Threads are started when there is work and none is free, are named `unary-pool-N`, and stay
/// until the last clone of the pool is dropped. A panic costs the work that panicked, not the
/// thread. A pool has no runtime: what runs on it may block, and may not spawn tasks.
///
/// ```
/// use unary_service::pool::Pool;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let pool = Pool::new(2, 16);
/// let sum = pool.run(|| (1..=1_000_000_u64).sum::<u64>()).await?;
/// assert_eq!(sum, 500_000_500_000);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool(Arc<Owner>);

/// What the pool's handles share. The threads hold only what is inside, so they see it go.
struct Owner(Arc<Shared>);

struct Shared {
    threads_max: usize,
    queue_max: usize,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order of their ids.
    jobs: VecDeque<Job>,
    next_id: u64,
    threads: usize,
    /// Threads that sleep and that nobody has woken yet.
    idle: usize,
    /// Threads that were woken and have not looked for their job yet.
    woken: usize,
    /// Threads that were started and have not looked for their job yet.
    starting: usize,
    closed: bool,
}

struct Job {
    id: u64,
    work: Box<dyn FnOnce() + Send>,
}

impl Pool {
    /// A pool of at most `threads_max` threads (at least one), before which at most `queue_max`
    /// pieces of work wait. No thread is started before there is work.
    pub fn new(threads_max: usize, queue_max: usize) -> Self {
        let shared =
            Shared { threads_max: threads_max.max(1), queue_max, state: Mutex::default(), wake: Condvar::new() };
        Self(Arc::new(Owner(Arc::new(shared))))
    }

    /// The process-wide pool: four threads a core, though at least 8 and at most 64, and 1024
    /// places in its queue.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Pool> = OnceLock::new();
        SHARED.get_or_init(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            let threads = (cores * SHARED_THREADS_PER_CORE).clamp(SHARED_THREADS_MIN, SHARED_THREADS_MAX);
            Self::new(threads, SHARED_QUEUE_MAX)
        })
    }

    /// Runs `work` on one of the threads.
    ///
    /// As with any future, nothing happens before it is awaited. Dropping it takes work back that
    /// was not begun; work that was begun runs to its end, unheard.
    ///
    /// # Errors
    ///
    /// [`Kind::Overloaded`] if the queue is full, [`Kind::Panicked`] if `work` panicked,
    /// [`Kind::Unavailable`] if the system gives no thread.
    pub async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let mut place = self.submit(Box::new(move || {
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        }))?;
        let outcome = receiver.await;
        place.begun = true;
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(payload)) => Err(Error::panicked("running work on the pool", &*payload)),
            Err(_) => Err(Error::new(Kind::Unavailable, "running work on the pool").because("it has no threads")),
        }
    }

    /// How many pieces of work wait for a thread now.
    pub fn waiting(&self) -> usize {
        self.0.0.state().waiting()
    }

    /// How many threads there are now.
    pub fn threads(&self) -> usize {
        self.0.0.state().threads
    }

    fn submit(&self, work: Box<dyn FnOnce() + Send>) -> Result<Place<'_>, Error> {
        let shared = &self.0.0;
        let mut state = shared.state();
        let rouse = state.rouse(shared.threads_max);
        if matches!(rouse, Rouse::Nobody) && state.waiting() >= shared.queue_max {
            drop(state); // Neither making the error nor dropping the work needs the lock.
            let full = format!("all {} threads are at work and {} pieces wait", shared.threads_max, shared.queue_max);
            return Err(Error::overloaded("queueing work for the pool").because(full));
        }
        let id = state.next_id;
        state.next_id += 1;
        state.jobs.push_back(Job { id, work });
        drop(state); // Whoever wakes now finds the lock free.
        match rouse {
            Rouse::Sleeper => shared.wake.notify_one(),
            Rouse::New(number) => start(shared, number),
            Rouse::Nobody => {}
        }
        Ok(Place { shared, id, begun: false })
    }
}

/// Who will look after a new job.
enum Rouse {
    Sleeper,
    New(usize),
    /// All are at work: the first to be done.
    Nobody,
}

impl State {
    /// Jobs that no thread is on its way to.
    fn waiting(&self) -> usize {
        self.jobs.len().saturating_sub(self.woken + self.starting)
    }

    fn rouse(&mut self, threads_max: usize) -> Rouse {
        if self.idle > 0 {
            self.idle -= 1;
            self.woken += 1;
            return Rouse::Sleeper;
        }
        if self.threads < threads_max {
            self.threads += 1;
            self.starting += 1;
            return Rouse::New(self.threads);
        }
        Rouse::Nobody
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while the lock is held")
    }
}

fn start(shared: &Arc<Shared>, number: usize) {
    let own = shared.clone();
    let started = thread::Builder::new().name(format!("unary-pool-{number}")).spawn(move || work(&own));
    let Err(cause) = started else { return };
    tracing::warn!(%cause, "cannot start a thread of the pool");
    let mut state = shared.state();
    state.threads -= 1;
    state.starting -= 1;
    if state.threads == 0 {
        // Nobody would ever come for them. Dropped, they fail as unavailable.
        let stranded = std::mem::take(&mut state.jobs);
        drop(state);
        drop(stranded);
    }
}

/// The life of a thread.
fn work(shared: &Shared) {
    let mut state = shared.state();
    state.starting -= 1;
    loop {
        if let Some(job) = state.jobs.pop_front() {
            drop(state);
            // The work's own panic was caught inside; this is for a result nobody waits for whose
            // destructor panics.
            let _ = catch_unwind(AssertUnwindSafe(job.work));
            state = shared.state();
        } else if state.closed {
            return;
        } else {
            state.idle += 1;
            let sleep = shared.wake.wait_while(state, |state| state.woken == 0 && !state.closed);
            state = sleep.expect("nothing panics while the lock is held");
            state.woken = state.woken.saturating_sub(1);
        }
    }
}

/// A place in the queue, given back when dropped before the work was begun.
struct Place<'a> {
    shared: &'a Shared,
    id: u64,
    begun: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.begun {
            return;
        }
        let mut state = self.shared.state();
        let found = state.jobs.binary_search_by_key(&self.id, |job| job.id);
        let taken_back = found.ok().and_then(|at| state.jobs.remove(at));
        drop(state);
        drop(taken_back); // Its destructor is the caller's code: not under the lock.
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.wake.notify_all();
    }
}

impl Available for Pool {
    /// Busy while the queue is full.
    fn status(&self) -> Status {
        let shared = &self.0.0;
        let state = shared.state();
        let room = state.idle > 0 || state.threads < shared.threads_max || state.waiting() < shared.queue_max;
        if room { Status::Open } else { Status::Busy }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("threads_max", &self.0.0.threads_max)
            .field("waiting", &self.waiting())
            .field("queue_max", &self.0.0.queue_max)
            .finish()
    }
}

#[cfg(test)]
mod tests;
