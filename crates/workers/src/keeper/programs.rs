//! The programs that servers have running: starts them, tells how they ended, and ends them.
//!
//! Nothing here waits. A program is started beside us (`process`), and what becomes of it is read
//! from descriptors: a pipe that ends when it is the program, one that is readable when it has ended, and the channel
//! over which its server is told, and wishes. All are watched by one epoll(7), so that what is at rest costs nothing.
//!
//! A program that has ended stays a zombie for as long as its server holds on to it, and [`HOLD_MAX`] at most: so long
//! its number is its own, and a signal to its process group reaches those it started and nobody else.

mod estate;
mod found;
mod groups;
mod instance;
mod launches;
mod plan;
mod sparingly;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};

use super::channel::Channel;
use crate::process::Stack;
use crate::spawner::message::{News, Refused, Wish};
use crate::spawner::{Exit, LAUNCH_BYTES_MAX};
pub(crate) use estate::Heirs;
pub(crate) use found::Found;
pub(crate) use groups::Groups;
use instance::{Instance, Pace, Phase, kill};
use sparingly::Sparingly;

/// Programs that run at once, of all servers.
pub(super) const RUNNING_MAX: usize = 4096;

/// Programs that are started at once. Further launches wait in their channel.
const STARTING_MAX: usize = 32;

/// How long one of these may take before it no longer holds others up: from then on it counts against its program.
const AT_ONCE_MAX: Duration = Duration::from_millis(500);

/// Processes of one program that are slow to become it, or never do. With so many, no more of it is started.
const SLOW_OF_ONE_MAX: usize = STARTING_MAX / 4;

/// Launches of one server that are begun before others have their turn.
const LAUNCHES_AT_ONCE_MAX: usize = 32;

/// How long a process may take to become its program.
const BECOME_MAX: Duration = crate::spawner::START_MAX;

/// How long a program that has ended may be held on to.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// How long programs may take to end that were killed; one that hangs in the kernel may take longer.
const END_MAX: Duration = Duration::from_secs(2);

/// How long those that are being started may take when the keeper becomes another program.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// How often is looked for orphans that have ended while a program is held on to.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(1);

/// Events taken at once.
const EVENTS_MAX: usize = 64;

/// A server process.
type Server = i32;

/// Running programs are numbered, and three descriptors of each are watched.
type Number = u64;
const HANDLE: u64 = 0;
const PROCESS: u64 = 1;
const PIPE: u64 = 2;
const KINDS: u64 = 4;

pub(crate) struct Programs {
    epoll: OwnedFd,
    /// What may be run: of the config that is in force, and of the one that is proposed.
    wanted: Found,
    proposed: Option<Found>,
    servers: Vec<(Server, Channel)>,
    running: HashMap<Number, Instance>,
    last: Number,
    /// Processes that take the place of others which could be started.
    starting: usize,
    stacks: Vec<Stack>,
    groups: Groups,
    /// Somebody was waited for, behind whom others may be waiting who are not programs.
    has_reaped: bool,
    message: Vec<u8>,
    looked_behind: Option<Instant>,
    /// Warnings of what a server said wrongly, and of launches that could not be taken.
    senseless: Sparingly,
    lost: Sparingly,
}

impl Programs {
    pub(crate) fn new(wanted: Found) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            wanted,
            proposed: None,
            servers: Vec::new(),
            running: HashMap::new(),
            last: 0,
            starting: 0,
            stacks: Vec::new(),
            groups: Groups::default(),
            has_reaped: false,
            message: vec![0; LAUNCH_BYTES_MAX],
            looked_behind: None,
            senseless: Sparingly::default(),
            lost: Sparingly::default(),
        })
    }

    /// Has groups made for those that are started from now on.
    pub(crate) fn divide(&mut self, groups: Groups) {
        self.groups = groups;
    }

    /// What to wait for: what becomes of programs, and launches if there is room for them.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let servers = self.servers.iter().filter(|_| self.starting < STARTING_MAX);
        std::iter::once(self.epoll.as_fd()).chain(servers.map(|(_, channel)| channel.as_fd()))
    }

    /// When something is to be done, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|instance| instance.deadline).min()
    }

    /// A server that goes over to another config may ask for its programs, too.
    pub(crate) fn propose(&mut self, programs: Found) {
        self.proposed = Some(programs);
    }

    pub(crate) fn accept_proposal(&mut self) {
        self.wanted = self.proposed.take().unwrap_or_default();
    }

    pub(crate) fn drop_proposal(&mut self) {
        self.proposed = None;
    }

    /// A server asks here.
    pub(crate) fn serve(&mut self, server: Server, channel: Channel) {
        self.servers.push((server, channel));
    }

    /// A server has ended. Those of its programs that go on are seen by their channels.
    pub(crate) fn forget(&mut self, server: Server) {
        self.servers.retain(|(pid, _)| *pid != server);
    }

    /// Whether this is a program's process: then nobody else may wait for it.
    pub(crate) fn knows(&self, pid: i32) -> bool {
        self.running.values().any(|instance| instance.pid.as_raw_nonzero().get() == pid)
    }

    /// Whether somebody was waited for since this was asked last.
    pub(crate) fn has_reaped(&mut self) -> bool {
        std::mem::take(&mut self.has_reaped)
    }

    /// Whether to look now for those that ended behind a program that is held on to, which hides them: to look costs
    /// something for each child there is.
    pub(crate) fn is_time_to_look_behind(&mut self, now: Instant) -> bool {
        let is_held = self.running.values().any(|instance| matches!(instance.phase, Phase::Ended));
        let is_time = self.looked_behind.is_none_or(|looked| now.duration_since(looked) >= LOOK_BEHIND_EVERY);
        if is_held && is_time {
            self.looked_behind = Some(now);
        }
        is_held && is_time
    }

    /// Does what there is to do now.
    pub(crate) fn tend(&mut self, now: Instant) {
        self.watch(now);
        self.hear(now);
        self.do_what_is_due(now);
    }

    /// Ends all of them, and waits for that: as they are told first, and then for good.
    pub(crate) fn end(&mut self) {
        self.servers.clear();
        let began = Instant::now();
        let mut give_up = began + END_MAX;
        for number in self.running.keys().copied().collect::<Vec<_>>() {
            self.abandoned(number, began, IsEnded::No);
            if let Some(instance) = self.running.get_mut(&number) {
                give_up = give_up.max(began + instance.stop_time + END_MAX);
                instance.deadline = Some(began);
            }
        }
        self.tend_until(|programs| programs.running.is_empty(), give_up);
        self.groups.close();
    }

    /// Waits until those that are being started run, or do not.
    fn settle(&mut self) {
        // What was killed already and has no deadline any more hangs in the kernel.
        let awaited =
            |instance: &&Instance| matches!(instance.phase, Phase::Starting(..)) && instance.deadline.is_some();
        let is_settled = |programs: &Self| !programs.running.values().any(|instance| awaited(&instance));
        self.tend_until(is_settled, Instant::now() + SETTLE_MAX);
        self.running.values().filter(awaited).for_each(|instance| kill(instance.pid, Signal::KILL));
        self.tend_until(is_settled, Instant::now() + END_MAX);
    }

    /// Whether so many of it have not become it in time that another would only join them.
    fn is_stuck(&self, program: &str) -> bool {
        let is_slow = |one: &&Instance| matches!(one.phase, Phase::Starting(_, Pace::Slow)) && one.program == program;
        self.running.values().filter(is_slow).count() >= SLOW_OF_ONE_MAX
    }

    fn tend_until(&mut self, is_done: impl Fn(&Self) -> bool, give_up: Instant) {
        loop {
            let now = Instant::now();
            self.watch(now);
            self.do_what_is_due(now);
            if is_done(self) || now >= give_up {
                return;
            }
            let due = self.deadline().map_or(give_up, |deadline| deadline.min(give_up));
            wait_for([self.epoll.as_fd()].into_iter(), Some(due), now);
        }
    }

    /// Waits until something happens, or is due.
    #[cfg(test)]
    pub(crate) fn wait(&self, now: Instant) {
        wait_for(self.waits_for(), self.deadline(), now);
    }

    /// Whether there is nobody to ask for programs.
    pub(crate) fn is_alone(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether none runs besides.
    #[cfg(test)]
    pub(crate) fn is_done(&self) -> bool {
        self.servers.is_empty() && self.running.is_empty()
    }

    fn next_number(&mut self) -> Number {
        self.last += 1;
        self.last
    }

    fn watch_all(&self, number: Number, instance: &Instance) -> io::Result<()> {
        for (descriptor, kind) in instance.watched() {
            let key = epoll::EventData::new_u64(number * KINDS + kind);
            epoll::add(&self.epoll, descriptor, key, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// To be told before descriptors are closed: the server, or a process that is being started, may have another of
    /// the same, for which it would be watched on.
    fn unwatch_all(&self, instance: &Instance) {
        instance.watched().for_each(|(descriptor, _)| unwatch(&self.epoll, descriptor));
    }

    /// Sees what has happened.
    fn watch(&mut self, now: Instant) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&at_once)).is_err() {
            return;
        }
        for event in events {
            let key = event.data.u64();
            match key % KINDS {
                PIPE => self.became(key / KINDS),
                PROCESS => self.ended(key / KINDS, now),
                _ => self.heard(key / KINDS, now),
            }
        }
    }

    /// A process has become its program, or could not.
    fn became(&mut self, number: Number) {
        let Some(instance) = self.running.get_mut(&number) else { return };
        if !matches!(instance.phase, Phase::Starting(..)) {
            return;
        }
        let Phase::Starting(starting, pace) = std::mem::replace(&mut instance.phase, Phase::Running) else { return };
        unwatch(&self.epoll, &starting.pipe);
        instance.deadline = None;
        if pace == Pace::Counted {
            self.starting -= 1;
        }
        let (outcome, stack) = starting.outcome();
        self.stacks.extend(stack);
        let news = match outcome {
            Ok(()) => News::Started(instance.pid.as_raw_nonzero().get().unsigned_abs()),
            Err(failed) => {
                let (refused, why) = plan::failed(&failed);
                News::Refused(refused, why)
            }
        };
        if let Some(handle) = &instance.handle {
            tell(handle, &news);
        }
        if let News::Refused(..) = news {
            // It exits at once, unless what it has open is slow to close: its end is heard of as any other's.
            drop_handle(&self.epoll, instance);
            instance.phase = Phase::Leaving { is_told: true };
        } else if instance.handle.is_none() {
            instance.phase = Phase::Leaving { is_told: true };
        }
    }

    /// A process has ended.
    fn ended(&mut self, number: Number, now: Instant) {
        let Some(instance) = self.running.get_mut(&number) else { return };
        if matches!(instance.phase, Phase::Starting(..)) {
            return self.became(number); // And is looked at again.
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(WaitId::Pid(instance.pid), options) else { return };
        instance.phase = Phase::Ended;
        instance.deadline = Some(now + HOLD_MAX);
        if let Some(pidfd) = instance.pidfd.take() {
            unwatch(&self.epoll, &pidfd);
        }
        match &instance.handle {
            Some(handle) => tell(handle, &News::Ended(exit_of(&status))),
            None => self.reap(number),
        }
    }

    /// A server says something of a program, or is gone.
    fn heard(&mut self, number: Number, now: Instant) {
        let Some(instance) = self.running.get_mut(&number) else { return };
        let Some(handle) = &instance.handle else { return };
        let mut message = [0; crate::spawner::message::MESSAGE_BYTES_MAX];
        match handle.try_receive(&mut message) {
            Ok(Some(taken)) => match Wish::decode(&message[..taken.bytes]) {
                Some(Wish::Signal(signal)) => instance.signal(signal),
                Some(Wish::End) => {
                    instance.signal(Signal::KILL);
                    self.abandoned(number, now, IsEnded::Yes);
                }
                None => {
                    if let Some(lost) = self.senseless.say(now) {
                        tracing::warn!(program = instance.program, lost, "a server wishes what makes no sense");
                    }
                }
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => self.abandoned(number, now, IsEnded::No),
        }
    }

    /// Nobody holds on to it any more: it may finish, or has been ended.
    fn abandoned(&mut self, number: Number, now: Instant, is_ended: IsEnded) {
        let Some(instance) = self.running.get_mut(&number) else { return };
        drop_handle(&self.epoll, instance);
        match instance.phase {
            Phase::Ended => self.reap(number),
            Phase::Starting(..) => kill(instance.pid, Signal::KILL),
            Phase::Running | Phase::Leaving { .. } => {
                let within = match is_ended {
                    IsEnded::No => instance.finish_time,
                    IsEnded::Yes => Duration::ZERO,
                };
                instance.phase = Phase::Leaving { is_told: matches!(is_ended, IsEnded::Yes) };
                instance.deadline = Some(now + within);
            }
        }
    }

    fn do_what_is_due(&mut self, now: Instant) {
        let is_due = |(number, instance): (&Number, &Instance)| {
            instance.deadline.filter(|deadline| *deadline <= now).map(|_| *number)
        };
        let due: Vec<Number> = self.running.iter().filter_map(is_due).collect();
        for number in due {
            let Some(instance) = self.running.get_mut(&number) else { continue };
            instance.deadline = None;
            match &mut instance.phase {
                Phase::Leaving { is_told } if !*is_told => {
                    *is_told = true;
                    instance.deadline = Some(now + instance.stop_time);
                    kill(instance.pid, Signal::TERM);
                }
                Phase::Starting(_, pace @ Pace::Counted) => {
                    *pace = Pace::Slow;
                    instance.deadline = Some(now + (BECOME_MAX - AT_ONCE_MAX));
                    self.starting -= 1;
                }
                Phase::Starting(_, Pace::Slow) => kill(instance.pid, Signal::KILL),
                Phase::Leaving { .. } => instance.signal(Signal::KILL),
                Phase::Ended => self.reap(number),
                Phase::Running => {}
            }
        }
    }

    /// Waits for what has ended: its number is anybody's from here on. What is left of its group ends with it.
    fn reap(&mut self, number: Number) {
        if let Some(instance) = self.running.get(&number) {
            let _ = kill_process_group(instance.pid, Signal::KILL);
            let _ = waitid(WaitId::Pid(instance.pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        self.let_go(number);
    }

    fn let_go(&mut self, number: Number) {
        if let Some(instance) = self.running.remove(&number) {
            self.unwatch_all(&instance);
            instance.group.into_iter().for_each(|group| self.groups.end(group));
        }
        self.has_reaped = true;
    }
}

/// Whether a program that nobody holds on to has been ended already.
enum IsEnded {
    Yes,
    No,
}

fn unwatch(epoll: &OwnedFd, descriptor: impl AsFd) {
    let _ = epoll::delete(epoll, descriptor); // It fails for what is not watched, which is what is wanted.
}

fn drop_handle(epoll: &OwnedFd, instance: &mut Instance) {
    if let Some(handle) = instance.handle.take() {
        unwatch(epoll, &handle);
    }
}

fn wait_for<'d>(all: impl Iterator<Item = BorrowedFd<'d>>, due: Option<Instant>, now: Instant) {
    let mut all: Vec<_> = all.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
    let timeout = due.and_then(|due| Timespec::try_from(due.saturating_duration_since(now)).ok());
    let _ = poll(&mut all, timeout.as_ref()); // A signal is no matter: whoever waits looks what there is to do.
}

fn tell(handle: &Channel, news: &News) {
    let _ = handle.try_send(&news.encode(), &[]); // A server that is gone is seen otherwise.
}

fn exit_of(status: &WaitIdStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(code),
        (_, Some(signal)) => Exit::Signal(signal),
        _ => Exit::Unknown,
    }
}

fn refused_of(error: &io::Error) -> Refused {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => Refused::NoRoom,
        _ => Refused::Failed,
    }
}

/// An error without its number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests;
