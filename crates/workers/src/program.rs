//! What a keeper runs when a server asks for it: programs that the config names, and on which terms.
//!
//! A server names one and gives what belongs to a request. What is run, as whom and with what limits is said here
//! alone, and the keeper reads it from the config itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The programs of a config by their [names](Program::name).
pub type Programs = BTreeMap<String, Program>;

/// Programs by their names.
///
/// # Errors
///
/// If two that differ have the same name: one of them would be run for the other.
pub fn by_name(all: impl IntoIterator<Item = Program>) -> Result<Programs, String> {
    by_name_of(all, Program::name)
}

fn by_name_of(all: impl IntoIterator<Item = Program>, name: impl Fn(&Program) -> String) -> Result<Programs, String> {
    let mut programs = Programs::new();
    for program in all {
        match programs.entry(name(&program)) {
            Entry::Vacant(place) => {
                place.insert(program);
            }
            Entry::Occupied(other) if *other.get() == program => {}
            Entry::Occupied(other) => {
                let why = "two programs that differ have the same name by chance";
                return Err(format!("{}: {why}. Change anything about one of them, as its umask", other.key()));
            }
        }
    }
    Ok(programs)
}

/// Where programs are looked for that are named without a path, and what they find in `PATH` unless told.
pub const PATH_DEFAULT: &str = "/usr/local/bin:/usr/bin:/bin";

/// The longest name of a program, and how much of it may be the name of its file.
pub const NAME_BYTES_MAX: usize = 128;
const SHOWN_BYTES_MAX: usize = 64;

/// A program, and on which terms it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What is run.
    pub run: Run,
    /// Who it runs as; `None` for whoever the server runs as.
    pub user: Option<String>,
    /// Their group; `None` for the user's own.
    pub group: Option<String>,
    /// Where it runs; `None` for the folder that its file is in.
    pub directory: Option<PathBuf>,
    /// What it finds in its environment beside what a request brings, and all that it finds but `PATH`.
    pub environment: Vec<(String, String)>,
    /// Which rights files that it makes do not get; `None` for 022.
    pub umask: Option<u32>,
    /// How willingly it gives way to others, from -20 to 19.
    pub nice: Option<i32>,
    /// What one process of it may take.
    pub limits: Limits,
    /// What all processes of it may take together.
    pub together: Together,
    /// Whether it may become more than its user: what `sudo` and mail programs need.
    pub privileges: Privileges,
    /// How long it may take to end once it is told to, before it is ended.
    pub stop_time: Duration,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// This command: a path, or a name that is looked for in `PATH`, and its arguments.
    Command(Vec<String>),
    /// This file; or, if it is a folder, any executable file beneath it, as below. Which of both is not for the keeper
    /// to know, who would have to ask a disk for it.
    File(PathBuf),
    /// Any executable file beneath this folder. Which one is said by whoever asks; nothing outside is ever run.
    Folder(PathBuf),
}

/// What one process may take: limits of setrlimit(2). `None` leaves what the keeper has itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Descriptors; `None` for 1,024, as programs that use select(2) cannot count further.
    pub open_files: Option<u64>,
    /// Processes and threads of its user.
    pub processes: Option<u64>,
    /// Bytes of address space.
    pub memory_bytes: Option<u64>,
    /// Seconds of CPU.
    pub cpu_seconds: Option<u64>,
    /// Bytes of a file that it writes.
    pub file_bytes: Option<u64>,
    /// Bytes of a core dump.
    pub core_bytes: Option<u64>,
}

/// What all processes of a program may take together: limits of a cgroup, where the machine lets the keeper make one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Together {
    /// Bytes of memory: `memory.max`.
    pub memory_bytes_max: Option<u64>,
    /// Thousandths of a core: `cpu.max`.
    pub cpu_milli_max: Option<u64>,
    /// Processes and threads: `pids.max`.
    pub processes_max: Option<u64>,
}

/// Whether a program may become more than its user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privileges {
    /// Never: `no_new_privs`.
    #[default]
    Fixed,
    /// By files that make whoever runs them somebody else.
    MayGain,
}

impl Program {
    /// How long a program may take to end, unless told.
    pub const STOP_TIME: Duration = Duration::from_secs(5);

    /// This command, as the server's user and without limits of its own.
    pub fn command<I: IntoIterator<Item: Into<String>>>(words: I) -> Self {
        Self::new(Run::Command(words.into_iter().map(Into::into).collect()))
    }

    /// This file, or any executable file beneath it, as the server's user and without limits of its own.
    pub fn file(file: impl Into<PathBuf>) -> Self {
        Self::new(Run::File(file.into()))
    }

    /// Any executable file beneath the folder, as the server's user and without limits of its own.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self::new(Run::Folder(folder.into()))
    }

    /// What logs and `unary ps` call it: the name of its file, and a number that no other has, as in
    /// `hello.py#5f0c21ab83e1d7f4`.
    ///
    /// Keeper and server find it by themselves, and a reload that changes nothing about a program, but perhaps its place
    /// in the config, does not change it either.
    pub fn name(&self) -> String {
        let path = match &self.run {
            Run::Command(words) => words.first().map(Path::new),
            Run::File(path) | Run::Folder(path) => Some(path.as_path()),
        };
        let shown = path.and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let shown = &shown[..shown.floor_char_boundary(SHOWN_BYTES_MAX)];
        // JSON has no way to write paths that are no UTF-8.
        let settings = serde_json::to_vec(self).unwrap_or_else(|_| format!("{self:?}").into_bytes());
        format!("{shown}#{:016x}", fnv_1a(&settings))
    }

    fn new(run: Run) -> Self {
        Self {
            run,
            user: None,
            group: None,
            directory: None,
            environment: Vec::new(),
            umask: None,
            nice: None,
            limits: Limits::default(),
            together: Together::default(),
            privileges: Privileges::default(),
            stop_time: Self::STOP_TIME,
        }
    }
}

/// The hash of Fowler, Noll and Vo: the same in every version of this program, which those of the standard library do
/// not promise.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_programs_apart() {
        let check = |program: &Program, expected: &str| assert_eq!(program.name(), expected);
        let hello = Program::command(["/srv/hello.py", "a"]);
        check(&hello, "hello.py#c77d8a8f4afa7996");
        check(&Program { nice: Some(1), ..hello.clone() }, "hello.py#8b56766a26c5fc76");
        check(&Program::folder("/srv/cgi-bin"), "cgi-bin#57d3c6268465aeae");
        assert_ne!(Program::command(["/srv/hello.py", "b"]).name(), hello.name());
        assert!(Program::command(["é".repeat(NAME_BYTES_MAX)]).name().len() < NAME_BYTES_MAX);
    }

    #[test]
    fn two_programs_of_one_name_are_refused() {
        let (one, other) = (Program::command(["/bin/one"]), Program::command(["/bin/other"]));
        assert_eq!(by_name([one.clone(), one.clone(), other.clone()]).unwrap().len(), 2);
        let same = |_: &Program| "same#0".to_owned();
        assert_eq!(by_name_of([one.clone(), one.clone()], same).unwrap().len(), 1);
        assert!(by_name_of([one, other], same).unwrap_err().starts_with("same#0: two programs"));
    }
}
