//! What exactly is run, of a program and what was asked for: the file, its arguments and environment, and limits.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::process::{Resource, getrlimit};

use super::found::FoundProgram;
use super::{file, in_words, refused_of};
use crate::process::{Plan, Resource as Limit, Step};
use crate::program::{Limits, PATH_DEFAULT, Privileges, Run};
use crate::spawner::Asked;
use crate::spawner::message::Refused;

/// Descriptors that a program may have open, unless told: select(2) cannot count further.
const OPEN_FILES: u64 = 1024;

/// Which rights files do not get that a program makes, unless told.
const UMASK: u32 = 0o022;

/// The plan of a process that is to become the program.
pub(super) fn of(
    found: &FoundProgram,
    asked: &Asked<'_>,
    descriptors: Vec<OwnedFd>,
) -> Result<Plan, (Refused, String)> {
    let program = &found.program;
    let mut environment = environment_of(found, asked);
    let (file, arguments) = match &program.run {
        Run::Command(words) => {
            let path = environment.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
            let file = file::of_command(words, path.unwrap_or_default())?;
            (file, words.iter().map(|word| word.as_bytes().to_vec()).collect())
        }
        Run::Folder(folder) => {
            let file = file::beneath(folder, asked.file)?;
            let arguments = vec![file.as_os_str().as_bytes().to_vec()];
            (file, arguments)
        }
    };
    let knows_own_pid = asked.sockets > 0;
    if knows_own_pid {
        environment.push(format!("LISTEN_FDS={}", asked.sockets).into_bytes());
    }
    let directory = match &program.directory {
        Some(directory) => Some(directory.as_path()),
        None => file.parent(),
    };
    Ok(Plan {
        directory: directory.map(|directory| directory.as_os_str().as_bytes().to_vec()),
        program: file.into_os_string().into_encoded_bytes(),
        arguments,
        environment,
        knows_own_pid,
        user: found.user.clone(),
        is_fixed: program.privileges == Privileges::Fixed,
        limits: limits_of(&program.limits),
        umask: program.umask.unwrap_or(UMASK),
        nice: program.nice,
        descriptors,
        group: None,
    })
}

/// What was asked for comes before what the config says, and both before what is there unless told.
fn environment_of(found: &FoundProgram, asked: &Asked<'_>) -> Vec<Vec<u8>> {
    let said = found.program.environment.iter().rev().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let unless_told = (b"PATH".as_slice(), PATH_DEFAULT.as_bytes());
    let mut names: Vec<&[u8]> = Vec::new();
    let mut environment = Vec::new();
    let brought = asked.environment.iter().copied();
    for (name, value) in brought.chain(said).chain([unless_told]) {
        if !names.contains(&name) {
            names.push(name);
            environment.push([name, b"=", value].concat());
        }
    }
    environment
}

fn limits_of(limits: &Limits) -> Vec<(Limit, u64, u64)> {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let open_files = (libc::RLIMIT_NOFILE, limits.open_files.unwrap_or(OPEN_FILES).min(most), most);
    let all = [
        (libc::RLIMIT_NPROC, limits.processes),
        (libc::RLIMIT_AS, limits.memory_bytes),
        (libc::RLIMIT_CPU, limits.cpu_seconds),
        (libc::RLIMIT_FSIZE, limits.file_bytes),
        (libc::RLIMIT_CORE, limits.core_bytes),
    ];
    let said = all.into_iter().filter_map(|(resource, limit)| limit.map(|limit| (resource, limit, limit)));
    std::iter::once(open_files).chain(said).collect()
}

/// Why a process could not become its program.
pub(super) fn failed(step: Step, error: &io::Error) -> (Refused, String) {
    let said = in_words(error);
    let execute = step == Step::Execute;
    match error.raw_os_error() {
        Some(libc::ENOENT) if execute => (Refused::Broken, format!("{said}: what it names as its interpreter")),
        Some(libc::ENOEXEC) if execute => {
            (Refused::Broken, format!("{said}: it is no program for this machine, and does not begin with `#!`"))
        }
        Some(libc::EACCES | libc::EPERM) if execute => {
            let advice = "Its user has to be allowed to run it, and to enter all folders above it";
            (Refused::Forbidden, format!("{said}. {advice}"))
        }
        Some(libc::EACCES) if step == Step::Directory => {
            (Refused::Forbidden, format!("{said} while {}", step.as_str()))
        }
        _ => (refused_of(error), format!("{said} while {}", step.as_str())),
    }
}
