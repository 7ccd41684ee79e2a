//! What a new process does until it is the program: it runs in the keeper's memory, beside the keeper, on a stack of
//! its own.
//!
//! So it touches nothing but what was prepared for it, takes no memory and no lock, calls nothing of the C library
//! (whose `errno` belongs to the keeper's thread), and has no way to panic. Whatever fails it writes down, and exits.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::null;
use std::sync::atomic::Ordering::Release;

use super::raw::call;
use super::{Prepared, Step};

/// Signals there are, and the size of a set of them as the kernel has it.
const SIGNALS: usize = 64;
const SIGNAL_SET_BYTES: usize = 8;

/// Of prctl(2): what `libc` does not name for all systems.
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
const PR_SET_NO_NEW_PRIVS: usize = 38;

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
        Ok(()) => {}
        Err(failure) => return failure,
    }
    let (program, arguments, environment) =
        (prepared.program.as_ptr(), prepared.arguments.as_ptr(), prepared.environment.as_ptr());
    // SAFETY: a text that ends in a zero byte, and two lists of such texts that end in a null pointer.
    let result = unsafe { call(libc::SYS_execve, [program as usize, arguments as usize, environment as usize, 0, 0]) };
    (Step::Execute, as_error(result))
}

/// Everything before: what needs privileges first, then who it is, then where.
fn prepare(prepared: &Prepared) -> Result<(), Failure> {
    // SAFETY: no pointers.
    checked(Step::Session, unsafe { call(libc::SYS_setsid, [0; 5]) })?;
    join_group(prepared)?;
    default_signals();
    limit(prepared)?;
    descriptors(prepared)?;
    become_user(prepared)?;
    if let Some(directory) = &prepared.directory {
        // SAFETY: a text that ends in a zero byte.
        checked(Step::Directory, unsafe { call(libc::SYS_chdir, [directory.as_ptr() as usize, 0, 0, 0, 0]) })?;
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

/// What is ignored would stay so in the program.
fn default_signals() {
    let default = [0_usize; 4]; // SIG_DFL, no flags, an empty mask: as long as the kernel's structure, or longer.
    for signal in 1..=SIGNALS {
        // SAFETY: it reads one structure, which is here. Two signals cannot be set, which says so and is no matter.
        unsafe { call(libc::SYS_rt_sigaction, [signal, default.as_ptr() as usize, 0, SIGNAL_SET_BYTES, 0]) };
    }
}

fn limit(prepared: &Prepared) -> Result<(), Failure> {
    for (resource, limit) in &prepared.limits {
        // SAFETY: it reads one structure, which is there.
        let result =
            unsafe { call(libc::SYS_prlimit64, [0, *resource as usize, std::ptr::from_ref(limit) as usize, 0, 0]) };
        checked(Step::Limits, result)?;
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
    checked(Step::Descriptors, result)
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
