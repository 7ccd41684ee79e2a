//! The kinds of work, a module of this program for each; what is measured, and against which bars, is in
//! `works/promises.rs`.

mod promises;

pub(crate) use promises::ALL;

use crate::servers::Server;
use crate::verdict::Bar;

/// One row of work; its name is what `--only` takes.
pub(crate) enum Work {
    Load(LoadWork),
    Idle(IdleWork),
    Start(StartWork),
    Sites(SitesWork),
    Limit(LimitWork),
}

impl Work {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Work::Load(work) => work.name,
            Work::Idle(work) => work.name,
            Work::Start(work) => work.name,
            Work::Sites(work) => work.name,
            Work::Limit(work) => work.name,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Work::Load(work) => work.title,
            Work::Idle(work) => work.title,
            Work::Start(work) => work.title,
            Work::Sites(work) => work.title,
            Work::Limit(work) => work.title,
        }
    }
}

/// Requests as fast as the load generator can send them.
pub(crate) struct LoadWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
    pub(crate) path: &'static str,
    /// How long each reply's body is: a contestant that sends anything else is not doing the same work.
    pub(crate) body_bytes: usize,
    pub(crate) ours: Server,
    /// Each rival, and how our CPU time for a request may compare with its own.
    pub(crate) rivals: &'static [(Server, Bar)],
}

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other on connections that stay.
    KeepAlive,
    /// Sixteen at a time on connections that stay.
    Pipelined,
    /// Each on a connection of its own.
    Fresh,
    /// Over HTTP/2 and TLS, 32 at a time on each connection.
    Http2,
    /// Each on a connection of its own, with a TLS handshake of its own.
    Handshakes,
}

/// Memory held by connections that have nothing to say.
pub(crate) struct IdleWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) connections: usize,
    /// KiB a connection.
    pub(crate) bar: Bar,
    pub(crate) ours: &'static [Server],
    /// Shown for orientation.
    pub(crate) rivals: &'static [Server],
}

/// From nothing to the first connection.
pub(crate) struct StartWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) times: usize,
    pub(crate) ours: Server,
    pub(crate) milliseconds: Bar,
    /// Resident memory right then.
    pub(crate) mebibytes: Bar,
}

/// A config of many sites: checked, and reloaded while somebody asks.
pub(crate) struct SitesWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) sites: u32,
    pub(crate) times: u32,
    /// What the rows are called, and their bars: for checking and reloading one.
    pub(crate) check: &'static str,
    pub(crate) reload: &'static str,
    pub(crate) seconds: Bar,
    /// The longest request during a reload, the median of all reloads.
    pub(crate) wait: &'static str,
    pub(crate) milliseconds: Bar,
}

/// A rate limit that tells a million clients apart.
pub(crate) struct LimitWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) times: u32,
    /// What the rows are called, and their bars.
    pub(crate) memory: &'static str,
    pub(crate) mebibytes: Bar,
    pub(crate) new_client: &'static str,
    pub(crate) known_client: &'static str,
    pub(crate) microseconds: Bar,
}
