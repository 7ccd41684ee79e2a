//! Saying that a test cannot run here: never silently.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that the test `name` cannot run for want of `missing`, whose first word is the program, if
/// it is one. The line goes to the file that `UNARY_SKIPS` names, where the test command reads it.
pub fn skip(name: &str, missing: &str) {
    let line = format!("skipped: {name}: {missing}\n");
    match std::env::var_os("UNARY_SKIPS") {
        None => eprint!("{line}"),
        Some(path) => {
            let file = OpenOptions::new().append(true).create(true).open(&path);
            // In one write: tests run beside each other.
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        }
    }
}
