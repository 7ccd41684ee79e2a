//! What connections have met with, for whoever keeps an eye on the server.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what peers did that a server wants to know of. Shared by all connections of an
/// [`H2`](super::H2); each event below is rare among honest peers.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) floods: AtomicU64,
    pub(super) faults: AtomicU64,
}

/// [`Counters`] as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections begun.
    pub connections: u64,
    /// Requests whose stream was reset because they make no sense.
    pub malformed: u64,
    /// Requests answered 414 or 431.
    pub too_large: u64,
    /// Calls given up because the peer reset their stream.
    pub resets: u64,
    /// Replies, and connections, given up because the peer took nothing of them.
    pub stalls: u64,
    /// Connections closed with `ENHANCE_YOUR_CALM`: floods of resets, settings, pings and the like.
    pub floods: u64,
    /// Connections closed because their frames make no sense.
    pub faults: u64,
}

impl Counters {
    /// How far they have come.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            malformed: read(&self.malformed),
            too_large: read(&self.too_large),
            resets: read(&self.resets),
            stalls: read(&self.stalls),
            floods: read(&self.floods),
            faults: read(&self.faults),
        }
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
