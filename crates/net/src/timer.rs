//! Coarse timers for connections: setting one costs two loads and a store.
//!
//! A connection sets a deadline with every request and hardly ever meets one, while tokio's timers
//! cost a lock, a place in a wheel and, now and then, a system call. Here a thread's connections
//! share one tick, and whoever is late is found by looking through all of them four times a second.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How late a timer may be: up to two ticks. It is never early.
pub const TICK: Duration = Duration::from_millis(250);

/// A length of time in ticks, worked out once rather than with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u32);

impl Ticks {
    /// At least this long. 17 years at the most.
    pub fn of(time: Duration) -> Self {
        let ticks = time.as_millis().div_ceil(TICK.as_millis());
        Self(u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX / 2))
    }
}

const NEVER: u32 = u32::MAX;

/// One connection's timer, not set at first. To be used by one task at a time.
#[derive(Debug, Default)]
pub struct Timer {
    entry: Option<(Arc<Ticker>, Arc<Entry>)>,
}

#[derive(Debug)]
struct Entry {
    /// The tick it is for. After u32::MAX ticks, 34 years, a process is to be started anew.
    deadline: AtomicU32,
    /// Whether there is a waker, which spares the lock.
    watched: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

#[derive(Debug, Default)]
struct Ticker {
    now: AtomicU32,
    entries: Mutex<Vec<Arc<Entry>>>,
    /// The task that ticks is there; it ends with the runtime, or when nobody needs it.
    ticking: AtomicBool,
}

thread_local! {
    static TICKER: RefCell<Arc<Ticker>> = RefCell::default();
}

impl Timer {
    /// Sets it to run out after `time`, instead of whenever it was set to before.
    pub fn set(&mut self, time: Ticks) {
        let (ticker, entry) = self.entry.get_or_insert_with(register);
        // One more, as the tick under way may be about to end.
        let deadline = ticker.now.load(Ordering::Relaxed).saturating_add(time.0).saturating_add(1);
        entry.deadline.store(deadline.min(NEVER - 1), Ordering::Relaxed);
    }

    /// Sets it to never.
    pub fn clear(&mut self) {
        if let Some((_, entry)) = &self.entry {
            entry.deadline.store(NEVER, Ordering::Relaxed);
        }
    }

    /// Sets it to never, and forgets the task it would have woken: the next to poll it may be another.
    pub fn hand_over(&mut self) {
        self.clear();
        if let Some((_, entry)) = &self.entry {
            entry.watched.store(false, Ordering::Release);
        }
    }

    /// Ready once it has run out, until it is set again. The task is woken then.
    pub fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some((ticker, entry)) = &self.entry else { return Poll::Pending };
        if !entry.watched.load(Ordering::Acquire) {
            *entry.waker.lock().expect("no panic while the lock is held") = Some(task.waker().clone());
            entry.watched.store(true, Ordering::Release);
        }
        match entry.deadline.load(Ordering::Relaxed) > ticker.now.load(Ordering::Acquire) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    /// Waits until it has run out.
    pub async fn run_out(&mut self) {
        std::future::poll_fn(|task| self.poll(task)).await;
    }
}

fn register() -> (Arc<Ticker>, Arc<Entry>) {
    let ticker = TICKER.with_borrow(Arc::clone);
    let entry =
        Arc::new(Entry { deadline: AtomicU32::new(NEVER), watched: AtomicBool::new(false), waker: Mutex::new(None) });
    let ticker = ticker.hold(entry.clone());
    (ticker, entry)
}

impl Ticker {
    /// Looks after `entry` for as long as somebody else holds it.
    fn hold(self: Arc<Self>, entry: Arc<Entry>) -> Arc<Self> {
        let mut entries = self.entries.lock().expect("no panic while the lock is held");
        entries.push(entry);
        // Under the lock, so that it is seen by a ticking task about to end.
        if !self.ticking.swap(true, Ordering::AcqRel) {
            tokio::spawn(Ticking { ticker: self.clone(), over: false }.tick());
        }
        drop(entries);
        self
    }

    /// Moves time on and wakes whoever is late. Whether anybody is left.
    fn sweep(&self) -> bool {
        let now = self.now.load(Ordering::Relaxed).saturating_add(1);
        self.now.store(now, Ordering::Release);
        let mut entries = self.entries.lock().expect("no panic while the lock is held");
        let mut at = 0;
        while let Some(entry) = entries.get(at) {
            if Arc::strong_count(entry) == 1 {
                entries.swap_remove(at);
                continue;
            }
            if entry.deadline.load(Ordering::Relaxed) <= now
                && let Some(waker) = entry.waker.lock().expect("no panic while the lock is held").take()
            {
                entry.watched.store(false, Ordering::Release);
                waker.wake();
            }
            at += 1;
        }
        if entries.is_empty() {
            self.ticking.store(false, Ordering::Release);
        }
        !entries.is_empty()
    }
}

/// Says that nobody ticks any more when it is dropped amid it, as a runtime that ends does to its
/// tasks.
struct Ticking {
    ticker: Arc<Ticker>,
    over: bool,
}

impl Ticking {
    async fn tick(mut self) {
        while !self.over {
            tokio::time::sleep(TICK).await;
            self.over = !self.ticker.sweep();
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        if !self.over {
            self.ticker.ticking.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn is_never_early_and_two_ticks_late_at_most() {
        for ms in [1, 250, 300, 10_000] {
            let time = Duration::from_millis(ms);
            let begun = Instant::now();
            let mut timer = Timer::default();
            timer.set(Ticks::of(time));
            timer.run_out().await;
            assert!((time..=time + 2 * TICK).contains(&begun.elapsed()), "{time:?}: {:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_deadline_replaces_the_earlier() {
        let begun = Instant::now();
        let mut timer = Timer::default();
        timer.set(Ticks::of(Duration::from_secs(1)));
        assert!(tokio::time::timeout(Duration::from_millis(500), timer.run_out()).await.is_err());
        timer.set(Ticks::of(Duration::from_secs(5)));
        timer.run_out().await;
        assert!(begun.elapsed() >= Duration::from_millis(5500));
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_the_task_it_was_handed_to() {
        let mut timer = Timer::default();
        timer.set(Ticks::of(Duration::from_secs(1)));
        let poll = std::future::poll_fn(|task| Poll::Ready(timer.poll(task)));
        assert_eq!(poll.await, Poll::Pending);
        timer.hand_over();
        timer.set(Ticks::of(Duration::from_secs(1)));
        let other = tokio::spawn(async move { timer.run_out().await });
        assert!(tokio::time::timeout(Duration::from_secs(3), other).await.is_ok());
    }

    #[test]
    fn a_thread_outlives_its_runtimes() {
        for _ in 0..2 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            let mut timer = Timer::default();
            runtime.block_on(async {
                timer.set(Ticks::of(TICK));
                timer.run_out().await;
            });
        }
    }
}
