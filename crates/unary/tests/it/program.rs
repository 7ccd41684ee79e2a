//! A running example, and what to say to it over HTTP.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A test that is stuck says so after this long.
pub(crate) const STUCK: Duration = Duration::from_secs(20);

/// An example that runs; killed if the test fails before it is stopped.
pub(crate) struct Program {
    child: Child,
    said: BufReader<ChildStderr>,
}

/// An example's executable. `cargo test -p unary` builds them all beside this test.
pub(crate) fn command<S: AsRef<OsStr>>(example: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut path = std::env::current_exe().expect("a test knows where it is");
    path.pop();
    path.pop();
    let path = path.join("examples").join(example);
    assert!(path.exists(), "{} is not there: `cargo test -p unary` builds it", path.display());
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Starts an example on a free port of this machine, with two event loops, and gives where it
/// listens, as it says so itself.
pub(crate) fn start(example: &str) -> (Program, String) {
    let mut program = Program::start(example, ["--listen", "127.0.0.1:0", "--threads", "2"]);
    let address = program.hear_address();
    (program, address)
}

/// The same for an example that speaks HTTP.
pub(crate) fn start_http(example: &str) -> (Program, SocketAddr) {
    let (program, address) = start(example);
    let address = address.strip_prefix("http://").unwrap_or_else(|| panic!("{address} is no link"));
    (program, address.parse().unwrap())
}

impl Program {
    pub(crate) fn start<S: AsRef<OsStr>>(example: &str, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut child = command(example, arguments).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, said }
    }

    /// The next address it says it listens on.
    pub(crate) fn hear_address(&mut self) -> String {
        let line = self.hear();
        line.strip_prefix("listening on ").unwrap_or_else(|| panic!("it said: {line}")).to_owned()
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Tells it to stop, and expects that it does so without a word.
    #[track_caller]
    pub(crate) fn stop_well(self) {
        self.tell_to_stop();
        self.end_well();
    }

    pub(crate) fn tell_to_stop(&self) {
        kill_process(self.id(), Signal::TERM).unwrap();
    }

    /// Waits for an end without a word of complaint.
    #[track_caller]
    pub(crate) fn end_well(mut self) {
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that does not wait for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    stream
}

/// The whole answer to a request on a connection of its own.
pub(crate) fn ask(address: SocketAddr, method: &str, target: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks, and checks status and body.
#[track_caller]
pub(crate) fn check(address: SocketAddr, (method, target, body): (&str, &str, &str), (status, answer): (u16, &str)) {
    let whole = ask(address, method, target, body);
    let (head, said) = whole.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply: {whole}"));
    assert_eq!(head.split(' ').nth(1), Some(&*status.to_string()), "{method} {target}: {whole}");
    assert_eq!(said, answer, "{method} {target}");
}
