//! What the program says to whoever runs it, on standard error. Nothing here fails: a message that
//! cannot be written is no reason to stop serving.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};

use tracing::Level;

/// Shows the messages of all crates, from warnings up, one a line with the time in UTC.
pub(crate) fn start() {
    tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_target(false)
        .with_ansi(has_colour(&io::stderr()))
        .with_writer(|| Unfailing(io::stderr()))
        .init();
}

/// Says one line.
pub(crate) fn say(line: Arguments<'_>) {
    // In one write, so that no other line comes in between.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Whether to show colour there: on a terminal that knows it, and not if `NO_COLOR` is set.
pub(crate) fn has_colour(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Standard error, all of which is always written as far as its callers know: they would complain
/// about a failure on standard error, and panic when that fails too.
struct Unfailing(io::Stderr);

impl Write for Unfailing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
