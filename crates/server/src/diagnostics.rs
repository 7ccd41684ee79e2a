//! What the program says to whoever runs it, on standard error. Nothing here fails or waits: a
//! message that nobody takes is no reason to stop serving.

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What a pipe takes at once if it takes anything: POSIX's least `PIPE_BUF`. Longer messages are cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Says one line.
pub(crate) fn say(line: Arguments<'_>) {
    // In one write, so that no other line comes in between.
    Patient(io::stderr()).take(format!("{line}\n").as_bytes());
}

/// Whether to show colour there: on a terminal that knows it, and not if `NO_COLOR` is set.
pub(crate) fn has_colour(stream: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// A stream that nobody waits for: an event loop that waits for whoever reads a pipe serves nobody.
pub(crate) struct Patient<W>(pub(crate) W);

impl<W: Write + AsFd> Patient<W> {
    /// Writes a message, cut if it is long; whether it was taken.
    pub(crate) fn take(&mut self, message: &[u8]) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&at_once)).is_ok_and(|ready| ready > 0)
            && self.0.write(&message[..message.len().min(MESSAGE_BYTES_MAX)]).is_ok()
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
        let mut taken = 0;
        // Far more than a pipe holds.
        for _ in 0..1000 {
            taken += usize::from(stream.take(&message));
        }
        drop(stream);
        let mut seen = Vec::new();
        reader.read_to_end(&mut seen).unwrap();
        assert!(taken > 0 && seen.len() == taken * MESSAGE_BYTES_MAX, "{taken} taken, {} read", seen.len());
    }

    #[test]
    fn a_closed_pipe_is_nobodys_failure() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(!Patient(writer).take(b"message"));
    }
}
