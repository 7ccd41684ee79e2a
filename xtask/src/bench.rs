//! `cargo xtask bench`: builds what is compared, sees to nginx and wrk, and hands over to the `unary-bench` program.
//!
//! How things are measured is in `bench/`; here is only how they come to be there.

use std::process::Command;

use crate::project::Project;
use crate::{Failure, debian};

/// Ours: what to tell cargo, and what comes of it in the target folder. Each is built by itself, as its users build
/// it: cargo unites the features of packages it builds together.
const CONTESTANTS: [(&[&str], &str); 2] = [
    (&["build", "--release", "--package", "unary-server"], "release/unary"),
    (&["build", "--release", "--package", "unary", "--example", "hello"], "release/examples/hello"),
];

/// Rivals, in a profile that gives them what they would choose for themselves.
const RIVALS: &[&str] =
    &["build", "--profile", "rival", "--package", "unary-bench", "--bin", "hyper1", "--bin", "floor"];

/// The program that compares. It only waits, so it is built the quick way.
const DRIVER: (&[&str], &str) = (&["build", "--package", "unary-bench", "--bin", "unary-bench"], "debug/unary-bench");

pub(crate) fn run(project: &Project, options: &[&str]) -> Result<(), Failure> {
    if !options.iter().any(|option| matches!(*option, "--help" | "-h")) {
        prepare(project)?;
    }
    let (words, driver) = DRIVER;
    if !build(project, words)? {
        return Err(format!("cargo {} failed", words.join(" ")));
    }
    let status = Command::new(project.target.join(driver))
        .arg("--target-dir")
        .arg(&project.target)
        .args(options)
        .current_dir(&project.root)
        .status()
        .map_err(|error| format!("cannot run {driver}: {error}"))?;
    if status.success() { Ok(()) } else { Err("the benchmark did not come out clean, see above".to_owned()) }
}

fn prepare(project: &Project) -> Result<(), Failure> {
    eprintln!("programs: {}", debian::install(debian::FOR_BENCH));
    let missing: Vec<&str> = debian::missing(debian::FOR_BENCH).iter().map(|program| program.name).collect();
    if !missing.is_empty() {
        return Err(format!("the benchmark needs {}. Install and try again", missing.join(" and ")));
    }
    for (words, binary) in CONTESTANTS {
        if !build(project, words)? {
            // An older build must not stand in for this one. The driver says what it had to do without.
            let _ = std::fs::remove_file(project.target.join(binary));
            eprintln!("warning: {binary} did not build and will be missing");
        }
    }
    if build(project, RIVALS)? { Ok(()) } else { Err("the rivals did not build".to_owned()) }
}

/// Whether it built. What cargo says is shown as it comes.
fn build(project: &Project, words: &[&str]) -> Result<bool, Failure> {
    eprintln!("cargo {}", words.join(" "));
    let status = project.cargo(words).arg("--quiet").status().map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(status.success())
}
