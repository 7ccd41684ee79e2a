//! What a worker writes beside its reply: for the log, line by line, with the request's number.

use bytes::Bytes;
use unary_service::context::RequestId;

/// The longest line that is logged whole; what is longer goes into several.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// How much is logged of one request. A worker that says more is read on, since it would wait otherwise, and how much
/// more it said is logged in the end.
const LOGGED_BYTES_MAX: usize = 64 * 1024;

/// Logs what a worker says of one request.
#[derive(Debug)]
pub(crate) struct Log {
    id: RequestId,
    /// The line that is not whole yet.
    line: Vec<u8>,
    logged: usize,
    left_out: u64,
}

impl Log {
    pub(crate) fn of(id: RequestId) -> Self {
        Self { id, line: Vec::new(), logged: 0, left_out: 0 }
    }

    /// Takes what came from this worker.
    pub(crate) fn add(&mut self, content: &Bytes, worker: &str) {
        for piece in content.split_inclusive(|&byte| byte == b'\n') {
            let room = LOGGED_BYTES_MAX.saturating_sub(self.logged);
            let taken = piece.len().min(room);
            self.logged += taken;
            self.left_out += (piece.len() - taken) as u64;
            for part in piece[..taken].chunks(LINE_BYTES_MAX) {
                if self.line.len() + part.len() > LINE_BYTES_MAX {
                    self.flush(worker);
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") || taken < piece.len() {
                self.flush(worker);
            }
        }
    }

    /// Logs what there is left to log, when the request is over.
    pub(crate) fn end(&mut self, worker: &str) {
        self.flush(worker);
        if self.left_out > 0 {
            let (id, bytes) = (self.id, std::mem::take(&mut self.left_out));
            tracing::warn!(%id, worker, bytes, "a program said more than is logged of one request");
        }
    }

    fn flush(&mut self, worker: &str) {
        let text = String::from_utf8_lossy(&self.line);
        let said = text.trim_end();
        if !said.is_empty() {
            let said = said.escape_debug().to_string();
            tracing::warn!(id = %self.id, worker, said, "a program said");
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held and left out, having been told this in pieces of so many bytes.
    #[track_caller]
    fn check(said: &str, piece: usize, expected: (&str, u64)) {
        let mut log = Log::of(RequestId::default());
        said.as_bytes().chunks(piece).for_each(|piece| log.add(&Bytes::copy_from_slice(piece), "it"));
        assert!(log.line.len() <= LINE_BYTES_MAX);
        assert_eq!((std::str::from_utf8(&log.line), log.left_out), (Ok(expected.0), expected.1));
    }

    #[test]
    fn holds_a_line_until_it_is_whole() {
        check("one\ntwo", 1, ("two", 0));
        check("one\n", 4, ("", 0));
        check(&"x".repeat(LINE_BYTES_MAX + 1), 1, ("x", 0));
        check(&"x".repeat(LINE_BYTES_MAX + 2), LINE_BYTES_MAX + 2, ("xx", 0));
    }

    #[test]
    fn leaves_out_what_is_too_much() {
        check(&"x\n".repeat(LOGGED_BYTES_MAX), 1000, ("", LOGGED_BYTES_MAX as u64));
    }
}
