//! Project tasks: `cargo xtask test`, `bench`, `soak` and `tidy`.
//!
//! Each task is a module. This file only chooses between them; what CI runs is `test`.

#![forbid(unsafe_code)]

mod bench;
mod debian;
mod project;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use bench::Task;
use project::Project;

const HELP: &str = "\
cargo xtask test [--no-install]   everything that must pass: format, clippy, tidy, tests, docs, fuzz targets
cargo xtask tidy                  the house rules a compiler does not know
cargo xtask bench [OPTIONS]       side by side with nginx, hyper and a bare epoll loop; --help lists the options
cargo xtask soak [--seconds N]    reloads and upgrades under load, of which nothing may fail
";

/// What went wrong, in a sentence for the person at the terminal.
type Failure = String;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => Project::load().and_then(|project| test::run(&project, test::Install::Missing)),
        ["test", "--no-install"] => Project::load().and_then(|project| test::run(&project, test::Install::Nothing)),
        ["tidy"] => Project::load().and_then(|project| tidy::run(&project)),
        ["bench", options @ ..] => Project::load().and_then(|project| bench::run(&project, Task::Bench, options)),
        ["soak", options @ ..] => Project::load().and_then(|project| bench::run(&project, Task::Soak, options)),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("no such task: {}\n\n{HELP}", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // `test` ends with its counts, which stay the last line; its failure is an empty string,
            // unless it could not begin.
            if !failure.is_empty() {
                eprintln!("error: {failure}");
                if words.first() == Some(&"test") {
                    println!("{}", test::NOT_BEGUN);
                }
            }
            ExitCode::FAILURE
        }
    }
}
