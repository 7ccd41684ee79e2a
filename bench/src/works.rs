//! The kinds of work, a module of this program for each; what is measured, and against which bars, is in
//! `works/promises.rs` and `works/programs.rs`.

mod programs;
mod promises;

use crate::machine::Core;
use crate::servers::{Door, Server};
use crate::verdict::Bar;

/// All works, in the order of the table.
pub(crate) fn all() -> impl Iterator<Item = &'static Work> {
    promises::ALL.iter().chain(programs::ALL)
}

/// One row of work; its name is what `--only` takes.
pub(crate) enum Work {
    Load(LoadWork),
    Idle(IdleWork),
    Start(StartWork),
    Sites(SitesWork),
    Limit(LimitWork),
    Rest(RestWork),
    Apps(AppsWork),
}

impl Work {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Work::Load(work) => work.name,
            Work::Idle(work) => work.name,
            Work::Start(work) => work.name,
            Work::Sites(work) => work.name,
            Work::Limit(work) => work.name,
            Work::Rest(work) => work.name,
            Work::Apps(work) => work.name,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Work::Load(work) => work.title,
            Work::Idle(work) => work.title,
            Work::Start(work) => work.title,
            Work::Sites(work) => work.title,
            Work::Limit(work) => work.title,
            Work::Rest(work) => work.title,
            Work::Apps(work) => work.title,
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
    /// Each rival, and how our CPU time for a request may compare with its own; or, where they all share both cores, how
    /// many requests a second must.
    pub(crate) rivals: &'static [(Server, Bar)],
}

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other on connections that stay.
    KeepAlive,
    /// The same on as few connections as there are workers behind: nginx starves further ones.
    Few,
    /// Sixteen at a time on connections that stay.
    Pipelined,
    /// Each on a connection of its own.
    Fresh,
    /// Over HTTP/2 and TLS, 32 at a time on each connection.
    Http2,
    /// Each on a connection of its own, with a TLS handshake of its own.
    Handshakes,
    /// One after the other on a few connections that stay, with load, server and its programs on both cores: what
    /// programs need is the better part of it.
    Programs,
}

impl Shape {
    /// Where the server runs, and what it runs; the load, too, if they share both.
    pub(crate) fn core(self) -> Core {
        if self == Shape::Programs { Core::Both } else { Core::Servers }
    }
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

/// The first request to an app at rest.
pub(crate) struct RestWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) times: u32,
    pub(crate) door: Door,
    pub(crate) milliseconds: Bar,
}

/// Apps that nobody asks for.
pub(crate) struct AppsWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) apps: u32,
    /// What the rows are called, and their bars.
    pub(crate) memory: &'static str,
    pub(crate) mebibytes: Bar,
    pub(crate) wakes: &'static str,
    pub(crate) per_minute: Bar,
}
