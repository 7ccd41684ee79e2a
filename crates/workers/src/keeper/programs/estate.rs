//! Running programs as one keeper leaves them to the next: same process, same children, same descriptors.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use super::groups::Group;
use super::{Found, Instance, Phase, Programs, Server};
use crate::keeper::channel::Channel;
use crate::keeper::succession::own;

/// What the next keeper has to know of all of them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Heirs {
    /// Where servers ask for programs.
    servers: Vec<(Server, RawFd)>,
    running: Vec<Heir>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Heir {
    program: String,
    pid: i32,
    handle: Option<RawFd>,
    /// The cgroup it runs in. An estate from before has none.
    #[serde(default)]
    group: Option<PathBuf>,
    stage: Stage,
    finish_time_ms: u64,
    stop_time_ms: u64,
    /// When something is done to it.
    left_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Stage {
    Running,
    Leaving { is_told: bool },
    Ended,
}

impl Heirs {
    pub(in crate::keeper) fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.servers.iter().map(|(_, channel)| *channel).chain(self.running.iter().filter_map(|heir| heir.handle))
    }
}

impl Programs {
    /// All that is to be left. Nothing is being started any more then.
    pub(crate) fn leave(&mut self, now: Instant) -> Heirs {
        self.settle();
        let in_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let heir = |instance: &Instance| Heir {
            program: instance.program.clone(),
            pid: instance.pid.as_raw_nonzero().get(),
            handle: instance.handle.as_ref().map(AsRawFd::as_raw_fd),
            group: instance.group.as_ref().map(|group| group.0.clone()),
            stage: match instance.phase {
                Phase::Starting(..) | Phase::Running => Stage::Running,
                Phase::Leaving { is_told } => Stage::Leaving { is_told },
                Phase::Ended => Stage::Ended,
            },
            finish_time_ms: in_ms(instance.finish_time),
            stop_time_ms: in_ms(instance.stop_time),
            left_ms: instance.deadline.map(|deadline| in_ms(deadline.saturating_duration_since(now))),
        };
        Heirs {
            servers: self.servers.iter().map(|(server, channel)| (*server, channel.as_raw_fd())).collect(),
            running: self.running.values().map(heir).collect(),
        }
    }

    /// Goes on with what another keeper left.
    pub(crate) fn inherit(wanted: Found, heirs: Heirs, now: Instant) -> io::Result<Self> {
        let mut programs = Self::new(wanted)?;
        let channel = |number| Channel::of(own(number)?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData));
        for (server, number) in heirs.servers {
            programs.serve(server, channel(number)?);
        }
        for heir in heirs.running {
            let pid = Pid::from_raw(heir.pid).ok_or(io::ErrorKind::InvalidData)?;
            let phase = match heir.stage {
                Stage::Running => Phase::Running,
                Stage::Leaving { is_told } => Phase::Leaving { is_told },
                Stage::Ended => Phase::Ended,
            };
            let pidfd = match phase {
                Phase::Ended => None,
                _ => Some(pidfd_open(pid, PidfdFlags::empty())?), // A child of ours: its number is its own.
            };
            let instance = Instance {
                program: heir.program,
                pid,
                phase,
                handle: heir.handle.map(channel).transpose()?,
                pidfd,
                group: heir.group.map(Group),
                finish_time: Duration::from_millis(heir.finish_time_ms),
                stop_time: Duration::from_millis(heir.stop_time_ms),
                deadline: heir.left_ms.map(|left| now + Duration::from_millis(left)),
            };
            let number = programs.next_number();
            programs.watch_all(number, &instance)?;
            programs.running.insert(number, instance);
        }
        Ok(programs)
    }
}
