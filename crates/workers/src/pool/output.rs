//! What a worker writes to its standard output and error: lines of the log, and its last words.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The longest line. A longer one becomes several.
const LINE_BYTES_MAX: usize = 1024;

/// How many of the last lines are kept, for whoever asks why a worker ended.
const LAST_MAX: usize = 8;

/// Which of its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// What it prints: its own log of requests, often.
    Output,
    Error,
}

/// A worker's output. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Output(Arc<Mutex<VecDeque<String>>>);

impl Output {
    /// Reads the pipe to its end.
    pub(super) async fn read(self, pipe: OwnedFd, stream: Stream, program: String) -> io::Result<()> {
        let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
        let mut held = Vec::with_capacity(LINE_BYTES_MAX);
        loop {
            let read = pipe.read_buf(&mut held).await?;
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                self.take(&held[..end], stream, &program);
                held.drain(..=end);
            }
            if read == 0 || held.len() >= LINE_BYTES_MAX {
                self.take(&held, stream, &program);
                held.clear();
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn take(&self, line: &[u8], stream: Stream, program: &str) {
        let line = String::from_utf8_lossy(line.trim_ascii_end());
        if line.is_empty() {
            return;
        }
        match stream {
            Stream::Output => tracing::info!(program, said = &*line, "a program said"),
            Stream::Error => tracing::warn!(program, said = &*line, "a program said"),
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_MAX {
            last.pop_front();
        }
        last.push_back(line.into_owned());
    }

    /// How it ended, with the last that it wrote.
    pub(super) fn last_words(&self, how: &str) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() {
            return format!("the worker ended: {how}");
        }
        let lines: Vec<_> = last.iter().map(String::as_str).collect();
        format!("the worker ended: {how}. It last wrote: {}", lines.join(" | "))
    }
}
