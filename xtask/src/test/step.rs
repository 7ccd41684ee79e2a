//! One step of the test run: a line that tells what is running and for how long, a command run to its end, an outcome.

use std::cell::Cell;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::counts::Counts;

/// A step that takes longer hangs: it is ended, and its output shows where.
const STEP_MAX: Duration = Duration::from_secs(20 * 60);

/// How often a running command is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Processes below a step that are ended with it when it hangs.
const PROCESSES_MAX: usize = 1_000;

/// How a step went.
pub(super) struct Outcome {
    pub(super) counts: Counts,
    /// A few words for the step's line.
    pub(super) says: String,
    /// Shown if anything failed.
    pub(super) output: String,
}

impl Outcome {
    /// Neither passed nor failed: it only has something to say.
    pub(super) fn said(says: String) -> Outcome {
        Outcome { counts: Counts::default(), says, output: String::new() }
    }

    pub(super) fn passed() -> Outcome {
        Outcome { counts: Counts::ONE_PASSED, says: "ok".to_owned(), output: String::new() }
    }

    pub(super) fn failed(output: String) -> Outcome {
        Outcome { counts: Counts::ONE_FAILED, says: "FAILED".to_owned(), output }
    }

    /// For a step that checks nothing a later one does not.
    pub(super) fn uncounted_if_passed(self) -> Outcome {
        Outcome { counts: Counts { passed: 0, ..self.counts }, ..self }
    }
}

/// The step's line on the terminal: its name while it runs, its time and outcome in the end.
pub(super) struct Progress {
    name: &'static str,
    started: Instant,
    limit: Duration,
    shown_seconds: Cell<u64>,
}

/// A command that has run.
pub(super) struct Ran {
    pub(super) succeeded: bool,
    /// Standard output and standard error, in the order they came.
    pub(super) output: String,
}

impl Progress {
    pub(super) fn begin(name: &'static str) -> Progress {
        let progress = Progress::limited_to(STEP_MAX, name);
        progress.tick();
        progress
    }

    fn limited_to(limit: Duration, name: &'static str) -> Progress {
        Progress { name, started: Instant::now(), limit, shown_seconds: Cell::new(u64::MAX) }
    }

    pub(super) fn end(self, outcome: &Outcome) {
        if std::io::stdout().is_terminal() {
            print!("\r");
        }
        println!("{:<8}{:>7.1} s  {}", self.name, self.started.elapsed().as_secs_f64(), outcome.says.trim_end());
        if outcome.counts.failed > 0 {
            println!("{}", outcome.output.trim_end());
        }
    }

    /// Shows the seconds so far, where somebody may be watching.
    fn tick(&self) {
        let seconds = self.started.elapsed().as_secs();
        if self.shown_seconds.replace(seconds) != seconds && std::io::stdout().is_terminal() {
            print!("\r{:<8}{seconds:>5}   s  ", self.name);
            // A terminal that cannot be written to has nobody to disappoint.
            let _ = std::io::stdout().flush();
        }
    }

    /// Runs `command` to its end with no input. What it prints goes to `NAME.log` in `logs` and comes back whole.
    pub(super) fn run(&self, mut command: Command, logs: &Path) -> Ran {
        let path = logs.join(format!("{}.log", self.name));
        let started = File::create(&path).and_then(|log| {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            command.spawn()
        });
        let outcome = started.and_then(|child| self.wait(child));
        let output = std::fs::read(&path).unwrap_or_default();
        let mut output = String::from_utf8_lossy(&output).into_owned();
        match outcome {
            Ok(Some(status)) => return Ran { succeeded: status.success(), output },
            Ok(None) => output.push_str(&format!("\nstill running after {:?}, so it was ended", self.limit)),
            Err(error) => output.push_str(&format!("cannot run {}: {error}", command.get_program().display())),
        }
        Ran { succeeded: false, output }
    }

    /// `None` if it took too long. It is gone then, with all that it started.
    #[expect(clippy::disallowed_methods, reason = "no event loop here: this program waits for others")]
    fn wait(&self, mut child: Child) -> std::io::Result<Option<ExitStatus>> {
        while self.started.elapsed() < self.limit {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            self.tick();
            std::thread::sleep(LOOK_EVERY);
        }
        for process in descendants(child.id()) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
        child.kill()?;
        child.wait()?;
        Ok(None)
    }
}

/// Everything started by `parent`, and by what that started.
fn descendants(parent: u32) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut parents = vec![parent];
    while let Some(parent) = parents.pop() {
        let children = std::fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            (parent_of(id)? == parent).then_some(id)
        });
        for child in children {
            parents.push(child);
            found.extend(i32::try_from(child).ok().and_then(Pid::from_raw));
        }
        if found.len() > PROCESSES_MAX {
            break;
        }
    }
    found
}

/// The fourth field of `/proc/ID/stat`; the second is a name in brackets that may hold anything.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a line of shell for at most `limit`.
    fn run(name: &'static str, line: &str, limit: Duration) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        Progress::limited_to(limit, name).run(command, &std::env::temp_dir())
    }

    #[test]
    fn keeps_both_streams_in_order() {
        let ran = run("xtask-streams", "echo one; echo two >&2; echo three; exit 3", Duration::from_secs(60));
        assert_eq!((ran.succeeded, ran.output.as_str()), (false, "one\ntwo\nthree\n"));
    }

    #[test]
    fn ends_what_hangs_and_all_below_it() {
        let started = Instant::now();
        let ran = run("xtask-hang", "sleep 600 & echo $!; wait", Duration::from_millis(300));
        assert!(!ran.succeeded && started.elapsed() < Duration::from_secs(60));
        let (child, rest) = ran.output.split_once('\n').expect("the shell printed a line");
        assert_eq!(rest.trim(), "still running after 300ms, so it was ended");
        let lives = || {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while lives() {
            assert!(started.elapsed() < Duration::from_secs(60), "it lives on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn says_what_cannot_be_run() {
        let ran = Progress::limited_to(STEP_MAX, "xtask-missing").run(Command::new("/no/such"), &std::env::temp_dir());
        assert!(!ran.succeeded && ran.output.contains("cannot run /no/such"), "{}", ran.output);
    }
}
