//! Makes up inputs on stable Rust, without instrumentation: from seeds, and from inputs that led to
//! something new ([`Shape`]).

pub mod minimise;
pub mod mutate;
pub mod random;
pub mod watch;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::target::{INPUT_BYTES_MAX, Shape, Target};
use minimise::minimise;
use mutate::mutate;
use random::Random;

/// Inputs kept to be changed further. What is new after so many is hardly.
const KEPT_MAX: usize = 4096;

/// An input that a target fails on, as short as it was made.
#[derive(Debug)]
pub struct Finding {
    /// Runs until it was found.
    pub runs: u64,
    /// What the panic said.
    pub panic: String,
    /// Where the input was written.
    pub path: PathBuf,
}

/// Runs `target` on its seeds, then for `time` on what can be made of them. The number of runs.
///
/// # Errors
/// The first input it fails on.
pub fn fuzz(target: &Target, time: Duration, seed: u64) -> Result<u64, Finding> {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut kept = Vec::new();
    let mut shapes = HashSet::new();
    let mut runs = 0;
    for input in target.seeds() {
        runs += 1;
        shapes.insert(checked(target, &input, runs)?);
        kept.push(input);
    }
    if kept.is_empty() {
        kept.push(Vec::new());
    }
    while begun.elapsed() < time {
        let mut input = random.pick(&kept).clone();
        let other = random.below(kept.len());
        mutate(&mut input, &kept[other], INPUT_BYTES_MAX, &mut random);
        runs += 1;
        let is_new = shapes.insert(checked(target, &input, runs)?);
        if is_new && kept.len() < KEPT_MAX {
            kept.push(input);
        }
    }
    Ok(runs)
}

fn checked(target: &Target, input: &[u8], runs: u64) -> Result<Shape, Finding> {
    watch::run(target, input).map_err(|panic| {
        let shortest = minimise(input, |input| watch::run(target, input).is_err());
        let panic = watch::run(target, &shortest).err().unwrap_or(panic);
        Finding { runs, panic, path: watch::save(target.name, &shortest) }
    })
}
