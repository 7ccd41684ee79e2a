//! What the keeper counts, of processes that do not become their program.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::Pid;

use super::*;
use crate::process::Starting;

/// A process that is to become a program and does not, with what it holds open.
fn stuck(programs: &mut Programs, program: &str, now: Instant) -> (Child, OwnedFd) {
    let child = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let (starting, pipe) = Starting::stuck(pid);
    let instance = Instance {
        program: program.to_owned(),
        pid: Pid::from_raw(pid).unwrap(),
        phase: Phase::Starting(starting, Pace::Counted),
        handle: None,
        pidfd: None,
        group: None,
        finish_time: Duration::ZERO,
        stop_time: Duration::ZERO,
        deadline: None,
    };
    programs.take_in(instance, now);
    (child, pipe)
}

#[test]
fn what_does_not_become_its_program_holds_up_that_program_alone() {
    let now = Instant::now();
    let mut programs = Programs::new(Found::default()).unwrap();
    let all: Vec<_> = (0..SLOW_OF_ONE_MAX).map(|_| stuck(&mut programs, "slow", now)).collect();
    let check = |programs: &Programs, starting, is_stuck| {
        let seen = (programs.starting, programs.is_stuck("slow"), programs.is_stuck("other"));
        assert_eq!(seen, (starting, is_stuck, false));
    };
    check(&programs, SLOW_OF_ONE_MAX, false);
    programs.do_what_is_due(now + AT_ONCE_MAX);
    check(&programs, 0, true);
    programs.do_what_is_due(now + BECOME_MAX);
    // Killed, and looked at again however often, each is counted once.
    programs.running.values_mut().for_each(|instance| instance.deadline = Some(now));
    programs.do_what_is_due(now);
    check(&programs, 0, true);
    for (mut child, pipe) in all {
        assert!(!child.wait().unwrap().success());
        drop(pipe);
    }
    programs.watch(now);
    check(&programs, 0, false);
}
