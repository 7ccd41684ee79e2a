//! Running a program to its end, with a bound.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::wait::PATIENCE;

/// A program that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

/// Runs a program to its end.
///
/// # Panics
///
/// If it cannot be run, or takes longer than a minute: it is ended then.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stdout = read_to_end(child.stdout.take());
    let stderr = read_to_end(child.stderr.take());
    // Both streams end when it does.
    let Ok(stdout) = stdout.recv_timeout(PATIENCE * 3) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("it took too long: {command:?}");
    };
    let stderr = stderr.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
    let status = child.wait().expect("a child can be waited for");
    Ran { code: status.code(), stdout, stderr }
}

fn read_to_end(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}
