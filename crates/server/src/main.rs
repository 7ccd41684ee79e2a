//! The `unary` binary: reads its command line and does what it says. Each command is a module.
#![forbid(unsafe_code)]

mod access_log;
mod cli;
mod diagnostics;
mod failure;
mod serve;

use std::process::ExitCode;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = Cli::read().and_then(|cli| match cli.command {
        Command::Serve(told) => serve::run(&told),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            diagnostics::say(format_args!("error: {failure}"));
            failure.code()
        }
    }
}
