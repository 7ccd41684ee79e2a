//! What a new process does until it is the program: it runs in the keeper's memory, beside the keeper, on a stack of
//! its own.
//!
//! So it touches nothing but what was prepared for it, takes no memory and no lock, calls nothing of the C library
//! (whose `errno` belongs to the keeper's thread), and has no way to panic. Whatever fails it writes down, and exits.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null;
use std::sync::atomic::Ordering::Release;

use rustix::fs::ResolveFlags;

use super::raw::call;
use super::{Prepared, Resource, Step};

/// Signals there are, and the size of a set of them as the kernel has it.
const SIGNALS: usize = 64;
const SIGNAL_SET_BYTES: usize = 8;

/// Of prctl(2): what `libc` does not name for all systems.
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_SET_PDEATHSIG: usize = 1;
const PR_SET_DUMPABLE: usize = 4;

/// Paths are relative to where the process is.
const HERE: usize = libc::AT_FDCWD as usize;

/// Tries to look up a path that changes meanwhile.
const RACES_MAX: usize = 8;

/// More descriptors than a keeper has of all programs, on a kernel that cannot be told to close all.
const DESCRIPTORS_MAX: usize = 65_536;

/// What statx(2) fills, and where in it the mode is.
#[repr(C, align(8))]
struct About([u8; 256]);
const MODE_AT: usize = 28;

/// Errors of what is found and cannot be run: nothing else in that step has them.
pub(crate) const NO_FILE: c_int = libc::EISDIR;
pub(crate) const NOT_EXECUTABLE: c_int = libc::ENOEXEC;

/// Becomes the program; never returns.
///
/// `prepared` is a [`Prepared`] that nobody changes, and that outlives this process' use of our memory.
pub(super) extern "C" fn run(prepared: *mut c_void) -> c_int {
    // SAFETY: whoever clones passes one, which stays where it is until the pipe in it has ended here.
    let prepared: &Prepared = unsafe { &*prepared.cast::<Prepared>() };
    let (step, error) = become_program(prepared);
    prepared.failed_step.store(step as u32, Release);
    prepared.failed_with.store(error, Release);
    loop {
        // SAFETY: it takes a number, and ends this process.
        unsafe { call(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
    }
}

/// What could not be done, and why not.
type Failure = (Step, c_int);

fn become_program(prepared: &Prepared) -> Failure {
    match prepare(prepared) {
        Ok(()) => execute(prepared),
        Err(failure) => failure,
    }
}

/// Becomes the first of the files that is there.
fn execute(prepared: &Prepared) -> Failure {
    let (arguments, environment) = (prepared.arguments.as_ptr() as usize, prepared.environment.as_ptr() as usize);
    let mut failure = (Step::Find, libc::ENOENT);
    for candidate in &prepared.candidates {
        let file = candidate.file.as_ptr() as usize;
        if let Err((step, error)) = enter(candidate.directory.as_deref()) {
            if error != libc::ENOENT && error != libc::ENOTDIR {
                failure = (step, error);
            }
            continue;
        }
        // SAFETY: a text that ends in a zero byte, and two lists of such texts that end in a null pointer.
        let error = as_error(unsafe { call(libc::SYS_execve, [file, arguments, environment, 0, 0]) });
        match error {
            libc::ENOTDIR | libc::ENAMETOOLONG => {}
            // SAFETY: a text that ends in a zero byte.
            libc::ENOENT if unsafe { call(libc::SYS_faccessat, [HERE, file, 0, 0, 0]) } < 0 => {}
            libc::EACCES => failure = (Step::Execute, error),
            // It is there: what is not may be what it names as its interpreter.
            _ => return (Step::Execute, error),
        }
    }
    failure
}

/// Everything before: what needs privileges first, then who it is, then where. From then on what a path means is looked
/// up as its user, and by nobody who would have to wait for a disk.
fn prepare(prepared: &Prepared) -> Result<(), Failure> {
    // SAFETY: no pointers.
    checked(Step::Session, unsafe { call(libc::SYS_setsid, [0; 5]) })?;
    join_group(prepared)?;
    default_signals();
    limit(prepared)?;
    descriptors(prepared)?;
    become_user(prepared)?;
    end_with_the_keeper();
    if let Some((folder, path)) = &prepared.beneath {
        look_beneath(folder, path)?;
    }
    enter(prepared.directory.as_deref())?;
    if let Some(limit) = &prepared.open_files {
        limit_one(limit)?;
    }
    if let Some(place) = prepared.own_pid {
        write_own_pid(place);
    }
    let none: u64 = 0;
    let set = (&raw const none) as usize;
    // SAFETY: it reads a set of signals of that size, which is here.
    unsafe { call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, set, 0, SIGNAL_SET_BYTES, 0]) };
    Ok(())
}

fn join_group(prepared: &Prepared) -> Result<(), Failure> {
    let Some(group) = prepared.group else { return Ok(()) };
    // SAFETY: it reads one byte, which is here.
    checked(Step::Group, unsafe { call(libc::SYS_write, [group as usize, b"0".as_ptr() as usize, 1, 0, 0]) })
}

/// A keeper that is killed ends nobody any more, and its programs would wait for ever for a server that is gone. To
/// become another user takes this back, so it comes after that.
fn end_with_the_keeper() {
    // SAFETY: no pointers; it fails for what is no signal, which this is.
    unsafe { call(libc::SYS_prctl, [PR_SET_PDEATHSIG, libc::SIGTERM as usize, 0, 0, 0]) };
}

/// What is ignored would stay so in the program.
fn default_signals() {
    let default = [0_usize; 4]; // SIG_DFL, no flags, an empty mask: as long as the kernel's structure, or longer.
    for signal in 1..=SIGNALS {
        // SAFETY: it reads one structure, which is here. Two signals cannot be set, which says so and is no matter.
        unsafe { call(libc::SYS_rt_sigaction, [signal, default.as_ptr() as usize, 0, SIGNAL_SET_BYTES, 0]) };
    }
}

fn limit(prepared: &Prepared) -> Result<(), Failure> {
    for limit in &prepared.limits {
        limit_one(limit)?;
    }
    if let Some(nice) = prepared.nice {
        // SAFETY: no pointers.
        checked(Step::Nice, unsafe {
            call(libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, 0, nice as isize as usize, 0, 0])
        })?;
    }
    // SAFETY: no pointers; it cannot fail.
    unsafe { call(libc::SYS_umask, [prepared.umask as usize, 0, 0, 0, 0]) };
    Ok(())
}

fn limit_one((resource, limit): &(Resource, libc::rlimit64)) -> Result<(), Failure> {
    let limit = std::ptr::from_ref(limit) as usize;
    // SAFETY: it reads one structure, which is there.
    checked(Step::Limits, unsafe { call(libc::SYS_prlimit64, [0, *resource as usize, limit, 0, 0]) })
}

fn enter(directory: Option<&CStr>) -> Result<(), Failure> {
    let Some(directory) = directory else { return Ok(()) };
    // SAFETY: a text that ends in a zero byte.
    checked(Step::Directory, unsafe { call(libc::SYS_chdir, [directory.as_ptr() as usize, 0, 0, 0, 0]) })
}

/// Whether there is a file that may be executed at that path beneath the folder. Links may lead from one place beneath
/// it to another, and nowhere else; the folder itself may be one.
fn look_beneath(folder: &CStr, path: &CStr) -> Result<(), Failure> {
    const FLAGS: c_int = libc::O_PATH | libc::O_CLOEXEC;
    let (folder, flags) = (folder.as_ptr() as usize, (FLAGS | libc::O_DIRECTORY) as usize);
    // SAFETY: a text that ends in a zero byte.
    let folder = found(unsafe { call(libc::SYS_openat, [HERE, folder, flags, 0, 0]) })?;
    let resolve = (ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS)).bits();
    let how: [u64; 3] = [FLAGS as u64, 0, resolve]; // Flags, mode, and how to resolve: open_how.
    let (path, how) = (path.as_ptr() as usize, how.as_ptr() as usize);
    let look = [folder, path, how, size_of::<[u64; 3]>(), 0];
    // SAFETY: a text that ends in a zero byte, and a structure of that size, which is here.
    let open = || unsafe { call(libc::SYS_openat2, look) };
    let mut opened = open();
    for _ in 1..RACES_MAX {
        if as_error(opened) != libc::EAGAIN {
            break;
        }
        opened = open(); // Something on the way was renamed meanwhile.
    }
    let opened = found(opened)?;
    let mut about = About([0; 256]);
    let (to, empty) = ((&raw mut about) as usize, c"".as_ptr() as usize);
    let mask = (libc::STATX_TYPE | libc::STATX_MODE) as usize;
    // SAFETY: a text that ends in a zero byte, and room for the structure, which is here.
    found(unsafe { call(libc::SYS_statx, [opened, empty, libc::AT_EMPTY_PATH as usize, mask, to]) })?;
    let mode = libc::mode_t::from(u16::from_ne_bytes([about.0[MODE_AT], about.0[MODE_AT + 1]]));
    match mode & libc::S_IFMT {
        libc::S_IFREG if mode & 0o111 != 0 => Ok(()),
        libc::S_IFREG => Err((Step::Find, NOT_EXECUTABLE)),
        _ => Err((Step::Find, NO_FILE)),
    }
}

fn found(result: isize) -> Result<usize, Failure> {
    checked(Step::Find, result).map(|()| result.unsigned_abs())
}

/// What is given gets its number; all numbers are below those of the descriptors they come from. All else is closed
/// when the program begins.
fn descriptors(prepared: &Prepared) -> Result<(), Failure> {
    let mut number = 0;
    for descriptor in &prepared.descriptors {
        // SAFETY: no pointers; what is open here is this process' own table.
        checked(Step::Descriptors, unsafe { call(libc::SYS_dup3, [*descriptor as usize, number, 0, 0, 0]) })?;
        number = number.wrapping_add(1);
    }
    // SAFETY: as above.
    let result =
        unsafe { call(libc::SYS_close_range, [number, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0, 0]) };
    match checked(Step::Descriptors, result) {
        // Linux before 5.11 has no such flag, and before 5.9 no such call.
        Err((_, libc::EINVAL | libc::ENOSYS)) => close_one_by_one(number),
        done => return done,
    }
    Ok(())
}

fn close_one_by_one(from: usize) {
    for number in from..DESCRIPTORS_MAX {
        // SAFETY: no pointers. Most numbers stand for nothing, which it says.
        unsafe { call(libc::SYS_fcntl, [number, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0]) };
    }
}

fn become_user(prepared: &Prepared) -> Result<(), Failure> {
    if let Some(user) = &prepared.user {
        let (uid, gid) = (user.uid as usize, user.gid as usize);
        // SAFETY: it reads so many numbers, which are there. Groups first: afterwards we may no longer.
        checked(Step::User, unsafe {
            call(libc::SYS_setgroups, [user.groups.len(), user.groups.as_ptr() as usize, 0, 0, 0])
        })?;
        // SAFETY: no pointers. The system call is this thread's own, which is this process' only one.
        checked(Step::User, unsafe { call(libc::SYS_setresgid, [gid, gid, gid, 0, 0]) })?;
        // SAFETY: as above.
        checked(Step::User, unsafe { call(libc::SYS_setresuid, [uid, uid, uid, 0, 0]) })?;
        // From here on others are the same user. None of them may look into the memory we share, nor have it dumped by
        // a signal, for which Linux before 5.16 ends all who share it.
        // SAFETY: no pointers.
        checked(Step::User, unsafe { call(libc::SYS_prctl, [PR_SET_DUMPABLE, 0, 0, 0, 0]) })?;
    }
    // SAFETY: no pointers. A kernel without such capabilities has none to clear.
    unsafe { call(libc::SYS_prctl, [PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0]) };
    if prepared.is_fixed {
        // SAFETY: no pointers.
        checked(Step::User, unsafe { call(libc::SYS_prctl, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]) })?;
    }
    Ok(())
}

/// Writes this process' number where the environment has room for it: ten digits, the last of them zero bytes.
fn write_own_pid(place: *mut c_char) {
    // SAFETY: no pointers.
    let pid = unsafe { call(libc::SYS_getpid, [0; 5]) };
    let mut divisor = 1_000_000_000_isize;
    let (mut at, mut has_begun) = (place, false);
    while divisor > 0 {
        let digit = pid / divisor % 10;
        has_begun |= digit != 0;
        if has_begun {
            // SAFETY: there is room for ten digits there, and this writes one for each of ten divisors at most.
            unsafe {
                at.write(b'0'.wrapping_add(digit as u8) as c_char);
                at = at.add(1);
            }
        }
        divisor /= 10;
    }
}

fn checked(step: Step, result: isize) -> Result<(), Failure> {
    if result < 0 { Err((step, as_error(result))) } else { Ok(()) }
}

fn as_error(result: isize) -> c_int {
    result.wrapping_neg() as c_int
}

/// The end of a list of texts.
pub(super) const END: *const c_char = null();
