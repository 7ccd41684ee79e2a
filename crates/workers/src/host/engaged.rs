//! The hold that a request has on a worker of a pool.
//!
//! It lasts for as long as the worker has to do with the request, which may be longer than anybody waits for the reply.

use std::fmt;
use std::sync::Arc;

/// A place at a worker, given back when it is dropped: an extension of a request.
#[derive(Clone)]
pub(crate) struct Engaged(pub(crate) Arc<dyn Place>);

/// What is told of a worker by whoever speaks with it.
pub(crate) trait Place: Send + Sync {
    /// It did not answer as it should, and nobody knows what it does now.
    fn is_lost(&self);
}

impl fmt::Debug for Engaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engaged").finish_non_exhaustive()
    }
}
