//! How a keeper becomes the keeper of the next version: it executes the program that is on disk now, in
//! its own process, so that its number, its children and its descriptors stay. What it knows goes along in
//! memory that has no name, whose descriptor an environment variable tells.
//!
//! Signals stay blocked and wait. What servers say meanwhile waits in their channels.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::keeping::{Asker, Heirloom, Pid, SUCCESSION};
use super::programs::Heirs;
use super::sockets::Origin;

/// Where the next keeper finds the descriptor of what it inherits.
pub(super) const VARIABLE: &str = "UNARY_KEEPER_ESTATE";

/// Far more than an estate takes with all files of the largest config.
const ESTATE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is in memory then stays as it is.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// All that one keeper leaves to the next. Descriptors are numbers in the process they share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Estate {
    pub(super) version: u32,
    pub(super) heirloom: Heirloom,
    pub(super) servers: Vec<(Pid, RawFd)>,
    /// Where they ask for files. An estate from before has none.
    #[serde(default)]
    pub(super) files: Vec<(Pid, RawFd)>,
    /// What they have running.
    #[serde(default)]
    pub(super) programs: Heirs,
    /// Address, origin and sockets.
    pub(super) sockets: Vec<(String, Origin, Vec<RawFd>)>,
    /// Those of the service manager that no config wants now. An estate from before has none.
    #[serde(default)]
    pub(super) given: Vec<RawFd>,
    pub(super) admin: Option<RawFd>,
    pub(super) lock: Option<RawFd>,
    pub(super) asker: Option<(Asker, RawFd)>,
    pub(super) config: RawFd,
    pub(super) wanted: super::Wanted,
}

impl Estate {
    /// What an earlier keeper left to this process. To be called once, before anything else is opened.
    ///
    /// # Errors
    ///
    /// If it left something that cannot be read.
    pub(super) fn take() -> io::Result<Option<Self>> {
        let Some(number) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{VARIABLE} {why}"));
        let number = number.to_str().and_then(|number| number.parse().ok()).filter(|number| *number > 2);
        let mut estate = File::from(own(number.ok_or_else(|| bad("is no descriptor"))?)?);
        if !is_a_keepers(&estate) {
            return Err(bad("is nothing that a keeper has left: start without it"));
        }
        let mut text = Vec::new();
        estate.rewind()?;
        estate.take(ESTATE_BYTES_MAX).read_to_end(&mut text)?;
        let estate: Self = serde_json::from_slice(&text).map_err(|error| bad(&format!("cannot be read: {error}")))?;
        if estate.version == SUCCESSION { Ok(Some(estate)) } else { Err(bad("is of another version")) }
    }

    fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let servers = self.servers.iter().chain(&self.files).map(|(_, channel)| *channel);
        let sockets = self.sockets.iter().flat_map(|(_, _, sockets)| sockets.iter().copied());
        let single = self.admin.into_iter().chain(self.lock).chain([self.config]);
        servers
            .chain(sockets)
            .chain(self.given.iter().copied())
            .chain(single)
            .chain(self.programs.descriptors())
            .chain(self.asker.map(|(_, stream)| stream))
    }
}

/// Makes an inherited number a descriptor of ours, which no program we start gets.
pub(super) fn own(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the keeper that this process was left the descriptor open under this number and has gone with
    // all it owned; each number in an estate is taken once. If it is not open, the next call says so.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl_setfd(&descriptor, FdFlags::CLOEXEC) {
        Ok(()) => Ok(descriptor),
        Err(error) => {
            std::mem::forget(descriptor);
            Err(error.into())
        }
    }
}

/// A text in memory that has no name and does not change any more.
pub(super) fn sealed(name: &str, text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(text)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Whether this is what [`sealed`] makes, and ours: whoever starts us may set the variable, and what it leads to says
/// what is run as whom.
fn is_a_keepers(estate: &File) -> bool {
    let is_ours = fstat(estate).is_ok_and(|about| about.st_uid == geteuid().as_raw());
    is_ours && fcntl_get_seals(estate).is_ok_and(|seals| seals.contains(SEALS))
}

/// Becomes the program, with the arguments of this one. Comes back only if that fails.
pub(super) fn become_program(program: &Path, estate: &Estate) -> io::Error {
    match prepare(program, estate) {
        Ok((execution, _memory)) => {
            let error = execution.execute();
            for number in estate.descriptors() {
                let _ = inherit(number, FdFlags::CLOEXEC);
            }
            error
        }
        Err(error) => error,
    }
}

fn prepare(program: &Path, estate: &Estate) -> io::Result<(Execution, OwnedFd)> {
    let text = serde_json::to_vec(estate)?;
    if text.len() as u64 > ESTATE_BYTES_MAX {
        // The next keeper would not read it, and there would be none.
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the config names too many files to be handed on"));
    }
    let memory = sealed("unary-estate", &text)?;
    let numbers = estate.descriptors().chain([memory.as_fd().as_raw_fd()]);
    let variable = (OsString::from(VARIABLE), OsString::from(memory.as_fd().as_raw_fd().to_string()));
    let environment = std::env::vars_os().filter(|(name, _)| name != VARIABLE).chain([variable]);
    let execution = Execution::new(program.as_os_str(), std::env::args_os(), environment)?;
    numbers.into_iter().try_for_each(|number| inherit(number, FdFlags::empty()))?;
    Ok((execution, memory))
}

fn inherit(number: RawFd, flags: FdFlags) -> io::Result<()> {
    // SAFETY: it is borrowed for one call, in which it stays open: those who own it are waiting for us.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(fcntl_setfd(descriptor, flags)?)
}

/// What execve(2) takes. The standard library's way does more on its way there, to signals among others;
/// this does nothing else, so that a signal that comes meanwhile is blocked throughout.
struct Execution {
    program: CString,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Execution {
    fn new(
        program: &OsStr,
        arguments: impl Iterator<Item = OsString>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> io::Result<Self> {
        let variable = |(name, value): (OsString, OsString)| [name.as_bytes(), b"=", value.as_bytes()].concat();
        Ok(Self {
            program: CString::new(program.as_bytes())?,
            arguments: arguments.map(|argument| CString::new(argument.into_vec())).collect::<Result<_, _>>()?,
            environment: environment.map(|pair| CString::new(variable(pair))).collect::<Result<_, _>>()?,
        })
    }

    fn execute(&self) -> io::Error {
        let pointers = |strings: &[CString]| {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (arguments, environment) = (pointers(&self.arguments), pointers(&self.environment));
        // SAFETY: both lists end in a null pointer, and they and all they point to outlive the call.
        unsafe { libc::execve(self.program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use super::*;
    use crate::keeper::Wanted;

    #[test]
    fn what_is_sealed_is_read_and_not_written() {
        let mut memory = File::from(sealed("test", b"a config").unwrap());
        let mut text = String::new();
        memory.rewind().unwrap();
        memory.read_to_string(&mut text).unwrap();
        assert_eq!(text, "a config");
        memory.write_all(b"more").unwrap_err();
    }

    #[test]
    fn what_no_keeper_sealed_is_no_estate() {
        assert!(is_a_keepers(&File::from(sealed("test", b"{}").unwrap())));
        let open = memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(!is_a_keepers(&File::from(open)));
        assert!(!is_a_keepers(&File::open("/dev/null").unwrap()));
    }

    #[test]
    fn an_estate_that_would_not_be_read_is_not_left() {
        let memory = sealed("test", b"").unwrap();
        let mut estate = Estate {
            version: SUCCESSION,
            heirloom: Heirloom { serving: 1, draining: Vec::new(), asker: None },
            servers: Vec::new(),
            files: Vec::new(),
            programs: Heirs::default(),
            sockets: Vec::new(),
            given: Vec::new(),
            admin: None,
            lock: None,
            asker: None,
            config: memory.as_raw_fd(),
            wanted: Wanted {
                listen: Vec::new(),
                sockets_each: 1,
                user: None,
                group: None,
                state: None,
                admin: None,
                drain_deadline: Duration::ZERO,
                watch: Vec::new(),
                files: BTreeSet::new(),
                programs: BTreeMap::new(),
            },
        };
        assert_eq!(become_program(Path::new("/none"), &estate).kind(), io::ErrorKind::NotFound);
        estate.wanted.watch = vec!["x".repeat(ESTATE_BYTES_MAX as usize).into()];
        assert_eq!(become_program(Path::new("/none"), &estate).kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let execution = Execution::new(OsStr::new("/none"), [].into_iter(), [].into_iter()).unwrap();
        assert_eq!(execution.execute().kind(), io::ErrorKind::NotFound);
    }
}
