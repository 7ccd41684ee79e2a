//! Side by side with rivals: `cargo xtask bench`.
//!
//! Servers run on core 0 and the load on core 1, in one run, round by round in turn; what counts is the median. The
//! figure to trust is the server's CPU time for one request: requests per second on loopback mostly shows the load
//! generator. Nothing is reported if a reply was wrong or a connection failed.
//!
//! `works` lists what is measured and the bars; `servers` who takes part; `load`, `idle`, `start`, `sites`, `limit`,
//! `rest` and `apps` measure; `report` writes. Building and installing is `cargo xtask bench`'s part.
//!
//! `soak` measures nothing: `cargo xtask soak` reloads and upgrades a server under load and counts what failed.

#![forbid(unsafe_code)]

mod apps;
mod client;
mod idle;
mod limit;
mod load;
mod machine;
mod median;
mod process;
mod programs;
mod report;
mod rest;
mod servers;
mod sites;
mod soak;
mod start;
mod verdict;
mod works;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use programs::Program;
use report::Report;
use servers::Bench;
use works::{Work, all};

/// What went wrong, in a sentence for the person at the terminal.
type Failure = String;

/// Fewer rounds than this give an impression, not a result.
const ROUNDS_MIN: u32 = 5;

/// What is measured and tried with servers that run.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    /// Where cargo put what is compared.
    #[arg(long, value_name = "FOLDER", default_value = "target", hide = true)]
    target_dir: PathBuf,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measures Unary beside nginx, hyper and a bare epoll loop.
    Bench(Options),
    /// Reloads and upgrades a server under load, and counts what failed.
    Soak(soak::Options),
}

#[derive(Args)]
struct Options {
    /// A first impression: two rounds of a second each. Does not touch RESULTS.md.
    #[arg(long)]
    quick: bool,
    /// Only this work; may be given more than once, and an unknown name lists all. Does not touch RESULTS.md.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How often each contestant's turn comes. With fewer than 5, RESULTS.md is left alone.
    #[arg(long, value_name = "N", default_value_t = ROUNDS_MIN, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long a turn takes.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
}

fn main() -> ExitCode {
    let Cli { target_dir, task } = Cli::parse();
    let outcome = match &task {
        Task::Bench(options) => compare(&target_dir, options),
        Task::Soak(options) => soak::run(&target_dir, options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(target: &Path, options: &Options) -> Result<(), Failure> {
    let works = chosen(&options.only)?;
    let (rounds, seconds) = if options.quick { (2, 1) } else { (options.rounds, options.seconds) };
    machine::stay_on_the_load_core()?;
    machine::allow_many_sockets()?;
    let bench = Bench::prepare(target)?;
    let mut report = Report::default();
    let mut failed = Vec::new();
    for work in works {
        eprintln!("{}: {}", work.name(), work.title());
        let measured = match work {
            Work::Load(work) => load::measure(&bench, work, rounds, seconds, &mut report),
            Work::Idle(work) => idle::measure(&bench, work, &mut report),
            Work::Start(work) => start::measure(&bench, work, &mut report),
            Work::Sites(work) => sites::measure(&bench, work, &mut report),
            Work::Limit(work) => limit::measure(&bench, work, &mut report),
            Work::Rest(work) => rest::measure(&bench, work, &mut report),
            Work::Apps(work) => apps::measure(&bench, work, &mut report),
        };
        if let Err(failure) = measured {
            eprintln!("  {failure}");
            failed.push(format!("\n  {}: {failure}", work.name()));
        }
    }
    println!("{}", report.table());
    if !failed.is_empty() {
        return Err(format!("the table is not whole. These failed:{}", failed.concat()));
    }
    let missing = Program::missing(Program::FOR_BENCH, target);
    if !missing.is_empty() {
        let missing: Vec<String> = missing.iter().map(|path| format!("\n  {}", path.display())).collect();
        return Err(format!("the table is not whole. These were missing:{}", missing.concat()));
    }
    if rounds >= ROUNDS_MIN && options.only.is_empty() {
        report.save(rounds, seconds)?;
    }
    Ok(())
}

/// The works named, or all of them.
fn chosen(names: &[String]) -> Result<Vec<&'static Work>, Failure> {
    if let Some(unknown) = names.iter().find(|name| !all().any(|work| work.name() == name.as_str())) {
        let known: Vec<&str> = all().map(Work::name).collect();
        return Err(format!("there is no work called {unknown}. There are: {}", known.join(", ")));
    }
    Ok(all().filter(|work| names.is_empty() || names.iter().any(|name| name == work.name())).collect())
}
