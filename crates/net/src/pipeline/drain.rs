//! Draining: how a server that is to stop tells its connections.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Tells connections to finish. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    shards: [Mutex<Shard>; SHARDS],
}

/// Connections come and go on all cores; each locks one of these, once when it begins and once
/// when it ends.
const SHARDS: usize = 16;

#[derive(Debug, Default)]
struct Shard {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// How far draining has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Not begun: serve.
    Serving,
    /// Finish what is running, say that the connection will close, close when idle.
    Draining,
    /// The deadline has passed: close now.
    Over,
}

impl Drain {
    /// Not draining yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every connection to finish what it is doing and close.
    pub fn start(&self) {
        self.advance(Phase::Draining);
    }

    /// Asks every connection to close at once: the deadline has passed.
    pub fn expire(&self) {
        self.advance(Phase::Over);
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Over,
        }
    }

    /// Whether it has begun.
    pub fn is_draining(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// A place to be woken from, for connection number `number`.
    pub fn watch(&self, number: u64) -> Watch {
        Watch { drain: self.clone(), shard: (number % SHARDS as u64) as u32, place: NOWHERE }
    }

    fn advance(&self, phase: Phase) {
        self.0.phase.fetch_max(phase as u8, Ordering::AcqRel);
        for shard in &self.0.shards {
            let shard = shard.lock().expect("no panic while the lock is held");
            shard.wakers.iter().flatten().for_each(Waker::wake_by_ref);
        }
    }
}

/// One connection's view of a [`Drain`]. Small, as every connection at rest holds one.
#[derive(Debug)]
pub struct Watch {
    /// What it watches. Whoever takes a connection over into another task watches anew.
    pub drain: Drain,
    shard: u32,
    place: u32,
}

/// The place of a watch that has none yet.
const NOWHERE: u32 = u32::MAX;

impl Watch {
    /// The phase as of now. The first call registers the task to be woken at every change; a
    /// connection stays in one task, so later calls cost one atomic load.
    pub fn poll(&mut self, task: &mut Context<'_>) -> Phase {
        if self.place == NOWHERE {
            let mut shard = self.drain.0.shards[self.shard as usize].lock().expect("no panic while the lock is held");
            let place = shard.free.pop().unwrap_or_else(|| {
                shard.wakers.push(None);
                shard.wakers.len() - 1
            });
            shard.wakers[place] = Some(task.waker().clone());
            self.place = place as u32;
        }
        self.drain.phase()
    }

    /// Waits until draining has come this far.
    pub async fn reached(&mut self, phase: Phase) {
        let reached = |task: &mut Context<'_>| if self.poll(task) < phase { Poll::Pending } else { Poll::Ready(()) };
        std::future::poll_fn(reached).await;
    }

    /// The phase as of now, without registering.
    pub fn phase(&self) -> Phase {
        self.drain.phase()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.place != NOWHERE {
            let mut shard = self.drain.0.shards[self.shard as usize].lock().expect("no panic while the lock is held");
            shard.wakers[self.place as usize] = None;
            shard.free.push(self.place as usize);
        }
    }
}
