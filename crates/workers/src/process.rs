//! Starting a process: as vfork(2) does it, without a copy of our memory, but without waiting for it either.
//!
//! The new process shares our memory until it has become the program. It runs on a stack of its own, and what it does
//! there is in `child`: system calls alone, on what is prepared here. A pipe that it holds the other end of ends when
//! it has become the program, or has failed to, and failed in what is then written in [`Prepared`].
//!
//! vfork(2) itself would hold whoever calls it until then: the keeper would hear of nothing for as long as a slow disk
//! takes to read the program, and for ever if somebody who is the same user as the program stops the new process
//! in between.

mod child;
mod raw;

use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::{AtomicI32, AtomicU32};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{fcntl_dupfd_cloexec, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::user::User;
pub(crate) use child::{NO_FILE, NOT_EXECUTABLE};

/// Memory for what a new process does before it is the program: some frames of functions, generously.
const STACK_BYTES: usize = 64 * 1024;

/// Below a stack, so that one that were too small would end the process that uses it.
const GUARD_BYTES: usize = 16 * 1024;

/// How long a new process that was killed may take to let go of our memory, before it is left with what it uses.
const LET_GO_MS_MAX: i64 = 100;

/// As many files are named of those that a program could have been, if it is none of them.
const FILES_SHOWN_MAX: usize = 4;

/// A number of setrlimit(2), whose type differs between C libraries.
#[cfg(target_env = "gnu")]
pub(crate) type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
pub(crate) type Resource = c_int;

/// What a process is to be.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Paths of files: it is the first of these that is there.
    pub(crate) files: Vec<Vec<u8>>,
    /// A folder, and a path beneath it, where a file is to be that may be executed: no link on the way may lead out.
    pub(crate) beneath: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) arguments: Vec<Vec<u8>>,
    /// Each as in `NAME=value`.
    pub(crate) environment: Vec<Vec<u8>>,
    /// Whether `LISTEN_PID` is among it, with the number that the process will have.
    pub(crate) knows_own_pid: bool,
    pub(crate) directory: Directory,
    /// Who it is; `None` for who we are.
    pub(crate) user: Option<User>,
    /// Whether it can never become more than that.
    pub(crate) is_fixed: bool,
    /// Limits by the numbers of setrlimit(2): now, and at most.
    pub(crate) limits: Vec<(Resource, u64, u64)>,
    pub(crate) umask: u32,
    pub(crate) nice: Option<i32>,
    /// What it gets as 0, 1, 2 and so on.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// `cgroup.procs` of the group it belongs to.
    pub(crate) group: Option<OwnedFd>,
}

/// Where a process runs.
#[derive(Debug, Default)]
pub(crate) enum Directory {
    /// Where we do.
    #[default]
    Ours,
    /// Where its file is.
    OfFile,
    At(Vec<u8>),
}

/// What a new process does, in the order it does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Step {
    Session = 1,
    Group,
    Limits,
    Nice,
    Descriptors,
    User,
    Directory,
    Find,
    Execute,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Group,
        Self::Limits,
        Self::Nice,
        Self::Descriptors,
        Self::User,
        Self::Directory,
        Self::Find,
        Self::Execute,
    ];

    /// In words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "beginning a session",
            Self::Group => "joining its cgroup",
            Self::Limits => "limiting what it may take",
            Self::Nice => "setting its niceness",
            Self::Descriptors => "arranging its descriptors",
            Self::User => "becoming its user",
            Self::Directory => "entering its folder",
            Self::Find => "looking for its file",
            Self::Execute => "executing it",
        }
    }
}

/// A plan in the form that a process needs which may call nothing: nobody changes it, and it stays where it is.
struct Prepared {
    candidates: Vec<Candidate>,
    beneath: Option<(CString, CString)>,
    /// These lists end in a null pointer, and point into the texts below.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    own_pid: Option<*mut c_char>,
    directory: Option<CString>,
    user: Option<User>,
    is_fixed: bool,
    limits: Vec<(Resource, libc::rlimit64)>,
    /// The last of the limits: until then it has all descriptors of ours.
    open_files: Option<(Resource, libc::rlimit64)>,
    umask: u32,
    nice: Option<i32>,
    descriptors: Vec<RawFd>,
    group: Option<RawFd>,
    /// What failed, a [`Step`], and in which way; 0 while nothing did.
    failed_step: AtomicU32,
    failed_with: AtomicI32,
    _texts: Vec<CString>,
    _own_pid_text: Option<Box<[u8]>>,
}

/// A file that may be the program, and where it runs if it is.
struct Candidate {
    file: CString,
    directory: Option<CString>,
}

/// What could not be done.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) step: Step,
    pub(crate) error: io::Error,
    /// The files that it could have been.
    pub(crate) files: String,
}

/// A process that is about to be a program.
pub(crate) struct Starting {
    pub(crate) pid: i32,
    /// It has ended once the process is the program, or has failed to become it.
    pub(crate) pipe: OwnedFd,
    /// There until the process no longer uses them.
    lent: Option<Lent>,
}

/// What a new process uses of our memory. It is reached by a pointer from the moment that process begins: a box that
/// is moved claims to be the only way to what is in it.
struct Lent {
    prepared: *mut Prepared,
    stack: Stack,
}

impl Lent {
    /// The stack, once the process no longer uses it.
    fn end(self) -> (Box<Prepared>, Stack) {
        // SAFETY: it comes from `Box::into_raw` in `start`, and is taken back once, as this consumes it.
        (unsafe { Box::from_raw(self.prepared) }, self.stack)
    }
}

/// A stack for a new process. It may be used again.
pub(crate) struct Stack(NonNull<c_void>);

// SAFETY: it is memory that nobody else knows of.
unsafe impl Send for Stack {}

// SAFETY: its pointers lead to memory of its own, which only the new process changes: the place for its own number.
unsafe impl Send for Starting {}

/// Starts it; with a descriptor that is readable once the process has ended. What it gets is its own from here on.
///
/// # Errors
///
/// If the system has no room for it, or a text has a zero byte.
pub(crate) fn start(plan: Plan, stack: Stack) -> io::Result<(Starting, OwnedFd)> {
    let Plan { mut descriptors, mut group, .. } = plan;
    // A number that is to be given away must not be where one comes from.
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    let first_free = RawFd::try_from(descriptors.len()).map_err(io::Error::other)?;
    let mut writing = Some(writing);
    for descriptor in descriptors.iter_mut().chain(&mut group).chain(&mut writing) {
        if descriptor.as_raw_fd() < first_free {
            *descriptor = fcntl_dupfd_cloexec(&*descriptor, first_free)?;
        }
    }
    let mut texts = Vec::with_capacity(plan.arguments.len() + plan.environment.len());
    let arguments = pointers(plan.arguments, &mut texts)?;
    let mut environment = pointers(plan.environment, &mut texts)?;
    let mut own_pid_text = plan.knows_own_pid.then(|| [b"LISTEN_PID=", [0; 11].as_slice()].concat().into_boxed_slice());
    let own_pid = own_pid_text.as_mut().map(|text| {
        environment.insert(0, text.as_ptr().cast());
        text[b"LISTEN_PID=".len()..].as_mut_ptr().cast()
    });
    let limit = |(resource, now, most)| (resource, libc::rlimit64 { rlim_cur: now, rlim_max: most });
    let is_open_files = |(resource, _): &(Resource, _)| *resource == libc::RLIMIT_NOFILE;
    let limits = plan.limits.into_iter().map(limit);
    let (mut open_files, limits): (Vec<_>, Vec<_>) = limits.partition(is_open_files);
    let folder_of = |file: &[u8]| Path::new(OsStr::from_bytes(file)).parent().map(path_of).transpose();
    let (is_of_file, directory) = match plan.directory {
        Directory::Ours => (false, None),
        Directory::OfFile => (true, None),
        Directory::At(path) => (false, Some(CString::new(path)?)),
    };
    let candidate = |file: Vec<u8>| {
        let directory = if is_of_file { folder_of(&file)? } else { None };
        Ok(Candidate { directory, file: CString::new(file)? })
    };
    let beneath = plan.beneath.map(|(folder, path)| io::Result::Ok((CString::new(folder)?, CString::new(path)?)));
    let beneath = beneath.transpose()?;
    let prepared = Box::into_raw(Box::new(Prepared {
        candidates: plan.files.into_iter().map(candidate).collect::<io::Result<_>>()?,
        beneath,
        arguments,
        environment,
        own_pid,
        directory,
        user: plan.user,
        is_fixed: plan.is_fixed,
        limits,
        open_files: open_files.pop(),
        umask: plan.umask,
        nice: plan.nice,
        descriptors: descriptors.iter().map(AsRawFd::as_raw_fd).collect(),
        group: group.as_ref().map(AsRawFd::as_raw_fd),
        failed_step: AtomicU32::new(0),
        failed_with: AtomicI32::new(0),
        _texts: texts,
        _own_pid_text: own_pid_text,
    }));
    let lent = Lent { prepared, stack };
    let (pid, pidfd) = match clone(&lent) {
        Ok(begun) => begun,
        Err(error) => {
            drop(lent.end());
            return Err(error);
        }
    };
    // The descriptors of ours are closed here, at the latest: the process has a table of its own.
    Ok((Starting { pid, pipe: reading, lent: Some(lent) }, pidfd))
}

impl Starting {
    /// How it went, once the pipe has ended, and the stack, which nobody uses any more.
    pub(crate) fn outcome(mut self) -> (Result<(), Failed>, Option<Stack>) {
        let Some(lent) = self.lent.take() else { return (Ok(()), None) };
        let (prepared, stack) = lent.end();
        let number = prepared.failed_step.load(Acquire);
        let failed = Step::ALL.into_iter().find(|step| *step as u32 == number);
        let outcome = failed.map_or(Ok(()), |step| {
            let error = io::Error::from_raw_os_error(prepared.failed_with.load(Acquire));
            let (shown, more) = prepared.candidates.split_at(prepared.candidates.len().min(FILES_SHOWN_MAX));
            let shown: Vec<_> = shown.iter().map(|one| one.file.to_string_lossy()).collect();
            let files = shown.join(", ") + if more.is_empty() { "" } else { ", …" };
            Err(Failed { step, error, files })
        });
        (outcome, Some(stack))
    }
}

#[cfg(test)]
impl Starting {
    /// One that becomes nothing until the other end of its pipe is closed.
    pub(crate) fn stuck(pid: i32) -> (Self, OwnedFd) {
        let (pipe, writing) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        (Self { pid, pipe, lent: None }, writing)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if self.lent.is_some() {
            // It uses what is about to be freed. What is killed ends at once, or is stuck in the kernel: then nobody
            // waits for it, and it keeps what it has for good.
            if let Some(pid) = Pid::from_raw(self.pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
            let wait = Timespec { tv_sec: 0, tv_nsec: LET_GO_MS_MAX * 1_000_000 };
            let ended = retry_on_intr(|| poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&wait)));
            match (self.lent.take(), ended) {
                (Some(lent), Ok(1..)) => drop(lent.end()),
                (lent, _) => std::mem::forget(lent),
            }
        }
    }
}

fn pointers(from: Vec<Vec<u8>>, texts: &mut Vec<CString>) -> io::Result<Vec<*const c_char>> {
    let mut pointers = Vec::with_capacity(from.len() + 2);
    for text in from {
        let text = CString::new(text)?;
        pointers.push(text.as_ptr()); // Moving the text does not move its bytes.
        texts.push(text);
    }
    pointers.push(child::END);
    Ok(pointers)
}

fn path_of(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn clone(lent: &Lent) -> io::Result<(i32, OwnedFd)> {
    const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mut pidfd: c_int = -1;
    let blocked = Blocked::all()?;
    // SAFETY: `child::run` takes a `Prepared` and keeps to what is said there; it is not changed or moved until the
    // process no longer uses our memory, as whoever has the `Starting` waits for the pipe to end, or the process. Nor
    // is the stack used by anybody else until then. No signal handler of ours runs on it: all signals are blocked, and
    // it lets them through only when none has a handler any more. The number of the pidfd is written before this
    // returns, to where the pointer says.
    let pid = unsafe { libc::clone(child::run, lent.stack.top(), FLAGS, lent.prepared.cast(), &raw mut pidfd) };
    let error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: the kernel has just opened it for us, and nobody else knows its number.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// All signals of this thread, for as long as it lives.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn all() -> io::Result<Self> {
        let (mut all, mut before) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::uninit());
        // SAFETY: sigfillset fills the set and cannot fail; the other call reads it and fills the second, if it
        // succeeds; the pointers are valid for these calls.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
                0 => Ok(Self(before.assume_init())),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: it reads a set that is filled, and can fail for nothing else.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

impl Stack {
    pub(crate) fn new() -> io::Result<Self> {
        let bytes = STACK_BYTES + GUARD_BYTES;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at a place that the kernel chooses changes nothing that anybody uses.
        let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self(NonNull::new(memory).ok_or_else(io::Error::last_os_error)?);
        // SAFETY: the beginning of the mapping that was just made, which nobody uses.
        match unsafe { libc::mprotect(memory, GUARD_BYTES, libc::PROT_NONE) } {
            0 => Ok(stack),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Its end, which is where it begins: it grows downwards. A multiple of the size of a page.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping.
        unsafe { self.0.as_ptr().byte_add(STACK_BYTES + GUARD_BYTES) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping that was made in `new`, which nobody uses any more.
        unsafe { libc::munmap(self.0.as_ptr(), STACK_BYTES + GUARD_BYTES) };
    }
}

#[cfg(test)]
mod tests;
