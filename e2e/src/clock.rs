//! A clock that jumps: what a process is told of the time of day, by way of libfaketime. The time that timers
//! go by (`CLOCK_MONOTONIC`) is as it is, as with a clock that somebody sets.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use unary_testkit::TempDir;

use crate::{Start, has, run};

/// A clock that tests may set.
#[derive(Debug)]
pub struct Clock {
    library: String,
    folder: TempDir,
}

impl Clock {
    /// One that is right; `None` where there is no libfaketime: then the test `name` is skipped.
    ///
    /// # Panics
    ///
    /// If the one that is there does not say where its library is.
    pub fn new(name: &str) -> Option<Self> {
        if !has(name, "faketime") {
            return None;
        }
        let ran = run(Command::new("faketime").args(["-f", "+0", "env"]));
        let library = ran.stdout.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")).expect("it says");
        let clock = Self { library: library.replace("libfaketime.so", "libfaketimeMT.so"), folder: TempDir::new() };
        clock.set("+0");
        Some(clock)
    }

    /// A process that goes by this clock.
    pub fn start(&self, start: Start) -> Start {
        let start = start.environment("LD_PRELOAD", &*self.library).environment("FAKETIME_NO_CACHE", "1");
        let start = start.environment("DONT_FAKE_MONOTONIC", "1").environment("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let start = start.environment("NO_FAKE_STAT", "1");
        start.environment("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string())
    }

    /// Sets it so much before or after what is right: `+3d`, `-2h`.
    ///
    /// # Panics
    ///
    /// If that cannot be written.
    pub fn set(&self, offset: &str) {
        // In one step: it is read at any moment.
        let new = self.folder.join("new");
        fs::write(&new, offset).and_then(|()| fs::rename(new, self.file())).expect("the folder is ours");
    }

    fn file(&self) -> PathBuf {
        self.folder.join("clock")
    }
}
