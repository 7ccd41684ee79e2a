//! `cargo xtask bench` and `cargo xtask soak`: builds what takes part, sees to the programs of others, and hands over to
//! the `unary-bench` program.
//!
//! How things are measured and tried is in `bench/`; here is only how they come to be there.

use std::process::Command;

use crate::Failure;
use crate::debian::{self, Program};
use crate::project::Project;

/// What the driver is for this time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Bench,
    Soak,
}

/// What to tell cargo, and what comes of it in the target folder.
type Build = (&'static [&'static str], &'static str);

// Ours, each built by itself, as its users build it: cargo unites the features of packages it builds together.
const UNARY: Build = (&["build", "--release", "--package", "unary-server"], "release/unary");
const HELLO: Build = (&["build", "--release", "--package", "unary", "--example", "hello"], "release/examples/hello");
const ECHO: Build = (&["build", "--release", "--package", "unary", "--example", "echo"], "release/examples/echo");

/// Rivals, in a profile that gives them what they would choose for themselves; and with them what is beside them in
/// `bench/` and must not be slow.
#[rustfmt::skip]
const RIVALS: &[&str] = &[
    "build", "--profile", "rival", "--package", "unary-bench", "--bin", "hyper1", "--bin", "floor", "--bin", "handshakes",
    "--bin", "http2", "--bin", "limiter", "--bin", "app",
];

/// The program that compares. It only waits, so it is built the quick way.
const DRIVER: Build = (&["build", "--package", "unary-bench", "--bin", "unary-bench"], "debug/unary-bench");

impl Task {
    fn word(self) -> &'static str {
        match self {
            Task::Bench => "bench",
            Task::Soak => "soak",
        }
    }

    /// Programs of others.
    fn programs(self) -> &'static [Program] {
        match self {
            Task::Bench => debian::FOR_BENCH,
            Task::Soak => debian::FOR_SOAK,
        }
    }

    fn builds(self) -> &'static [Build] {
        match self {
            Task::Bench => &[UNARY, HELLO],
            Task::Soak => &[UNARY, ECHO],
        }
    }
}

pub(crate) fn run(project: &Project, task: Task, options: &[&str]) -> Result<(), Failure> {
    if !options.iter().any(|option| matches!(*option, "--help" | "-h")) {
        prepare(project, task)?;
    }
    let (words, driver) = DRIVER;
    if !build(project, words)? {
        return Err(format!("cargo {} failed", words.join(" ")));
    }
    let status = Command::new(project.target.join(driver))
        .arg("--target-dir")
        .arg(&project.target)
        .arg(task.word())
        .args(options)
        .current_dir(&project.root)
        .status()
        .map_err(|error| format!("cannot run {driver}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the {} did not come out clean, see above", task.word())) }
}

fn prepare(project: &Project, task: Task) -> Result<(), Failure> {
    eprintln!("programs: {}", debian::install(task.programs()));
    let missing: Vec<&str> = debian::missing(task.programs()).iter().map(|program| program.name).collect();
    if !missing.is_empty() {
        return Err(format!("the {} needs {}. Install and try again", task.word(), missing.join(" and ")));
    }
    for (words, binary) in task.builds() {
        if !build(project, words)? {
            // An older build must not stand in for this one. The driver says what it had to do without.
            let _ = std::fs::remove_file(project.target.join(binary));
            eprintln!("warning: {binary} did not build and will be missing");
        }
    }
    if task == Task::Soak || build(project, RIVALS)? { Ok(()) } else { Err("the rivals did not build".to_owned()) }
}

/// Whether it built. What cargo says is shown as it comes.
fn build(project: &Project, words: &[&str]) -> Result<bool, Failure> {
    eprintln!("cargo {}", words.join(" "));
    let status = project.cargo(words).arg("--quiet").status().map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(status.success())
}
