//! Where what takes long is done while others serve: on a thread that gives way to them, so that a reload of a
//! thousand sites is felt by nobody, and that lets go of what they no longer use.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use rustix::process::nice;

/// How much the thread gives way: it gets a tenth of a core that an event loop wants, too, and all of one that nobody
/// else wants.
const NICE: i32 = 10;

/// How often is looked whether somebody still uses what was replaced. Until then it costs memory, and nothing else.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Works that wait for the thread: whoever has a further one waits to say so.
const WORKS_MAX: usize = 2;

/// The thread, and what was replaced and is still in use.
pub(super) struct Background<T> {
    works: SyncSender<Work>,
    replaced: Replaced<T>,
}

type Work = Box<dyn FnOnce() + Send>;
type Replaced<T> = Arc<Mutex<Vec<Arc<T>>>>;

impl<T: Send + Sync + 'static> Background<T> {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// If there can be none.
    pub(super) fn start() -> io::Result<Self> {
        let (works, todo) = sync_channel(WORKS_MAX);
        let replaced = Replaced::default();
        let own = replaced.clone();
        thread::Builder::new().name("background".to_owned()).spawn(move || work(&todo, &own))?;
        Ok(Self { works, replaced })
    }

    /// Does this there, and waits for it. Threads that it starts give way, too, for as long as they run.
    pub(super) fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, outcome) = sync_channel(1);
        let work = move || {
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        };
        self.works.send(Box::new(work)).expect("the thread ends after this");
        let outcome = outcome.recv().expect("the work says how it ended");
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes what was replaced. It is dropped there as soon as nobody else has it: dropping a thousand sites takes
    /// longer than somebody who was the last to use them should wait.
    pub(super) fn let_go(&self, replaced: Arc<T>) {
        lock(&self.replaced).push(replaced);
        let _ = self.works.try_send(Box::new(|| {})); // It looks at once, or when it is done with another work.
    }

    /// Drops what was replaced here and now.
    pub(super) fn clear(&self) {
        drop(std::mem::take(&mut *lock(&self.replaced)));
    }
}

fn work<T>(todo: &Receiver<Work>, replaced: &Mutex<Vec<Arc<T>>>) {
    let _ = nice(NICE); // It works as well if it gives way to nobody.
    loop {
        let is_waited_for = !lock(replaced).is_empty();
        let next = match is_waited_for {
            true => todo.recv_timeout(LOOK_EVERY),
            false => todo.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(work) => work(),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let unused: Vec<_> = lock(replaced).extract_if(.., |replaced| Arc::strong_count(replaced) == 1).collect();
        drop(unused);
    }
}

/// Does this on a thread of its own that gives way, and waits for it: for a process that has one thread, and has one
/// again afterwards.
pub(super) fn aside<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let work = || {
        let _ = nice(NICE);
        work()
    };
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}

fn lock<T>(replaced: &Mutex<Vec<Arc<T>>>) -> std::sync::MutexGuard<'_, Vec<Arc<T>>> {
    replaced.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    /// Says on which thread it is dropped.
    struct Dropped(SyncSender<ThreadId>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    #[test]
    fn what_was_replaced_is_dropped_there_once_nobody_uses_it() {
        let background = Background::start().unwrap();
        let (dropped, on) = sync_channel(1);
        let thing = Arc::new(Dropped(dropped));
        let used = thing.clone();
        background.let_go(thing);
        let there = background.run(|| thread::current().id());
        assert!(on.try_recv().is_err(), "it is used");
        drop(used);
        assert_eq!(on.recv(), Ok(there));
    }

    #[test]
    fn what_was_replaced_can_be_dropped_at_once() {
        let background = Background::start().unwrap();
        let (dropped, on) = sync_channel(1);
        let thing = Arc::new(Dropped(dropped));
        let used = thing.clone();
        background.let_go(thing);
        background.run(|| ());
        background.clear();
        drop(used);
        assert_eq!(on.recv(), Ok(thread::current().id()));
    }

    #[test]
    fn it_gives_way_and_nobody_else_does() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let background = Background::<()>::start().unwrap();
        assert_eq!((background.run(priority), aside(priority)), (before + NICE, before + NICE));
        assert_eq!(priority(), before);
    }
}
