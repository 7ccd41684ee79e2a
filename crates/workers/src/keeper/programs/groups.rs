//! Groups of the kernel's (cgroup v2) for programs, where the machine lets us make some: one for each program, with the
//! limits of all its processes together, and in it one for each time that it runs, so that what it started is ended
//! with it, wherever it went.
//!
//! They are made beneath the group that the keeper was given for itself, as systemd gives one (`Delegate=yes`), or a
//! container its whole tree. A group that hands controllers on may have no processes, so the keeper moves into one of
//! its own.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::program::Together;

/// Where such groups are.
const MOUNTED: &str = "/sys/fs/cgroup";

/// The keeper's own group, beneath what it was given.
const KEEPER: &str = "keeper";

/// What has to be there for it to be worth while.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The time in which a program may use its part of the processors: the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;

/// Groups that could not be removed yet, as what was in them is about to end.
const LEFT_MAX: usize = 256;

/// Where groups are made, if they are.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    root: Option<PathBuf>,
    /// What each program's group has been told.
    told: HashMap<String, Together>,
    last: u64,
    left: Vec<PathBuf>,
    /// Why there are none.
    why_none: Option<String>,
    /// Whether that has been said, and to somebody to whom it mattered.
    said: Option<bool>,
}

/// One run of a program.
#[derive(Clone, Debug)]
pub(super) struct Group(pub(super) PathBuf);

impl Groups {
    /// Finds out whether this machine lets us make groups, and makes ready for that. To be called before there are
    /// children: they begin in the keeper's own group.
    pub(crate) fn find() -> Self {
        Self::try_find().unwrap_or_else(|why| Self { why_none: Some(why), ..Self::default() })
    }

    fn try_find() -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("there are none of version 2")?;
        let own = own.strip_suffix(KEEPER).map_or(own, |above| above.trim_end_matches('/'));
        let root = Path::new(MOUNTED).join(own);
        if !own.is_empty() && !is_delegated(&root) {
            return Err(format!("{} is not ours to divide. Under systemd: Delegate=yes", root.display()));
        }
        Self::beneath(root)
    }

    /// Makes groups beneath this one, in which we are ourselves.
    pub(crate) fn beneath(root: PathBuf) -> Result<Self, String> {
        let has = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let missing: Vec<_> =
            CONTROLLERS.into_iter().filter(|one| !has.split_whitespace().any(|it| it == *one)).collect();
        if !missing.is_empty() {
            return Err(format!("{} has no controller {}", root.display(), missing.join(", ")));
        }
        let cannot = |error: io::Error| format!("{} cannot be divided: {error}", root.display());
        let keeper = root.join(KEEPER);
        make(&keeper).map_err(cannot)?;
        write(&keeper.join("cgroup.procs"), "0").map_err(cannot)?;
        write(&root.join("cgroup.subtree_control"), "+cpu +memory +pids").map_err(cannot)?;
        // Numbers go on where those of the keeper that this process was before cannot have come to.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let last = u64::try_from(now.as_micros()).unwrap_or_default();
        Ok(Self { root: Some(root), last, ..Self::default() })
    }

    /// Whether this machine lets us make them.
    #[cfg(test)]
    pub(crate) fn are_made(&self) -> bool {
        self.root.is_some()
    }

    /// A group for one run of the program, and what its process writes itself into.
    pub(super) fn make(&mut self, program: &str, together: Together) -> io::Result<Option<(Group, OwnedFd)>> {
        self.say_why_none(together);
        let Some(root) = &self.root else { return Ok(None) };
        self.left.retain(|left| fs::remove_dir(left).is_err_and(|error| error.kind() != io::ErrorKind::NotFound));
        let of_program = root.join(directory_of(program));
        if self.told.get(program) != Some(&together) {
            make(&of_program)?;
            tell(&of_program, together)?;
            self.told.insert(program.to_owned(), together);
        }
        self.last += 1;
        let group = of_program.join(self.last.to_string());
        fs::create_dir(&group)?;
        let joined = open(&group.join("cgroup.procs"))?;
        Ok(Some((Group(group), joined.into())))
    }

    /// Says so once, and once more where it matters.
    fn say_why_none(&mut self, together: Together) {
        let matters = together != Together::default();
        let Some(why) = self.why_none.as_ref().filter(|_| self.said.is_none_or(|mattered| matters && !mattered)) else {
            return;
        };
        self.said = Some(matters);
        match matters {
            true => tracing::warn!(why, "no cgroup can be made for programs: `together` has no effect"),
            false => tracing::info!(why, "no cgroup can be made for programs: they are ended by their process groups"),
        }
    }

    /// It has ended: nothing that is left in its group goes on.
    pub(super) fn end(&mut self, group: Group) {
        group.kill();
        // What was killed is there for a moment. Groups beyond these stay, empty.
        if fs::remove_dir(&group.0).is_err() && self.left.len() < LEFT_MAX {
            self.left.push(group.0);
        }
    }

    /// Removes what it has made, as far as nothing is in there.
    pub(super) fn close(&mut self) {
        let Some(root) = &self.root else { return };
        self.left.drain(..).for_each(|left| drop(fs::remove_dir(left)));
        self.told.drain().for_each(|(program, _)| drop(fs::remove_dir(root.join(directory_of(&program)))));
    }
}

impl Group {
    /// Ends all that is in it: at once, and also what starts others meanwhile. Linux before 5.14 cannot.
    pub(super) fn kill(&self) {
        let _ = write(&self.0.join("cgroup.kill"), "1");
    }
}

/// Whether whoever divides these groups has left this one to us: systemd says so.
fn is_delegated(group: &Path) -> bool {
    let says = |name: &str| {
        let mut value = [0; 1];
        rustix::fs::getxattr(group, name, &mut value[..]).is_ok_and(|length| length == 1 && value == *b"1")
    };
    says("user.delegate") || says("trusted.delegate")
}

/// Names of groups have no line feed, among others.
fn directory_of(program: &str) -> String {
    let is_plain = |byte: &char| byte.is_ascii_alphanumeric() || matches!(byte, '.' | '-' | '#' | '_');
    let name: String = program.chars().map(|byte| if is_plain(&byte) { byte } else { '_' }).collect();
    format!("program-{name}")
}

fn tell(group: &Path, together: Together) -> io::Result<()> {
    let or_any = |limit: Option<u64>| limit.map_or("max".to_owned(), |limit| limit.to_string());
    let cpu = together.cpu_milli_max.map(|milli| milli.saturating_mul(CPU_PERIOD_US / 1000));
    write(&group.join("memory.max"), &or_any(together.memory_bytes_max))?;
    write(&group.join("pids.max"), &or_any(together.processes_max))?;
    write(&group.join("cpu.max"), &format!("{} {CPU_PERIOD_US}", or_any(cpu)))
}

fn make(group: &Path) -> io::Result<()> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    open(file)?.write_all(text.as_bytes()) // In one write, as the kernel wants it.
}

fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(file)
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    /// A folder that looks like a group.
    fn folder(controllers: &str) -> TempDir {
        TempDir::with([("cgroup.controllers", controllers)])
    }

    #[test]
    fn a_program_is_told_its_limits_once_and_each_run_has_a_group() {
        let folder = folder("cpuset cpu io memory pids\n");
        let mut groups = Groups::beneath(folder.path().to_owned()).unwrap();
        let together = Together { memory_bytes_max: Some(1 << 20), cpu_milli_max: Some(500), processes_max: Some(20) };
        let (one, _) = groups.make("a b#1", together).unwrap().unwrap();
        let (other, _) = groups.make("a b#1", together).unwrap().unwrap();
        assert_ne!(one.0, other.0);
        let check = |name: &str, expected: &str| {
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), expected, "{name}");
        };
        check("keeper/cgroup.procs", "0");
        check("cgroup.subtree_control", "+cpu +memory +pids");
        check("program-a_b#1/memory.max", "1048576");
        check("program-a_b#1/cpu.max", "50000 100000");
        check("program-a_b#1/pids.max", "20");
        groups.make("none", Together::default()).unwrap().unwrap();
        check("program-none/memory.max", "max");
        check("program-none/cpu.max", "max 100000");
        groups.end(one.clone());
        assert_eq!(fs::read_to_string(one.0.join("cgroup.kill")).unwrap(), "1");
        assert!(!other.0.join("cgroup.kill").exists());
    }

    #[test]
    fn a_machine_without_controllers_says_which() {
        let folder = folder("cpu pids");
        let refused = Groups::beneath(folder.path().to_owned()).unwrap_err();
        assert!(refused.ends_with("has no controller memory"), "{refused}");
        assert!(Groups::default().make("any", Together::default()).unwrap().is_none());
    }
}
