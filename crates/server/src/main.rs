//! The `unary` binary: reads its command line and does what it says. Each command is a module.
#![forbid(unsafe_code)]

mod access_log;
mod acme;
mod admin;
mod ask;
mod check;
mod cli;
mod config;
mod diagnostics;
mod error_log;
mod explain;
mod failure;
mod fmt;
mod hash_password;
mod log;
#[cfg(feature = "otel")]
mod otel;
mod plan;
mod run;
mod serve;
mod status;
mod trust;

use std::process::ExitCode;

use cli::{Cli, Command};
use unary_workers::keeper::Command as Order;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::read().command {
        Command::Serve(told) => serve::run(&told),
        Command::Run(told) => run::run(&told),
        Command::Check(told) => check::run(&told),
        Command::Fmt(told) => fmt::run(&told),
        Command::Explain(told) => explain::run(&told),
        Command::Reload(keeper) => run::tell(Order::Reload, &keeper),
        Command::Upgrade(keeper) => run::tell(Order::Upgrade, &keeper),
        Command::Stop(keeper) => run::tell(Order::Stop, &keeper),
        Command::Status(told) => status::run(&told),
        Command::HashPassword(told) => hash_password::run(&told),
        Command::Trust(told) => trust::run(&told),
        Command::ServerProcess => run::serve(),
        Command::ProgramKeeper => run::keep_programs(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::say(format_args!("error: {failure}"));
            failure.code()
        }
    }
}
