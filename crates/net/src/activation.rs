//! Sockets that the service manager opened for us: sd_listen_fds(3).

use std::ops::Range;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The first of them.
const FIRST: RawFd = 3;

/// More than any unit has.
const COUNT_MAX: RawFd = 1024;

/// The variables that say so. They are for this process only.
pub const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes them, the first time it is called: to be done first of all, before anything is opened or closed.
pub fn take() -> Vec<OwnedFd> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let variable = |name| std::env::var(name).ok();
    let range = range(variable(VARIABLES[0]).as_deref(), variable(VARIABLES[1]).as_deref(), std::process::id());
    let mut taken = Vec::new();
    for number in range {
        // SAFETY: the service manager opened these for us, as it says, and this is their only owner: `TAKEN` lets
        // only the first call come here. A number that is not open makes the next call fail, and is forgotten.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        match rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC) {
            Ok(()) => taken.push(descriptor),
            Err(_) => std::mem::forget(descriptor),
        }
    }
    taken
}

fn range(pid: Option<&str>, count: Option<&str>, this: u32) -> Range<RawFd> {
    let is_for_us = pid.and_then(|pid| pid.parse().ok()) == Some(this);
    let count = count.and_then(|count| count.parse::<RawFd>().ok()).filter(|count| (0..=COUNT_MAX).contains(count));
    FIRST..FIRST + count.filter(|_| is_for_us).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pid: Option<&str>, count: Option<&str>, expected: Range<RawFd>) {
        assert_eq!(range(pid, count, 42), expected);
    }

    #[test]
    fn takes_what_is_for_this_process() {
        check(Some("42"), Some("2"), 3..5);
        check(Some("41"), Some("2"), 3..3);
        check(None, Some("2"), 3..3);
        check(Some("42"), None, 3..3);
        check(Some("42"), Some("-1"), 3..3);
        check(Some("42"), Some("many"), 3..3);
        check(Some("42"), Some("1000000"), 3..3);
    }
}
