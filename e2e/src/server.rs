//! The server under test: the real binary, as a process of its own.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Rlimit, kill_process, prlimit};
pub use rustix::process::{Resource, Signal};

use crate::said::Said;
use crate::wait::PATIENCE;

/// A server about to be started.
#[derive(Debug)]
pub struct Start {
    binary: Option<PathBuf>,
    words: Vec<OsString>,
    /// At how many addresses it says that it listens, where the command line does not.
    addresses: Option<usize>,
    listen: Vec<String>,
    arguments: Vec<String>,
    /// Shell commands that set the stage.
    before: String,
    environment: Vec<(&'static str, String)>,
    stdin: Stdio,
    stdout: Stdio,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stderr: Said,
    stdout: Option<Said>,
    addresses: Vec<String>,
}

/// What it says of each address, once it listens there.
const LISTENING: &str = "listening on ";

/// Where the binary is. Built first, if nobody says.
///
/// # Panics
///
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| std::env::var_os("UNARY_BIN").map(PathBuf::from).or_else(build));
    binary.as_deref().expect("the binary cannot be built")
}

fn build() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--package", "unary-server"]).status();
    let this = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/it-0123 and target/debug/unary.
    let folder = this.ancestors().nth(2).expect("tests are built into a folder of the target folder");
    built.is_ok_and(|status| status.success()).then(|| folder.join("unary"))
}

/// `unary serve PATH`, on a free port of 127.0.0.1 unless told otherwise.
pub fn serve(path: impl Into<PathBuf>) -> Start {
    Start::with(["serve".into(), path.into().into()], None)
}

/// `unary run --config FILE`, which says of so many addresses that it listens there.
pub fn run_config(config: impl Into<PathBuf>, addresses: usize) -> Start {
    Start::with(["run".into(), "--config".into(), config.into().into()], Some(addresses))
}

impl Start {
    fn with(words: impl IntoIterator<Item = OsString>, addresses: Option<usize>) -> Self {
        Self {
            binary: None,
            words: words.into_iter().collect(),
            addresses,
            listen: Vec::new(),
            arguments: Vec::new(),
            before: String::new(),
            environment: Vec::new(),
            stdin: Stdio::null(),
            stdout: Stdio::null(),
        }
    }

    /// Another copy of the binary.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Listens there: `--listen`.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// One more argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Shell commands that are run in the same process before it becomes the server.
    pub fn after(mut self, commands: impl Into<String>) -> Self {
        self.before = commands.into();
        self
    }

    /// One more variable of the environment.
    pub fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Where its standard input comes from: nowhere unless told.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Where its standard output goes: nowhere unless told. If it is piped, [`Server::stdout`] reads it.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// The command as it would be run.
    pub fn command(&mut self) -> Command {
        if self.listen.is_empty() && self.addresses.is_none() {
            self.listen.push("127.0.0.1:0".to_owned());
        }
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{}\nexec \"$0\" \"$@\"", self.before)]);
        command.arg(self.binary.as_deref().unwrap_or_else(|| binary())).args(&self.words).args(&self.arguments);
        for address in &self.listen {
            command.args(["--listen", address]);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it does not say so in time.
    #[track_caller]
    pub fn start(mut self) -> Server {
        let mut command = self.command();
        command.stdin(self.stdin).stdout(self.stdout).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a shell can be run");
        let stderr = Said::on(child.stderr.take().expect("it is piped"));
        let stdout = child.stdout.take().map(Said::on);
        let mut server = Server { child, stderr, stdout, addresses: Vec::new() };
        let count = self.addresses.unwrap_or(self.listen.len());
        let ready = server.stderr.wait_for_count(PATIENCE, count, |line| line.starts_with(LISTENING));
        let Some(lines) = ready else { panic!("it does not listen: {:?}", server.stderr.lines()) };
        server.addresses = lines.iter().filter_map(|line| line.strip_prefix(LISTENING)).map(str::to_owned).collect();
        server
    }
}

impl Server {
    /// Where it says it listens, as in `http://127.0.0.1:4711` or `unix:/run/a.sock`.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.addresses[0])
    }

    /// Its first TCP address.
    ///
    /// # Panics
    ///
    /// If it has none.
    pub fn address(&self) -> SocketAddr {
        let of_tcp = |address: &String| address.split_once("://").and_then(|(_, address)| address.parse().ok());
        let address = self.addresses.iter().find_map(of_tcp);
        address.expect("it listens on TCP")
    }

    /// What it says on standard error.
    pub fn stderr(&self) -> &Said {
        &self.stderr
    }

    /// What it prints, if that is piped.
    ///
    /// # Panics
    ///
    /// If it is not.
    pub fn stdout(&self) -> &Said {
        self.stdout.as_ref().expect("its standard output is piped")
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes it has started and not yet seen the end of, the oldest first.
    pub fn children(&self) -> Vec<i32> {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        rss_kib(self.child.id()).expect("the server runs, and has memory")
    }

    /// The same of the processes it has started. One that has ended has none.
    pub fn children_rss_kib(&self) -> u64 {
        self.children().into_iter().filter_map(|pid| rss_kib(pid.unsigned_abs())).sum()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// The names of its threads, in order.
    pub fn threads(&self) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it has threads");
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
        let mut names: Vec<String> = tasks.flatten().filter_map(name).map(|name| name.trim_end().to_owned()).collect();
        names.sort();
        names
    }

    /// Changes what the system allows it, from now on.
    pub fn limit(&self, resource: Resource, current: u64) {
        let maximum = rustix::process::getrlimit(resource).maximum;
        let limit = Rlimit { current: Some(current), maximum };
        prlimit(Some(pid(&self.child)), resource, limit).expect("a child's limits are ours to set");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).expect("the server runs");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    ///
    /// If that takes longer.
    #[track_caller]
    pub fn ended(&mut self, within: Duration) -> ExitStatus {
        // Nobody else holds its standard error.
        assert!(self.stderr.wait_for_end(within), "it still runs after {within:?}: {:?}", self.stderr.lines());
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server said: {:#?}", self.stderr.lines());
        }
    }
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn pid(child: &Child) -> Pid {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a child has a process number")
}
