//! Signals as something to read: they are blocked, and wait in a descriptor.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// What the keeper is told by signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR2.
    Upgrade,
    /// SIGUSR1.
    Reopen,
    /// SIGCHLD: a child has ended.
    Child,
}

const MEANINGS: [(libc::c_int, Signal); 6] = [
    (libc::SIGTERM, Signal::Stop),
    (libc::SIGINT, Signal::Stop),
    (libc::SIGHUP, Signal::Reload),
    (libc::SIGUSR2, Signal::Upgrade),
    (libc::SIGUSR1, Signal::Reopen),
    (libc::SIGCHLD, Signal::Child),
];

/// Signals taken at once.
const AT_ONCE_MAX: usize = 16;

/// Lets all signals through again, in a process that a keeper started.
pub(super) fn let_through() -> io::Result<()> {
    let mut none = MaybeUninit::uninit();
    // SAFETY: sigemptyset fills the set and cannot fail, sigprocmask reads it, and the pointers are valid for
    // these calls. This process has one thread, so the mask is the process's.
    let done = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[derive(Debug)]
pub(super) struct Signals(OwnedFd);

impl Signals {
    /// Blocks the signals from here on. That outlasts becoming another program, so that none is lost on
    /// the way, and children inherit it: see [`let_through`].
    pub(super) fn catch() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset fills the set, and sigaddset only changes a set that is filled; both fail
        // for nothing but a wrong signal number. sigprocmask and signalfd read the filled set, and the
        // pointers are valid for these calls. This process has one thread, so the mask is the process's.
        let descriptor = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for (number, _) in MEANINGS {
                libc::sigaddset(set.as_mut_ptr(), number);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just opened it for us, and nobody else knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Those that have come since.
    pub(super) fn take(&self) -> Vec<Signal> {
        const SIZE: usize = size_of::<libc::signalfd_siginfo>();
        let mut buffer = [0; SIZE * AT_ONCE_MAX];
        let read = rustix::io::read(&self.0, &mut buffer).unwrap_or(0);
        // Each begins with its number: signalfd(2).
        let number = |about: &[u8]| libc::c_int::from_ne_bytes([about[0], about[1], about[2], about[3]]);
        let numbers = buffer[..read].chunks_exact(SIZE).map(number);
        numbers.filter_map(|number| Some(MEANINGS.iter().find(|(known, _)| *known == number)?.1)).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
