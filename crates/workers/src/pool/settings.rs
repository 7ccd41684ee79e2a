//! What is asked of the workers of a pool, and how many there are.

use std::time::Duration;

use super::pooling::Number;
use crate::host;

/// How many workers there are, and what is asked of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Workers that stay when nothing is asked, once anything was. 0.
    pub workers_min: usize,
    /// Workers at most. 1.
    pub workers_max: usize,
    /// Requests of one worker at once. 1,024.
    pub each_max: usize,
    /// How many it has before another is started, while there may be more. 8.
    pub each_before_next: usize,
    /// After how many requests a worker is replaced, give or take a tenth. Never.
    pub requests_max: Option<u64>,
    /// After how long a worker is replaced, give or take a tenth. Never.
    pub age_max: Option<Duration>,
    /// Bytes of memory, with all it started, beyond which a worker is replaced. Never.
    pub memory_bytes_max: Option<u64>,
    /// Whether a worker serves more than one request.
    pub reuse: Reuse,
    /// How long a worker may have nothing to do before it is stopped. 5 min.
    pub idle_time: Duration,
    /// How long it may take until it answers. 30 s.
    pub start_time_max: Duration,
    /// How it is known to be ready. When it listens.
    pub readiness: Readiness,
    /// The path that a worker answers with a status below 400 when it is well: it is asked nothing else before. None.
    pub health: Option<Box<str>>,
    /// Requests that wait for room. 1,024.
    pub waiting_max: usize,
    /// How long they wait. 30 s.
    pub wait_time_max: Duration,
    /// Where workers listen.
    pub door: Door,
    /// The longest body of unknown length that is kept until it is known, before a worker is taken: for those at
    /// [`Door::Stdin`], who want to be told first. 1 GiB.
    pub kept_bytes_max: u64,
}

/// Whether a worker serves more than one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One after another, or several at once.
    Kept,
    /// One, and it is ended. So many more than those that serve are kept ready for the next, once any was asked for,
    /// until they have had nothing to do for the idle time.
    OneShot {
        /// How many are ready.
        spares: usize,
    },
}

/// How a worker is known to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It accepts connections. Who was given a socket does from the beginning on.
    Listens,
    /// It says so, as services do to systemd: `READY=1` to `$NOTIFY_SOCKET`.
    Notifies,
}

/// Where a worker listens: always on this machine alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// At the port of `$PORT`, of 127.0.0.1.
    Port,
    /// At a socket that it is given as descriptor 3, with `LISTEN_FDS`.
    Socket,
    /// At a Unix socket that it is given as descriptor 0, as FastCGI has it. Who is asked there decides by themselves
    /// how long they have to do with a request.
    Stdin,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers_min: 0,
            workers_max: 1,
            each_max: 1024,
            each_before_next: 8,
            requests_max: None,
            age_max: None,
            memory_bytes_max: None,
            reuse: Reuse::Kept,
            idle_time: Duration::from_secs(300),
            start_time_max: Duration::from_secs(30),
            readiness: Readiness::Listens,
            health: None,
            waiting_max: 1024,
            wait_time_max: Duration::from_secs(30),
            door: Door::Port,
            kept_bytes_max: host::Settings::default().kept_bytes_max,
        }
    }
}

impl Settings {
    pub(super) fn requests_max_of(&self, number: Number) -> u64 {
        self.requests_max.map_or(u64::MAX, |requests_max| about(requests_max, number).max(1))
    }

    pub(super) fn age_max_of(&self, number: Number) -> Option<Duration> {
        let millis = u64::try_from(self.age_max?.as_millis()).unwrap_or(u64::MAX / 2);
        Some(Duration::from_millis(about(millis, number)))
    }

    pub(super) fn is_one_shot(&self) -> bool {
        self.reuse != Reuse::Kept
    }

    pub(super) fn spares(&self) -> usize {
        match self.reuse {
            Reuse::Kept => 0,
            Reuse::OneShot { spares } => spares,
        }
    }

    pub(super) fn each_max(&self) -> usize {
        if self.is_one_shot() { 1 } else { self.each_max }
    }
}

/// A tenth more or less for each worker, so that they are not replaced all at once.
fn about(value: u64, number: Number) -> u64 {
    let tenth = value / 10;
    // Numbers that follow each other come to lie far apart: the golden ratio's multiples.
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (2 * tenth + 1);
    value - tenth + spread
}
