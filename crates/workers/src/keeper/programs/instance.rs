//! A program that runs, or is about to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::groups::Group;
use super::{HANDLE, PIPE, PROCESS};
use crate::keeper::channel::Channel;
use crate::process::Starting;

pub(super) struct Instance {
    pub(super) program: String,
    pub(super) pid: Pid,
    pub(super) phase: Phase,
    /// `None` once the server has let go of it.
    pub(super) handle: Option<Channel>,
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) group: Option<Group>,
    /// How long it may go on once its server is gone.
    pub(super) finish_time: Duration,
    pub(super) stop_time: Duration,
    /// When something is done to it, unless something happens before.
    pub(super) deadline: Option<Instant>,
}

pub(super) enum Phase {
    Starting(Starting, Pace),
    Running,
    /// Its server is gone, or does not want it any more; it has been told to end, or may finish first.
    Leaving {
        is_told: bool,
    },
    /// It is a zombie.
    Ended,
}

impl Instance {
    /// Sends a signal to the process and those it started: all of them, if it is to end them and the machine knows who
    /// they are; as far as they stayed in its process group otherwise.
    pub(super) fn signal(&self, signal: Signal) {
        kill(self.pid, signal);
        if let Some(group) = self.group.as_ref().filter(|_| signal == Signal::KILL) {
            group.kill();
        }
    }

    /// What is watched of it.
    pub(super) fn watched(&self) -> impl Iterator<Item = (BorrowedFd<'_>, u64)> {
        let pipe = match &self.phase {
            Phase::Starting(starting, _) => Some(starting.pipe.as_fd()),
            _ => None,
        };
        let (handle, pidfd) = (self.handle.as_ref().map(AsFd::as_fd), self.pidfd.as_ref().map(AsFd::as_fd));
        let all = [(pipe, PIPE), (handle, HANDLE), (pidfd, PROCESS)];
        all.into_iter().filter_map(|(descriptor, kind)| Some((descriptor?, kind)))
    }
}

/// Whether a process that is to become its program counts among those that are started at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Counted,
    Slow,
}

/// Sends a signal to the process and those it started, as far as they stayed in its group.
pub(super) fn kill(pid: Pid, signal: Signal) {
    // It begins a group as the first thing it does; one that was so quick to be told is told alone.
    if kill_process_group(pid, signal).is_err() {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
