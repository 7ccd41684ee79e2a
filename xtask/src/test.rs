//! `cargo xtask test`: everything that must pass, in one command, with one line of counts at its end.
//!
//! What the machine lacks is installed where that may be done without asking, and otherwise skipped by name: a test
//! that cannot run appends `skipped: NAME: WHAT IS MISSING` to the file named by `UNARY_SKIPS` and returns. The harness
//! saw it pass, and is corrected here. With `CI=true` such a skip is a failure if Debian, or crates.io, has what is
//! missing.
//!
//! End-to-end tests run the program that `UNARY_BIN` names. It is built in cargo's `dev` profile along with the tests:
//! it shares all that is already compiled, and keeps the overflow and debug assertions a release build drops.

mod counts;
mod step;

use std::path::PathBuf;
use std::time::Instant;

use crate::project::Project;
use crate::{Failure, debian, tidy, tools};
use counts::{Counts, Skip};
use step::{Outcome, Progress};

/// Whether to install what the end-to-end tests lack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    Missing,
    Nothing,
}

/// The counts of a run that could not begin. `.ci/run` says the same when this program is not even there.
pub(crate) const NOT_BEGUN: &str = "0 passed, 1 failed, 0 skipped";

/// Features of the binary that are off unless asked for, and the tests that are there with them alone.
const FEATURES: &str = "otel";
const TESTS_OF_FEATURES: &str = "run::traces::";

/// How long each fuzz target runs: some thousands of inputs, on every change.
const FUZZ_SECONDS: &str = "5";

/// Runs every step, whatever the earlier ones said, so that one run shows all there is to mend.
pub(crate) fn run(project: &Project, install: Install) -> Result<(), Failure> {
    let mut run = Run::start(project)?;
    if install == Install::Missing {
        run.step("install", |_, _| Outcome::said(debian::install(debian::FOR_TESTS)));
        run.step("tools", |run, _| Outcome::said(tools::install(run.project)));
    }
    run.step("format", |run, progress| run.cargo(progress, &["fmt", "--all", "--check", "--", "--color", "never"]));
    run.step("clippy", |run, progress| {
        run.cargo(progress, &["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    });
    run.step("clippy-f", |run, progress| {
        let features = ["clippy", "--quiet", "--package", "unary-server", "--features", FEATURES, "--all-targets"];
        run.cargo(progress, &[&features[..], &["--", "--deny", "warnings"]].concat())
    });
    run.step("tidy", |run, _| run.tidy());
    run.step("docs", |run, progress| run.cargo(progress, &["doc", "--quiet", "--workspace", "--no-deps"]));
    let built = run.step("build", |run, progress| {
        let outcome = run.cargo(progress, &["build", "--quiet", "--workspace", "--all-targets"]);
        outcome.uncounted_if_passed()
    });
    if built {
        run.step("test", |run, progress| run.tests(progress));
        run.step("test-f", |run, progress| run.tests_of_features(progress));
        run.step("fuzz", |run, progress| run.fuzz(progress));
    } else {
        println!("test and fuzz were not run: there is nothing to run");
    }
    run.finish()
}

struct Run<'a> {
    project: &'a Project,
    /// Where each step's whole output is kept.
    logs: PathBuf,
    /// Where tests that cannot run say so.
    skips: PathBuf,
    started: Instant,
    total: Counts,
    failed: Vec<&'static str>,
}

impl<'a> Run<'a> {
    fn start(project: &'a Project) -> Result<Run<'a>, Failure> {
        let logs = project.target.join("xtask");
        let skips = logs.join("skips.txt");
        std::fs::create_dir_all(&logs)
            .and_then(|()| std::fs::write(&skips, ""))
            .map_err(|error| format!("cannot write {}: {error}", skips.display()))?;
        Ok(Run { project, logs, skips, started: Instant::now(), total: Counts::default(), failed: Vec::new() })
    }

    /// Performs one step and shows how it went; gives whether it passed.
    fn step(&mut self, name: &'static str, work: impl FnOnce(&Self, &Progress) -> Outcome) -> bool {
        let progress = Progress::begin(name);
        let outcome = work(self, &progress);
        progress.end(&outcome);
        self.total += outcome.counts;
        let passed = outcome.counts.failed == 0;
        if !passed {
            self.failed.push(name);
        }
        passed
    }

    /// A step that is one cargo command and counts as one check.
    fn cargo(&self, progress: &Progress, words: &[&str]) -> Outcome {
        let mut command = self.project.cargo(words);
        command.env("RUSTDOCFLAGS", "--deny warnings");
        let ran = progress.run(command, &self.logs);
        if ran.succeeded { Outcome::passed() } else { Outcome::failed(ran.output) }
    }

    fn tidy(&self) -> Outcome {
        match tidy::report(self.project) {
            Ok(report) if report.findings == 0 => Outcome { says: report.text, ..Outcome::passed() },
            Ok(report) => Outcome::failed(report.text),
            Err(failure) => Outcome::failed(failure),
        }
    }

    /// Unit tests, laws, integration, documentation examples, and the end-to-end tests with the binary they run.
    fn tests(&self, progress: &Progress) -> Outcome {
        let mut command = self.project.cargo(&["test", "--workspace", "--no-fail-fast"]);
        command.env("UNARY_BIN", self.project.target.join("debug/unary")).env("UNARY_SKIPS", &self.skips);
        let ran = progress.run(command, &self.logs);
        let mut counts = Counts::of_libtest(&ran.output).with_status(ran.succeeded);
        let skipped = self.skipped().len();
        counts.passed = counts.passed.saturating_sub(skipped);
        counts.skipped += skipped;
        let interesting = |line: &&str| !(line.starts_with("test ") && line.ends_with(" ... ok"));
        let output = ran.output.lines().filter(interesting).flat_map(|line| [line, "\n"]).collect();
        Outcome { counts, says: counts.to_string(), output }
    }

    /// What the features of the binary add: nothing that the tests before have run already.
    fn tests_of_features(&self, progress: &Progress) -> Outcome {
        // The tests of the binary alone: with others cargo would build the binary anew, with its features.
        let words = ["test", "--package", "unary-server", "--features", FEATURES, "--bin", "unary", TESTS_OF_FEATURES];
        let ran = progress.run(self.project.cargo(&words), &self.logs);
        let counts = Counts::of_libtest(&ran.output).with_status(ran.succeeded);
        Outcome { counts, says: counts.to_string(), output: ran.output }
    }

    fn fuzz(&self, progress: &Progress) -> Outcome {
        let words = ["run", "--quiet", "--profile", "fuzz", "--package", "unary-fuzz", "--", "--seconds", FUZZ_SECONDS];
        let ran = progress.run(self.project.cargo(&words), &self.logs);
        let counts = Counts::of_fuzz(&ran.output).with_status(ran.succeeded);
        Outcome { counts, says: counts.to_string(), output: ran.output }
    }

    fn skipped(&self) -> Vec<Skip> {
        Skip::read(&std::fs::read_to_string(&self.skips).unwrap_or_default())
    }

    /// Says what was skipped and what failed, then the counts: the last line of all.
    fn finish(mut self) -> Result<(), Failure> {
        println!("in {:.0} s; whole outputs are in {}", self.started.elapsed().as_secs_f64(), self.logs.display());
        let on_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        for skip in self.skipped() {
            let missing = skip.missing_program();
            let inexcusable = on_ci
                && (debian::FOR_TESTS.iter().any(|program| program.name == missing)
                    || tools::FOR_TESTS.iter().any(|tool| tool.name == missing));
            println!("{skip}{}", if inexcusable { " (CI can install it, so this is a failure)" } else { "" });
            if inexcusable {
                self.total.skipped -= 1;
                self.total.failed += 1;
            }
        }
        if !self.failed.is_empty() {
            println!("failed: {}", self.failed.join(", "));
        }
        println!("{}", self.total);
        // The counts have said it; anything more would come after the last line.
        if self.total.failed == 0 { Ok(()) } else { Err(String::new()) }
    }
}
