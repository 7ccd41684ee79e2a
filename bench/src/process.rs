//! A server that was started here and ends with the value that holds it.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;
use crate::client::Client;
use crate::machine::{self, Core, Ports};

const READY_MAX: Duration = Duration::from_secs(10);
const END_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Children of children of a server that are counted with it.
const PROCESSES_MAX: usize = 256;

/// Which processes are meant of those that a server started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kin {
    Same,
    Other,
}

/// A running server and all the processes it consists of.
pub(crate) struct Process {
    child: Child,
    /// The child, and those of the same program that it started, once it has answered: what a server runs for others
    /// is not it.
    members: Vec<u32>,
    pub(crate) ports: Ports,
    log: PathBuf,
}

impl Process {
    /// Starts a server on this core and waits until it has the reply: a path, and how long the body is. What it says
    /// goes to a file in `folder`.
    pub(crate) fn start(
        command: &mut Command,
        core: Core,
        ports: Ports,
        (path, body_bytes): (&str, usize),
        folder: &Path,
    ) -> Result<Process, Failure> {
        // Should this program be killed, the kernel tells the server to end: it must not outlive what it was for.
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "TERM"]).arg(command.get_program()).args(command.get_args());
        guarded.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let log = folder.join(format!("{}.log", ports.plain));
        let mut process = Process::spawn(&mut guarded, core, ports, &log)?;
        process
            .wait_until(|| Client::connect(ports.plain).map_err(|error| error.to_string())?.get(path, body_bytes))
            .map_err(|failure| format!("{failure}\n{}", process.said()))?;
        process.members = process.relations(Kin::Same);
        Ok(process)
    }

    /// Starts a server on this core and waits for nothing.
    pub(crate) fn spawn(command: &mut Command, core: Core, ports: Ports, log: &Path) -> Result<Process, Failure> {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = machine::on(core, || command.spawn())?;
        let child = child.map_err(|error| format!("cannot run {name}: {error}"))?;
        Ok(Process { members: vec![child.id()], child, ports, log: log.to_owned() })
    }

    /// Waits until it listens on this Unix socket.
    pub(crate) fn wait_for_socket(&mut self, socket: &Path) -> Result<(), Failure> {
        self.wait_until(|| UnixStream::connect(socket).map(drop).map_err(|error| error.to_string()))
            .map_err(|failure| format!("{failure}\n{}", self.said()))
    }

    /// What it has said on standard error.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_until(&mut self, ready: impl Fn() -> Result<(), Failure>) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            let Err(failure) = ready() else { return Ok(()) };
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the server on port {} ended with {status}", self.ports.plain));
            }
            if started.elapsed() > READY_MAX {
                return Err(format!("the server on port {} is not ready: {failure}", self.ports.plain));
            }
            pause(LOOK_EVERY);
        }
    }

    /// Processor time used so far, by all its processes and threads, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, Failure> {
        let ticks = self.members.iter().map(|id| cpu_ticks(*id)).sum::<Option<u64>>();
        let ticks = ticks.ok_or_else(|| format!("the server on port {} lost a process", self.ports.plain))?;
        #[expect(clippy::cast_precision_loss, reason = "ticks of a run of minutes are exact in a double")]
        Ok(ticks as f64 / clock_ticks_per_second() as f64)
    }

    /// Its share of memory, in KiB: what is shared with others counts by its part.
    pub(crate) fn pss_kib(&self) -> Result<u64, Failure> {
        self.sum_kib("smaps_rollup", "Pss:")
    }

    /// How often its threads have waited for something, since they began: each time something woke them.
    pub(crate) fn waits(&self) -> Result<u64, Failure> {
        let waits = self.members.iter().map(|id| waits_of(*id)).sum::<Option<u64>>();
        waits.ok_or_else(|| format!("cannot read how often the server on port {} waited", self.ports.plain))
    }

    /// How many programs it runs now.
    pub(crate) fn programs(&self) -> usize {
        self.relations(Kin::Other).len()
    }

    /// The child and all that it started, as far as they are the same program or are not.
    fn relations(&self, kin: Kin) -> Vec<u32> {
        let program = |id: u32| fs::read_link(format!("/proc/{id}/exe")).ok();
        let own = program(self.child.id());
        let is_kin = |id: &u32| (program(*id) == own) == (kin == Kin::Same);
        family(self.child.id()).into_iter().filter(is_kin).collect()
    }

    /// Resident memory in KiB.
    pub(crate) fn rss_kib(&self) -> Result<u64, Failure> {
        self.sum_kib("status", "VmRSS:")
    }

    fn sum_kib(&self, file: &str, field: &str) -> Result<u64, Failure> {
        let of = |id: &u32| {
            let text = fs::read_to_string(format!("/proc/{id}/{file}")).ok()?;
            text.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse::<u64>().ok()
        };
        let sum = self.members.iter().map(of).sum::<Option<u64>>();
        sum.ok_or_else(|| format!("cannot read the memory of the server on port {}", self.ports.plain))
    }
}

impl Drop for Process {
    /// Asks it to end, waits a little, and then ends it and all it started.
    fn drop(&mut self) {
        let members = family(self.child.id());
        let _ = signal(self.child.id(), Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < END_MAX && matches!(self.child.try_wait(), Ok(None)) {
            pause(LOOK_EVERY);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its own children are ours to end if it left any; their ids cannot have been given away so soon.
        for id in members.into_iter().skip(1).filter(|id| parent_of(*id) == Some(1)) {
            let _ = signal(id, Signal::KILL);
        }
    }
}

/// Waits; nothing else happens in this program meanwhile.
#[expect(clippy::disallowed_methods, reason = "no event loop here: this program waits for others")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn signal(id: u32, signal: Signal) -> Option<()> {
    kill_process(Pid::from_raw(i32::try_from(id).ok()?)?, signal).ok()
}

/// `parent` and everything started by it, and by what that started.
fn family(parent: u32) -> Vec<u32> {
    let mut members = vec![parent];
    let mut looked_at = 0;
    while looked_at < members.len() && members.len() < PROCESSES_MAX {
        let parent = members[looked_at];
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        members.extend(ids.filter(|id| parent_of(*id) == Some(parent)));
        looked_at += 1;
    }
    members
}

/// Voluntary context switches of all threads that there are (proc_pid_status(5)).
fn waits_of(id: u32) -> Option<u64> {
    let of = |text: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse().ok())
    };
    let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?.flatten();
    let read = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).ok();
    threads.map(|thread| of(&read(thread)?)).sum::<Option<u64>>()
}

fn parent_of(id: u32) -> Option<u32> {
    stat_fields(id)?.split_whitespace().nth(1)?.parse().ok()
}

/// User and system time of all threads, those that have ended included (proc_pid_stat(5), fields 14 and 15).
fn cpu_ticks(id: u32) -> Option<u64> {
    let fields = stat_fields(id)?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

/// `/proc/ID/stat` from its third field on. The second is a name in brackets that may hold anything.
fn stat_fields(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')').map(|(_, fields)| fields.to_owned())
}
