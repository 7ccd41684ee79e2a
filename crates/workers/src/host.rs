//! Hosts of programs that are reached over a connection: what FastCGI and SCGI have in common.
//!
//! A request becomes variables and a body, a reply is what a CGI program writes; how both are put into bytes is a
//! `Dialect` (`dialect`). A call is driven by whoever awaits it, as in [`unary_http::h1::client`]: no task stands
//! between a request and its reply (`talk`), but where a reply begins before its request has ended (`answer`).
//! Connections come from a `shelf`, which finds out how many a worker holds (`capacity`).

pub(crate) mod answer;

pub(crate) mod capacity;
pub(crate) mod crew;
pub(crate) mod dialect;
pub(crate) mod engaged;
pub mod mount;
pub(crate) mod shelf;
pub(crate) mod talk;
pub(crate) mod wire;

use std::time::Duration;

use unary_gateway::cgi::head::HeadLimits;
use unary_net::timer::Ticks;
use unary_service::{Error, Kind};

/// What a worker may do, and how many connections there may be to it. Times are kept to half a second, never cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Connections to one worker at once. 256. How many of them are kept is found out: no more than it says that it
    /// takes, or was seen to hold.
    pub connections_max: usize,
    /// How long a connection rests before it is closed, to the second. 4 s.
    pub idle_time_max: Duration,
    /// Calls that wait for a connection when all are busy. 1024.
    pub waiting_max: usize,
    /// How long they wait. 5 s.
    pub wait_time_max: Duration,
    /// From the last byte of a request to the last of its reply's head. 60 s.
    pub head_time_max: Duration,
    /// How long the worker may take nothing of a request, or send nothing of a reply's body while somebody waits for
    /// it. 60 s.
    pub stall_time_max: Duration,
    /// Bounds on the header block of a reply: 64 KiB, 100 fields.
    pub head: HeadLimits,
    /// The longest body of unknown length that is kept until it is known, since workers want to be told first: in
    /// memory up to 64 KiB, and then in a file without a name. 1 GiB.
    pub kept_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connections_max: 256,
            idle_time_max: Duration::from_secs(4),
            waiting_max: 1024,
            wait_time_max: Duration::from_secs(5),
            head_time_max: Duration::from_secs(60),
            stall_time_max: Duration::from_secs(60),
            head: HeadLimits::default(),
            kept_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// The times as calls take them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) head_time: Ticks,
    pub(crate) stall_time: Ticks,
    pub(crate) head: HeadLimits,
}

impl From<Settings> for Bounds {
    fn from(settings: Settings) -> Self {
        Self {
            head_time: Ticks::of(settings.head_time_max),
            stall_time: Ticks::of(settings.stall_time_max),
            head: settings.head,
        }
    }
}

/// What went wrong with a worker, before it is said which one it was.
#[derive(Debug)]
pub(crate) struct Trouble {
    kind: Kind,
    step: &'static str,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Trouble {
    pub(crate) fn new(kind: Kind, step: &'static str) -> Self {
        Self { kind, step, cause: None }
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The error, which names the worker.
    pub(crate) fn with(self, worker: &str) -> Error {
        let error = Error::new(self.kind, format!("{} {worker}", self.step));
        match self.cause {
            Some(cause) => error.because(cause),
            None => error,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
