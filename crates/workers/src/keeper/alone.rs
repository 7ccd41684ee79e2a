//! A keeper of programs alone: beside a server that needs no other, as `unary serve` is.
//!
//! It is a child of that server, the same program started anew before the server has threads, and ends with it: it
//! sees its channel end, ends what runs, and goes.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{WaitOptions, getpid, set_child_subreaper, waitpid};
use unary_net::descriptors;

use super::channel::Channel;
use super::guest::read;
use super::hands::end_children;
use super::program;
use super::programs::{Found, Programs};
use super::run::{first_ended, orphans};
use super::signals::Signals;
use super::spawn::spawn;
use super::succession::sealed;
use crate::program::Programs as Wanted;
use crate::spawner::Spawner;

/// Starts a keeper of these programs; `arguments` make this same program one, by [`alone`]. To be called while this
/// process has one thread.
///
/// # Errors
///
/// If it cannot be started.
pub fn beside(arguments: &[OsString], programs: &Wanted) -> io::Result<Spawner> {
    let (theirs, ours) = Channel::pair()?;
    let text = sealed("unary-programs", &serde_json::to_vec(programs)?)?;
    ours.send(b"programs", &[text.as_fd()])?;
    spawn(&program::path()?, arguments, theirs, None).map_err(io::Error::other)?;
    let spawner = Spawner::default();
    spawner.connect_over(vec![ours.into_descriptor()]);
    Ok(spawner)
}

/// Keeps programs for the server that started this process, until that is gone. To be called first of all, by a process
/// with one thread.
///
/// # Errors
///
/// If no server started this process, or what it says cannot be read.
pub fn alone() -> io::Result<()> {
    descriptors::raise_limit();
    let signals = Signals::catch()?; // None of them is for this process: its server ends, and it ends then.
    let no_server = || io::Error::new(io::ErrorKind::InvalidInput, "no server started this process");
    let channel = Channel::of(io::stdin().as_fd().try_clone_to_owned()?).ok_or_else(no_server)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    set_child_subreaper(Some(getpid()))?;
    let told = channel.receive()?.ok_or_else(no_server)?;
    let wanted: Wanted = serde_json::from_slice(&read(told.descriptors.into_iter().next())?)?;
    let mut programs = Programs::new(Found::of(&wanted, None).map_err(io::Error::other)?)?;
    let server = rustix::process::getppid().map_or(0, |server| server.as_raw_nonzero().get());
    programs.serve(server, channel);
    while !programs.is_alone() {
        wait(&programs, &signals);
        programs.tend(Instant::now());
        if !signals.take().is_empty() || programs.has_reaped() {
            reap(&mut programs);
        }
    }
    programs.end();
    end_children();
    Ok(())
}

fn wait(programs: &Programs, signals: &Signals) {
    let now = Instant::now();
    let all = [signals.as_fd()].into_iter().chain(programs.waits_for());
    let mut all: Vec<PollFd<'_>> = all.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
    let timeout = programs.deadline().map(|due| due.saturating_duration_since(now));
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let _ = poll(&mut all, timeout.as_ref()); // A signal is no matter: what there is to do is looked for then, too.
}

/// Waits for what programs left behind.
fn reap(programs: &mut Programs) {
    while let Some(pid) = first_ended().filter(|pid| !programs.knows(pid.as_raw_nonzero().get())) {
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
    if programs.is_time_to_look_behind(Instant::now()) {
        for pid in orphans(programs) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}
