//! What connections have met with, for whoever keeps an eye on the server.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts what peers did that a server wants to know of. Shared by all connections of an
/// [`H2`](super::H2); each event below is rare among honest peers.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) unsupported: AtomicU64,
    pub(super) resets: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) floods: AtomicU64,
    pub(super) rapid_resets: AtomicU64,
    pub(super) faults: AtomicU64,
    pub(super) farewells: AtomicU64,
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
    /// Requests answered 417, or 501 to an unknown protocol.
    pub unsupported: u64,
    /// Calls given up because the peer reset their stream.
    pub resets: u64,
    /// Replies, and connections, given up because the peer took nothing of them.
    pub stalls: u64,
    /// Connections closed with `ENHANCE_YOUR_CALM`: floods of settings, pings, cancelled requests and the
    /// like.
    pub floods: u64,
    /// The same, for requests that were reset before they were looked at (CVE-2023-44487).
    pub rapid_resets: u64,
    /// Connections closed because their frames make no sense.
    pub faults: u64,
    /// Connections told in good order that nothing more is taken: idle ones, and all where the server
    /// drains.
    pub farewells: u64,
}

impl Counters {
    /// How far they have come.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            malformed: read(&self.malformed),
            too_large: read(&self.too_large),
            unsupported: read(&self.unsupported),
            resets: read(&self.resets),
            stalls: read(&self.stalls),
            floods: read(&self.floods),
            rapid_resets: read(&self.rapid_resets),
            faults: read(&self.faults),
            farewells: read(&self.farewells),
        }
    }
}

/// Counts one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
