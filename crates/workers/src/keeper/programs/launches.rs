//! Launches: what servers ask for is read, judged, and begun.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::{
    AT_ONCE_MAX, Instance, LAUNCHES_AT_ONCE_MAX, Pace, Phase, Programs, RUNNING_MAX, STARTING_MAX, Server, in_words,
    kill, plan, refused_of, tell,
};
use crate::keeper::channel::{Channel, Taken};
use crate::process::{self, Plan, Stack};
use crate::spawner::Asked;
use crate::spawner::message::{News, Refused};

impl Programs {
    /// Takes launches.
    pub(super) fn hear(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.servers.len() {
            if self.hear_one(at, now) {
                at += 1;
            } else {
                self.servers.swap_remove(at);
            }
        }
    }

    /// `false` if there is nobody to hear any more.
    fn hear_one(&mut self, at: usize, now: Instant) -> bool {
        let mut message = std::mem::take(&mut self.message);
        let mut is_there = true;
        for _ in 0..LAUNCHES_AT_ONCE_MAX {
            if self.starting >= STARTING_MAX {
                break;
            }
            let (server, channel) = &self.servers[at];
            match channel.try_receive(&mut message) {
                Ok(Some(taken)) => {
                    let server = *server;
                    self.asked(server, &message, taken, now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(None) | Err(_) => {
                    is_there = false;
                    break;
                }
            }
        }
        self.message = message;
        is_there
    }

    fn asked(&mut self, server: Server, message: &[u8], taken: Taken, now: Instant) {
        let mut descriptors = taken.descriptors.into_iter();
        let Some(handle) = descriptors.next().and_then(Channel::of) else {
            let warnings = if taken.is_whole { &mut self.senseless } else { &mut self.lost };
            let lost = warnings.say(now);
            match taken.is_whole {
                _ if lost.is_none() => {}
                true => tracing::warn!(server, lost, "a server asked for a program in a way that makes no sense"),
                false => {
                    tracing::warn!(server, lost, "a launch is lost: no descriptor is left for it. Raise LimitNOFILE")
                }
            }
            return;
        };
        let begun = match Asked::decode(&message[..taken.bytes]) {
            _ if !taken.is_whole => {
                Err((Refused::NoRoom, "the keeper has no descriptor left for it. Raise LimitNOFILE".to_owned()))
            }
            Some(asked) => self.begin(&asked, descriptors.collect()),
            None => Err((Refused::Unknown, "what was asked makes no sense".to_owned())),
        };
        match begun {
            Ok(instance) => self.take_in(Instance { handle: Some(handle), ..instance }, now),
            Err((refused, why)) => tell(&handle, &News::Refused(refused, why)),
        }
    }

    /// Starts a process for it.
    fn begin(&mut self, asked: &Asked<'_>, descriptors: Vec<OwnedFd>) -> Result<Instance, (Refused, String)> {
        let mut all = self.proposed.iter().chain([&self.wanted]);
        let Some(found) = all.find_map(|programs| programs.get(asked.program)) else {
            return Err((Refused::Unknown, "the config has no such program".to_owned()));
        };
        if self.running.len() >= RUNNING_MAX {
            return Err((Refused::NoRoom, format!("{RUNNING_MAX} programs run")));
        }
        if self.is_stuck(asked.program) {
            return Err((
                Refused::NoRoom,
                "those of it that are being started take too long: does its disk hang?".to_owned(),
            ));
        }
        if descriptors.len() != 3 + asked.sockets {
            return Err((Refused::Unknown, "it has too few descriptors, or too many".to_owned()));
        }
        let plan = plan::of(found, asked, descriptors)?;
        let failed = |error: io::Error| (refused_of(&error), in_words(&error));
        let stack = self.stacks.pop().map_or_else(Stack::new, Ok).map_err(failed)?;
        let stop_time = found.program.stop_time;
        let made = self.groups.make(asked.program, found.program.together).map_err(|error| {
            let (refused, why) = failed(error);
            (refused, format!("{why} while making its cgroup"))
        })?;
        let (group, joined) = made.unzip();
        let started = process::start(Plan { group: joined, ..plan }, stack).and_then(|(starting, pidfd)| {
            let pid = Pid::from_raw(starting.pid).ok_or(Errno::SRCH)?;
            Ok((pid, Phase::Starting(starting, Pace::Counted), Some(pidfd)))
        });
        let (pid, phase, pidfd) = match started {
            Ok(started) => started,
            Err(error) => {
                group.into_iter().for_each(|group| self.groups.end(group));
                return Err(failed(error));
            }
        };
        let program = asked.program.to_owned();
        let finish_time = asked.finish_time;
        Ok(Instance { program, pid, phase, handle: None, pidfd, group, finish_time, stop_time, deadline: None })
    }

    /// Watches it from here on.
    pub(super) fn take_in(&mut self, instance: Instance, now: Instant) {
        let number = self.next_number();
        if let Err(error) = self.watch_all(number, &instance) {
            self.unwatch_all(&instance);
            if let Some(handle) = &instance.handle {
                tell(handle, &News::Refused(Refused::NoRoom, in_words(&error)));
            }
            // Nobody knows of it from here on: it is waited for as those are that programs leave behind.
            kill(instance.pid, Signal::KILL);
            instance.group.into_iter().for_each(|group| self.groups.end(group));
            self.has_reaped = true;
            return;
        }
        self.starting += 1;
        self.running.insert(number, Instance { deadline: Some(now + AT_ONCE_MAX), ..instance });
    }
}
