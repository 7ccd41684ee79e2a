//! The machine: which core does what, how many sockets there may be, ports nobody else has, and what to call it all.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Failure;

/// Who has a core of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// For servers: core 0.
    Servers,
    /// For the load, and for whatever else is not measured: core 1.
    Load,
    /// Both of them, shared with the load: for servers that are measured together with the programs they run.
    Both,
}

impl Core {
    fn numbers(self) -> &'static [usize] {
        match self {
            Core::Servers => &[0],
            Core::Load => &[1],
            Core::Both => &[0, 1],
        }
    }
}

/// Ports for one server.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    /// For servers that speak TLS, too.
    pub(crate) tls: u16,
}

/// Sockets and files of one process: 4,000 idle connections with room to spare.
const DESCRIPTORS_MIN: u64 = 8_192;

/// Below the range the kernel hands out to clients: there, a client may be given the very port it is calling and find
/// itself connected to itself.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// Keeps this program, and every program it starts, off the servers' core.
pub(crate) fn stay_on_the_load_core() -> Result<(), Failure> {
    stay_on(Core::Load)
}

/// Does `work` on this core; a program started there stays there. Afterwards this thread is where the load is.
pub(crate) fn on<T>(core: Core, work: impl FnOnce() -> T) -> Result<T, Failure> {
    stay_on(core)?;
    let done = work();
    stay_on(Core::Load)?;
    Ok(done)
}

fn stay_on(core: Core) -> Result<(), Failure> {
    let mut cores = CpuSet::new();
    core.numbers().iter().for_each(|number| cores.set(*number));
    let two = "The server and the load each need a core of their own: two at least";
    sched_setaffinity(None, &cores).map_err(|error| format!("cannot run on core {:?}: {error}. {two}", core.numbers()))
}

/// Raises the limit on open descriptors as far as it goes. Programs started later inherit it.
pub(crate) fn allow_many_sockets() -> Result<(), Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|maximum| maximum < DESCRIPTORS_MIN) {
        return Err(format!("a process may open too few descriptors here. Allow {DESCRIPTORS_MIN}: ulimit -Hn"));
    }
    let all = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, all).map_err(|error| format!("cannot raise the limit on descriptors: {error}"))
}

/// Ports on loopback that nobody listens on.
pub(crate) fn free_ports() -> Result<Ports, Failure> {
    Ok(Ports { plain: free_port()?, tls: free_port()? })
}

fn free_port() -> Result<u16, Failure> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    // Where two benchmarks run at once they begin at different places.
    let first = u16::try_from(std::process::id() % u32::from(width)).unwrap_or(0);
    for _ in 0..width {
        let step = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % width;
        let port = PORTS.start + step;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(format!("no port is free between {} and {}", PORTS.start, PORTS.end))
}

/// What the figures were measured with and on, as (what, which).
pub(crate) fn facts() -> Vec<(&'static str, String)> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("date", said(&["date", "--utc", "+%Y-%m-%d %H:%M UTC"])),
        ("unary", commit()),
        ("nginx", said(&["nginx", "-v"]).replace("nginx version: ", "")),
        ("nginx's TLS", nginx_tls()),
        ("lighttpd", said(&["/usr/sbin/lighttpd", "-v"])),
        ("Apache", said(&["/usr/sbin/apache2", "-v"]).replace("Server version: ", "")),
        ("fcgiwrap", packaged("fcgiwrap")),
        ("rustls", locked_version("rustls")),
        ("hyper", locked_version("hyper")),
        ("mio", locked_version("mio")),
        ("wrk", said(&["wrk", "-v"])),
        ("h2load", said(&["h2load", "--version"])),
        ("rustc", said(&["rustc", "--version"])),
        ("kernel", kernel.trim().to_owned()),
        ("processor", processor()),
    ]
}

/// Which library nginx was built with.
fn nginx_tls() -> String {
    let Ok(output) = Command::new("nginx").arg("-V").output() else { return "unknown".to_owned() };
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().find_map(|line| line.strip_prefix("built with ")).unwrap_or("unknown").to_owned()
}

/// The version of a Debian package, of a program that does not tell its own.
fn packaged(package: &str) -> String {
    said(&["dpkg-query", "--show", "--showformat=${Version}", package])
}

fn commit() -> String {
    let commit = said(&["git", "rev-parse", "--short=12", "HEAD"]);
    let changed = said(&["git", "status", "--porcelain", "--untracked-files=no"]);
    if changed.is_empty() { commit } else { format!("{commit} with changes not committed") }
}

fn processor() -> String {
    let facts = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = facts.lines().filter(|line| line.starts_with("processor")).count();
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

/// The version of a dependency as the lock file has it.
fn locked_version(name: &str) -> String {
    let lock = fs::read_to_string("Cargo.lock").unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{name}\""));
    let version = lines.nth(1).and_then(|line| line.strip_prefix("version = "));
    version.unwrap_or("unknown").trim_matches('"').to_owned()
}

/// The first line a program prints about itself, on whichever stream.
fn said(words: &[&str]) -> String {
    let Ok(output) = Command::new(words[0]).args(&words[1..]).output() else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
