//! The keeper's loop: waits for signals, servers, and whoever asks something; tells what happened to what
//! decides.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{self, WaitOptions, WaitStatus, getpid, set_child_subreaper};
use unary_net::descriptors;

use super::admin::Wish;
use super::channel::is_cut;
use super::hands::{Hands, children};
use super::keeping::{Keeping, Over, Pid};
use super::message::{Command, Report};
use super::programs::Programs;
use super::signals::{Signal, Signals};
use super::succession::Estate;
use super::{Front, Refusal, activation};

/// Messages of one server that are read before others have their turn.
const MESSAGES_AT_ONCE_MAX: usize = 64;

/// Keeps a server until it is told to stop. `server_arguments` make this same program the server: what it
/// has to do then is [`Guest::begin`](super::Guest::begin).
///
/// To be called first of all, by a process with one thread.
///
/// # Errors
///
/// If it could not begin.
pub fn run<F: Front>(front: F, server_arguments: Vec<OsString>) -> Result<(), Refusal> {
    let failed = |error: io::Error| Refusal { why: format!("cannot begin to keep a server: {error}"), code: 1 };
    descriptors::raise_limit(); // First: each server and each program takes some, and passing them fails without.
    let signals = Signals::catch().map_err(failed)?;
    let estate = Estate::take().map_err(failed)?;
    set_child_subreaper(Some(getpid())).map_err(|error| failed(error.into()))?;
    let mut keeping = match estate {
        Some(estate) => {
            let heirloom = estate.heirloom.clone();
            let hands = Hands::inherit(front, server_arguments, estate).map_err(failed)?;
            Keeping::resume(hands, Instant::now(), &heirloom)
        }
        None => {
            let given = activation::take();
            Keeping::begin(Hands::new(front, server_arguments, given)?, Instant::now())
        }
    };
    reap(&mut keeping); // Somebody may have ended before signals were caught.
    while keeping.over().is_none() {
        wait(&keeping, &signals).map_err(failed)?;
        hear(&mut keeping);
        keeping.hands.hand_files();
        keeping.hands.programs.tend(Instant::now());
        if keeping.hands.programs.has_reaped() {
            reap(&mut keeping); // Those behind it.
        }
        for signal in signals.take() {
            obey(&mut keeping, signal);
        }
        listen(&mut keeping);
        let now = Instant::now();
        if keeping.hands.watch.has_changed(now) {
            keeping.asked(now, Command::Reload, None);
        }
        keeping.tick(now);
    }
    keeping.hands.finish();
    match keeping.over() {
        Some(Over::Failed { code, why }) => Err(Refusal { why: why.clone(), code: *code }),
        Some(Over::Stopped) | None => Ok(()),
    }
}

/// Waits until something happens, or is due.
fn wait<F: Front>(keeping: &Keeping<Hands<F>>, signals: &Signals) -> io::Result<()> {
    let hands = &keeping.hands;
    let channels = hands.channels.iter().chain(&hands.files).map(|(_, channel)| channel.as_fd());
    let programs = hands.programs.waits_for();
    let descriptors = [signals.as_fd()].into_iter().chain(hands.admin.waits_for()).chain(channels).chain(programs);
    let mut descriptors: Vec<PollFd<'_>> =
        descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)).collect();
    let deadlines = [keeping.deadline(), hands.admin.deadline(), hands.watch.deadline(), hands.programs.deadline()];
    let timeout = deadlines.into_iter().flatten().min().map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() }
    });
    match poll(&mut descriptors, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Hears what servers say.
fn hear<F: Front>(keeping: &mut Keeping<Hands<F>>) {
    let servers: Vec<Pid> = keeping.hands.channels.iter().map(|(pid, _)| *pid).collect();
    for server in servers {
        hear_one(keeping, server);
    }
}

fn hear_one<F: Front>(keeping: &mut Keeping<Hands<F>>, server: Pid) {
    for _ in 0..MESSAGES_AT_ONCE_MAX {
        let Some(at) = keeping.hands.channels.iter().position(|(pid, _)| *pid == server) else { return };
        match keeping.hands.channels[at].1.receive() {
            Ok(Some(received)) => match Report::decode(&received.message) {
                Some(report) => keeping.heard(Instant::now(), server, report),
                None => tracing::warn!(server, "a server said what makes no sense"),
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if is_cut(&error) => tracing::warn!(server, %error, "a server's message is lost"),
            // It has ended, or is about to. Whether it does is not for it to decide.
            Ok(None) | Err(_) => {
                keeping.hands.channels.swap_remove(at);
                return;
            }
        }
    }
}

fn obey<F: Front>(keeping: &mut Keeping<Hands<F>>, signal: Signal) {
    let now = Instant::now();
    match signal {
        Signal::Stop => keeping.asked(now, Command::Stop, None),
        Signal::Reload => keeping.asked(now, Command::Reload, None),
        Signal::Upgrade => keeping.asked(now, Command::Upgrade, None),
        Signal::Reopen => keeping.reopen(),
        Signal::Child => reap(keeping),
    }
}

/// Waits for all children that have ended, also those that others left behind; but not for programs, which are waited
/// for by who knows them.
fn reap<F: Front>(keeping: &mut Keeping<Hands<F>>) {
    while let Some(pid) = first_ended().filter(|pid| !keeping.hands.programs.knows(pid.as_raw_nonzero().get())) {
        let Ok(Some((_, status))) = process::waitpid(Some(pid), WaitOptions::NOHANG) else { return };
        ended(keeping, pid, status);
    }
    // A program that is held on to hides those that ended after it.
    for server in keeping.servers() {
        let Some(pid) = process::Pid::from_raw(server) else { continue };
        if let Ok(Some((_, status))) = process::waitpid(Some(pid), WaitOptions::NOHANG) {
            ended(keeping, pid, status);
        }
    }
    if keeping.hands.programs.is_time_to_look_behind(Instant::now()) {
        for pid in orphans(&keeping.hands.programs).collect::<Vec<_>>() {
            if let Ok(Some((_, status))) = process::waitpid(Some(pid), WaitOptions::NOHANG) {
                ended(keeping, pid, status);
            }
        }
    }
}

/// Our children that are no programs: whoever waits for them takes nothing from anybody.
pub(super) fn orphans(programs: &Programs) -> impl Iterator<Item = process::Pid> {
    children().into_iter().filter(|pid| !programs.knows(pid.as_raw_nonzero().get()))
}

fn ended<F: Front>(keeping: &mut Keeping<Hands<F>>, pid: process::Pid, status: WaitStatus) {
    let pid = pid.as_raw_nonzero().get();
    hear_one(keeping, pid); // Its last words may be why.
    keeping.hands.forget(pid);
    keeping.died(Instant::now(), pid, &in_words(status));
}

/// A child that has ended and was not waited for.
pub(super) fn first_ended() -> Option<process::Pid> {
    let mut about = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: it writes what the pointer leads to, which may be all zeroes, and is if nobody has ended.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, about.as_mut_ptr(), options) };
    // SAFETY: it was filled with zeroes, or by the call, which then filled this part of it.
    let pid = unsafe { about.assume_init().si_pid() };
    (result == 0).then(|| process::Pid::from_raw(pid)).flatten()
}

fn in_words(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "it is gone".to_owned(),
    }
}

fn listen<F: Front>(keeping: &mut Keeping<Hands<F>>) {
    let now = Instant::now();
    for wish in keeping.hands.admin.listen(now) {
        match wish {
            Wish::Command(command, asker) => keeping.asked(now, command, Some(asker)),
            Wish::Server { stream, read } => keeping.hands.hand_over(keeping.serving(), stream, read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::programs::Found;

    #[test]
    fn children_that_are_no_programs_are_orphans() {
        let programs = Programs::new(Found::default()).unwrap();
        let mut child = std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let found: Vec<_> = orphans(&programs).map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect();
        assert!(found.contains(&child.id()), "{found:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(orphans(&programs).all(|pid| pid.as_raw_nonzero().get().unsigned_abs() != child.id()));
    }
}
