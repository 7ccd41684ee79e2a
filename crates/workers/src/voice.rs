//! What a program says on its standard error, in the log: line by line, with the request it was said for, and no more
//! of it than a log can bear.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use unary_service::Error;
use unary_service::context::RequestId;

/// Lines of one program that are logged in [`EVERY`]. The others are counted.
const LINES_MAX: u32 = 100;
const EVERY: Duration = Duration::from_secs(1);

/// What is logged of one line. The log itself keeps no more of it.
pub(crate) const LINE_BYTES_MAX: usize = 1024;

/// What a program, all its runs together, may say in the log.
pub(crate) struct Voice {
    program: Box<str>,
    said: Mutex<Said>,
}

struct Said {
    since: Instant,
    lines: u32,
    left_out: u64,
}

impl Voice {
    pub(crate) fn of(program: &str) -> Self {
        Self { program: program.into(), said: Mutex::new(Said { since: Instant::now(), lines: 0, left_out: 0 }) }
    }

    /// A line that it wrote.
    pub(crate) fn line(&self, id: RequestId, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]);
        let text = text.escape_debug().to_string();
        self.say(|program| tracing::warn!(%id, program, said = text, "a program wrote to its standard error"));
    }

    /// How it ended, if that is worth a line.
    pub(crate) fn ended(&self, id: RequestId, how: &str) {
        self.say(|program| tracing::warn!(%id, program, how, "a program failed"));
    }

    /// A file that may not be run.
    pub(crate) fn refused(&self, file: &Path, error: &Error) {
        self.say(|program| tracing::warn!(program, file = %file.display(), %error, "a program may not be run"));
    }

    fn say(&self, say: impl FnOnce(&str)) {
        let (may_speak, left_out) = self.said.lock().expect("no panic while the lock is held").count(Instant::now());
        if left_out > 0 {
            tracing::warn!(program = &*self.program, lines = left_out, "lines of a program were left out");
        }
        if may_speak {
            say(&self.program);
        }
    }
}

impl Said {
    /// Whether there is room for one more line, and how many there was none for before.
    fn count(&mut self, now: Instant) -> (bool, u64) {
        let mut left_out = 0;
        if now.duration_since(self.since) >= EVERY {
            left_out = std::mem::take(&mut self.left_out);
            (self.since, self.lines) = (now, 0);
        }
        let may_speak = self.lines < LINES_MAX;
        if may_speak {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        (may_speak, left_out)
    }
}

/// Cuts what comes into lines, whatever the pieces it comes in. Longer ones are cut short.
#[derive(Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    pub(crate) fn add(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n");
            let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
            let part = text.unwrap_or(piece);
            self.begun.extend_from_slice(&part[..part.len().min(room)]);
            if text.is_some() {
                self.end(&mut each);
            }
        }
    }

    /// The last one may lack its end.
    pub(crate) fn end(&mut self, mut each: impl FnMut(&[u8])) {
        let line = self.begun.trim_ascii_end();
        if !line.is_empty() {
            each(line);
        }
        self.begun.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, expected: &[&str]) {
        for size in 1..=bytes.len().clamp(1, 9) {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            let mut keep = |line: &[u8]| seen.push(String::from_utf8_lossy(line).into_owned());
            bytes.as_bytes().chunks(size).for_each(|piece| lines.add(piece, &mut keep));
            lines.end(&mut keep);
            assert_eq!(seen, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn lines_are_lines_however_they_come() {
        check("", &[]);
        check("one\ntwo\r\n\nthree", &["one", "two", "three"]);
        let long = "x".repeat(LINE_BYTES_MAX + 5);
        check(&format!("{long}\nshort\n"), &[&long[..LINE_BYTES_MAX], "short"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_too_much_is_heard_in_part() {
        let mut said = Said { since: Instant::now(), lines: 0, left_out: 0 };
        let heard = (0..250).filter(|_| said.count(Instant::now()).0).count();
        assert_eq!(heard, 100);
        tokio::time::advance(EVERY).await;
        assert_eq!(said.count(Instant::now()), (true, 150));
        assert_eq!(said.count(Instant::now()), (true, 0));
    }
}
