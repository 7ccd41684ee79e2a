//! What exactly is run, of a program and what was asked for: the file, its arguments and environment, and limits.
//!
//! Nothing here asks a disk, which may hang: which files are there is for the new process to see, as its user.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::found::FoundProgram;
use super::{in_words, refused_of};
use crate::php;
use crate::process::{Directory, Failed, NO_FILE, NOT_EXECUTABLE, Plan, Resource as Limit, Step};
use crate::program::{Limits, PATH_DEFAULT, Privileges, Run};
use crate::spawner::Asked;
use crate::spawner::message::Refused;

/// Descriptors that a program may have open, unless told: select(2) cannot count further.
const OPEN_FILES: u64 = 1024;

/// Folders of `PATH` that are looked in.
const FOLDERS_MAX: usize = 64;

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
    let path = environment.iter().find_map(|variable| variable.strip_prefix(b"PATH="));
    let (files, beneath, arguments) = match &program.run {
        Run::Command(words) => {
            let files = files_of(words, path.unwrap_or_default())?;
            (files, None, words.iter().map(|word| word.as_bytes().to_vec()).collect())
        }
        Run::File(file) if asked.file.is_empty() => {
            let file = absolute(file)?;
            (vec![file.clone()], None, vec![file])
        }
        // Asked for something beneath it, a file is a folder that is none.
        Run::File(folder) | Run::Folder(folder) => {
            let folder = absolute(folder)?;
            let file = Path::new(OsStr::from_bytes(&folder)).join(OsStr::from_bytes(asked.file));
            let file = file.into_os_string().into_vec();
            (vec![file.clone()], Some((folder, asked.file.to_vec())), vec![file])
        }
    };
    let knows_own_pid = asked.sockets > 0;
    if knows_own_pid {
        environment.push(format!("LISTEN_FDS={}", asked.sockets).into_bytes());
    }
    let directory = match &program.directory {
        Some(directory) => Directory::At(directory.as_os_str().as_bytes().to_vec()),
        None => Directory::OfFile,
    };
    Ok(Plan {
        directory,
        files,
        beneath,
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

/// Where the file of a command may be: as it is named, or where `PATH` has it.
fn files_of(words: &[String], path: &[u8]) -> Result<Vec<Vec<u8>>, (Refused, String)> {
    let Some(name) = words.first() else { return Err((Refused::Unknown, "its command is empty".to_owned())) };
    if name.contains('/') {
        return Ok(vec![absolute(Path::new(name))?]);
    }
    let folders = || path.split(|byte| *byte == b':').filter(|folder| !folder.is_empty()).take(FOLDERS_MAX);
    let files = php::names_of(name).flat_map(|name| {
        let file = move |folder| absolute(&Path::new(OsStr::from_bytes(folder)).join(&name));
        folders().map(file)
    });
    let files: Vec<_> = files.collect::<Result<_, _>>()?;
    match files.is_empty() {
        true => Err((Refused::NotFound, format!("`{name}` is looked for in PATH, which is empty"))),
        false => Ok(files),
    }
}

fn absolute(path: &Path) -> Result<Vec<u8>, (Refused, String)> {
    let absolute = std::path::absolute(path).map(PathBuf::into_os_string).map(OsStringExt::into_vec);
    absolute.map_err(|error| (Refused::Failed, in_words(&error)))
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
pub(super) fn failed(failed: &Failed) -> (Refused, String) {
    let Failed { step, error, files } = failed;
    let (step, said) = (*step, in_words(error));
    let execute = step == Step::Execute;
    match error.raw_os_error() {
        Some(error) if step == Step::Find => {
            let (refused, said) = match error {
                NO_FILE => (Refused::NotFound, "it is no file"),
                NOT_EXECUTABLE => (Refused::Forbidden, "nobody may execute it. Allow it: chmod +x"),
                libc::EXDEV => (Refused::Forbidden, "it leads out of the folder"),
                libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => (Refused::NotFound, said.as_str()),
                libc::EACCES | libc::ELOOP => (Refused::Forbidden, said.as_str()),
                _ => (refused_of(&failed.error), said.as_str()),
            };
            (refused, format!("{files}: {said}"))
        }
        Some(libc::ENOENT) if execute => (Refused::Broken, format!("{said}: what it names as its interpreter")),
        Some(libc::ENOEXEC) if execute => {
            (Refused::Broken, format!("{said}: it is no program for this machine, and does not begin with `#!`"))
        }
        Some(libc::EACCES | libc::EPERM) if execute => {
            let advice = "Its user has to be allowed to run it, and to enter all folders above it";
            (Refused::Forbidden, format!("{said}. {advice}"))
        }
        Some(libc::EACCES | libc::ELOOP) if step == Step::Directory => {
            (Refused::Forbidden, format!("{said} while {}", step.as_str()))
        }
        Some(libc::ENAMETOOLONG) if step == Step::Directory => {
            (Refused::NotFound, format!("{said} while {}", step.as_str()))
        }
        _ => (refused_of(&failed.error), format!("{said} while {}", step.as_str())),
    }
}
