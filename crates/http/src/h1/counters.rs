//! What connections have met with that never became a call, for whoever keeps an eye on the server.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// Counts what peers did that a server wants to know of. Shared by all connections of an
/// [`H1`](super::connection::H1); each event below is rare among honest peers.
#[derive(Debug, Default)]
pub struct Counters {
    malformed: AtomicU64,
    too_large: AtomicU64,
    unsupported: AtomicU64,
    late: AtomicU64,
    stalls: AtomicU64,
}

/// [`Counters`] as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests refused because they make no sense, with 400; and bodies that make none.
    pub malformed: u64,
    /// Heads refused with 414 or 431.
    pub too_large: u64,
    /// Requests refused with 417, 501 or 505.
    pub unsupported: u64,
    /// Heads and bodies refused with 408, since they came too slowly.
    pub late: u64,
    /// Connections given up because the peer took nothing of its reply.
    pub stalls: u64,
}

impl Counters {
    /// How far they have come.
    pub fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            malformed: read(&self.malformed),
            too_large: read(&self.too_large),
            unsupported: read(&self.unsupported),
            late: read(&self.late),
            stalls: read(&self.stalls),
        }
    }

    /// Counts a request that is refused with this status before anybody hears of it.
    pub(super) fn count_refused(&self, status: StatusCode) {
        count(match status {
            StatusCode::REQUEST_TIMEOUT => &self.late,
            StatusCode::URI_TOO_LONG | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => &self.too_large,
            StatusCode::BAD_REQUEST => &self.malformed,
            _ => &self.unsupported,
        });
    }

    /// Counts a connection whose peer takes nothing.
    pub(super) fn count_stall(&self) {
        count(&self.stalls);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
