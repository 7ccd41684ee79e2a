//! What goes wrong while a target runs: panics, told by message and place, and runs without end.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::super::target::{Shape, Target};

/// A run that takes longer than this has no end: most take microseconds.
const RUN_MAX: Duration = Duration::from_secs(20);

/// What is shown of a panic: it may quote whole replies.
const SAID_CHARS_MAX: usize = 4000;

/// How often the run under way is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The panics since they were last asked for.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The run under way: its target, its input, and when it began.
static RUNNING: Mutex<Option<(&'static str, Vec<u8>, Instant)>> = Mutex::new(None);

/// From now on panics are noted instead of printed, and a run without end ends the process.
pub fn start() {
    panic::set_hook(Box::new(|info| {
        let said = info.to_string();
        lock(&PANICS).push(said.chars().take(SAID_CHARS_MAX).collect());
    }));
    thread::spawn(|| {
        loop {
            thread::park_timeout(LOOK_EVERY);
            end_if_endless();
        }
    });
}

/// Runs a target on one input. The message of a panic, also of one that was caught on its way.
pub fn run(target: &Target, input: &[u8]) -> Result<Shape, String> {
    *lock(&RUNNING) = Some((target.name, input.to_vec(), Instant::now()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    *lock(&RUNNING) = None;
    let panics = std::mem::take(&mut *lock(&PANICS));
    match (panics.into_iter().next(), outcome) {
        (Some(panic), _) => Err(panic),
        (None, Ok(shape)) => Ok(shape),
        (None, Err(_)) => Err("a panic that says nothing".to_owned()),
    }
}

/// Writes an input that fails where people find it.
pub fn save(target: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    let number = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let path = folder.join(format!("{target}-{number:016x}.http"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input));
    if let Err(error) = written {
        println!("cannot write {}: {error}; the input is {}", path.display(), input.escape_ascii());
    }
    path
}

fn end_if_endless() {
    let running = lock(&RUNNING);
    let Some((target, input, begun)) = &*running else { return };
    if begun.elapsed() > RUN_MAX {
        let path = save(target, input);
        println!("target {target}: a run without end, of {}", path.display());
        process::exit(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
