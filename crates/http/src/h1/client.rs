//! A client's HTTP/1.1 connection: the mirror of [`super::connection`].
//!
//! A call is driven by whoever awaits it: no task and no channel stands between a request and its
//! reply. `Exchange` sends the one and reads the head of the other, `Reading` the body behind it.
//! Only where a reply begins before its request has ended, a task goes on with both (`pump`).
//! Where connections come from and go to is the [pool](super::pool)'s affair.

mod exchange;
mod pump;
mod reply;
mod upgrade;
mod upload;
mod wire;

use std::time::Duration;

use unary_net::timer::Ticks;
use unary_service::{Error, Kind};

use crate::h1::head::HeadLimits;
pub(super) use exchange::{Exchange, Failure};
pub(super) use wire::{Place, Wire};

/// What a server may do, and how long it may take. Times are kept to half a second, never cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on the head of a reply. As for requests: 16 KiB, 100 fields.
    pub head: HeadLimits,
    /// From the last byte of a request to the last of its reply's head, interim replies included.
    /// 60 s.
    pub head_time_max: Duration,
    /// How long the server may take nothing of a request, or send nothing of a reply's body while
    /// somebody waits for it. 60 s.
    pub stall_time_max: Duration,
    /// How long a request that expects `100 Continue` waits for it before it sends its body all the
    /// same (RFC 9110 §10.1.1). 1 s.
    pub continue_time_max: Duration,
    /// Interim replies (1xx) to one request. 16.
    pub interim_max: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            head_time_max: Duration::from_secs(60),
            stall_time_max: Duration::from_secs(60),
            continue_time_max: Duration::from_secs(1),
            interim_max: 16,
        }
    }
}

/// The limits as connections take them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) head: HeadLimits,
    interim_max: u8,
    head_time: Ticks,
    stall_time: Ticks,
    continue_time: Ticks,
}

impl From<Limits> for Bounds {
    fn from(limits: Limits) -> Self {
        Self {
            head: limits.head,
            interim_max: limits.interim_max,
            head_time: Ticks::of(limits.head_time_max),
            stall_time: Ticks::of(limits.stall_time_max),
            continue_time: Ticks::of(limits.continue_time_max),
        }
    }
}

/// Where a connection came from, and where it goes when a call is over.
pub(super) trait Home<S>: Send + Sync + 'static {
    /// Takes back a connection that can carry another call.
    fn take_back(&self, wire: Box<Wire<S>>);

    /// What the other end is called in errors.
    fn name(&self) -> &str;

    /// What it may do.
    fn bounds(&self) -> &Bounds;
}

/// What went wrong with a connection, before it is said which one it was.
#[derive(Debug)]
pub(super) struct Trouble {
    kind: Kind,
    step: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Trouble {
    fn new(kind: Kind, step: &'static str) -> Self {
        Self { kind, step, cause: None }
    }

    fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The error, which names the other end.
    pub(super) fn with(self, name: &str) -> Error {
        let error = Error::new(self.kind, format!("{} {name}", self.step));
        match self.cause {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
