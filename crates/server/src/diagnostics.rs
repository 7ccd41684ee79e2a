//! What the program says to whoever runs it, on standard error. Nothing here fails or waits: a
//! message that nobody takes is no reason to stop serving.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::Level;

/// What a pipe takes at once if it takes anything: POSIX's least `PIPE_BUF`. Longer messages are cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Shows the messages of all crates, from warnings up, one a line with the time in UTC.
pub(crate) fn start() {
    tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .with_target(false)
        .with_ansi(has_colour(&io::stderr()))
        .with_writer(|| Patient(io::stderr()))
        .init();
}

/// Says one line.
pub(crate) fn say(line: Arguments<'_>) {
    // In one write, so that no other line comes in between.
    let _ = Patient(io::stderr()).write(format!("{line}\n").as_bytes());
}

/// Whether to show colour there: on a terminal that knows it, and not if `NO_COLOR` is set.
pub(crate) fn has_colour(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A stream on which all messages are written, as far as their writers know. They would complain of a
/// failure on standard error, and panic when that fails too; and an event loop that waits for whoever
/// reads a pipe serves nobody.
struct Patient<W>(W);

impl<W: Write + AsFd> Write for Patient<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&at_once)).is_ok_and(|ready| ready > 0) {
            let _ = self.0.write(&message[..message.len().min(MESSAGE_BYTES_MAX)]);
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_pipe_that_nobody_reads_holds_nobody_up() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut stream = Patient(writer);
        let message = [b'm'; MESSAGE_BYTES_MAX + 1];
        // Far more than a pipe holds.
        for _ in 0..1000 {
            stream.write_all(&message).unwrap();
        }
        drop(stream);
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).unwrap();
        assert!(!seen.is_empty() && seen.len() % MESSAGE_BYTES_MAX == 0, "{}", seen.len());
    }

    #[test]
    fn a_closed_pipe_is_nobodys_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Patient(writer).write_all(b"message").unwrap();
    }
}
