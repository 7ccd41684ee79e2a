//! `unary-fuzz [--seconds N] [--seed N] [--target NAME] [FILE]...`: runs fuzz targets, each for some
//! seconds or on the files given.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use unary_fuzz::driver::{fuzz, watch};
use unary_fuzz::target::{TARGETS, Target};

const USAGE: &str = "unary-fuzz [--seconds N] [--seed N] [--target NAME] [FILE]...

Runs every fuzz target, or the one named, for N seconds (5), or on the files given.
The same seed makes the same inputs. An input that fails is written to fuzz/findings.";

/// How long a target runs unless told.
const SECONDS: u64 = 5;

struct Options {
    seconds: u64,
    seed: u64,
    targets: Vec<Target>,
    files: Vec<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    watch::start();
    let sound = match options.files.is_empty() {
        true => run_targets(&options),
        false => run_files(&options),
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    let mut options = Options { seconds: SECONDS, seed: now, targets: TARGETS.to_vec(), files: Vec::new() };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("`{text}` is not a number"));
        match word.as_str() {
            "--seconds" => options.seconds = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--target" => {
                let name = value()?;
                options.targets.retain(|target| target.name == name);
                if options.targets.is_empty() {
                    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                    return Err(format!("there is no target `{name}`, but {}", names.join(", ")));
                }
            }
            "--help" | "-h" => return Err("Fuzz targets on stable Rust.".to_owned()),
            _ if word.starts_with('-') => return Err(format!("there is no option {word}")),
            _ => options.files.push(word),
        }
    }
    Ok(options)
}

fn run_targets(options: &Options) -> bool {
    println!("seed {}", options.seed);
    let mut sound = true;
    for target in &options.targets {
        match fuzz(target, Duration::from_secs(options.seconds), options.seed) {
            Ok(runs) => println!("target {}: {runs} runs, ok", target.name),
            Err(finding) => {
                sound = false;
                println!("{}\ninput: {}", finding.panic, finding.path.display());
                println!("target {}: {} runs, failed", target.name, finding.runs);
            }
        }
    }
    sound
}

fn run_files(options: &Options) -> bool {
    let mut sound = true;
    for file in &options.files {
        for target in &options.targets {
            let outcome = match std::fs::read(file) {
                Ok(input) => watch::run(target, &input).map(drop),
                Err(error) => Err(format!("cannot read {file}: {error}")),
            };
            sound &= outcome.is_ok();
            println!("target {}, {file}: {}", target.name, outcome.err().unwrap_or_else(|| "ok".to_owned()));
        }
    }
    sound
}
