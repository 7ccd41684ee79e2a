//! Files as parts of replies: sent without a copy where they are in memory, read by a bounded
//! pool where they are not, so that a cold disk delays nobody else.
//!
//! A [`Root`] finds files beneath a folder, an [`OpenFile`] is one that was found, and a
//! [`FileRange`] is the part of it that a reply sends. What a file means to HTTP is not known here.

mod list;
mod look;
mod pool;
mod resident;
mod root;
mod stamp;
mod storage;
mod view;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

pub use list::{ENTRIES_MAX, Entries, Entry};
pub use root::{ROOT_CHECK_MS, Root};
pub use stamp::{NodeKind, Stamp};
pub use view::{Node, View};

use resident::Memory;
use storage::Storage;

/// The most that is read of a cold file at once: large enough for a disk to stream, small enough
/// that a thousand slow readers hold little.
pub const READ_BYTES_MAX: usize = 256 * 1024;

/// An open file that many replies may send parts of.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    storage: Storage,
    /// As it was when the file was opened.
    length: u64,
    memory: Memory,
}

impl OpenFile {
    /// Takes an open, readable, regular file.
    ///
    /// This asks the file system what it is, and one behind a network or another program takes its
    /// time to say: not a call for an event loop. [`Root`] opens files without that question.
    pub fn new(file: File) -> Self {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let storage = Storage::of(file.as_fd());
        Self::found(file, storage, length)
    }

    fn found(file: File, storage: Storage, length: u64) -> Self {
        Self { file, storage, length, memory: Memory::default() }
    }

    /// Whether these bytes are in memory, so that sending them does not wait for a disk.
    ///
    /// Never blocks. Where that cannot be found out, the answer is no, as it is for more than 16 MiB
    /// at once. A yes is remembered for a second, so what is in memory may have left it since:
    /// rarely, as it was just used.
    pub fn is_resident(&self, offset: u64, length: usize) -> bool {
        self.memory.holds(self.as_fd(), self.storage, self.length, offset, length as u64)
    }

    /// Reads up to `length_max` bytes (at most [`READ_BYTES_MAX`]) at `offset` without blocking
    /// the event loop. Empty at the end of the file.
    ///
    /// # Errors
    ///
    /// Those of reading, and [`ResourceBusy`](io::ErrorKind::ResourceBusy) if the pool that reads
    /// cold files stays overloaded.
    pub async fn read_at(self: Arc<Self>, offset: u64, length_max: usize) -> io::Result<Bytes> {
        let length_max = length_max.min(READ_BYTES_MAX);
        match self.read_now(offset, length_max) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let read = move || self.read_waiting(offset, length_max);
        pool::run_patiently(read).await
    }

    /// Reads what is in memory; `WouldBlock` if nothing of it is.
    fn read_now(&self, offset: u64, length_max: usize) -> io::Result<Bytes> {
        if matches!(self.storage, Storage::Remote) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match resident::read_now(self.as_fd(), offset, length_max) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            read => return Ok(read?.into()),
        }
        if self.is_resident(offset, length_max) {
            return self.read_waiting(offset, length_max);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn read_waiting(&self, offset: u64, length_max: usize) -> io::Result<Bytes> {
        let mut bytes = vec![0; length_max];
        let length = self.file.read_at(&mut bytes, offset)?;
        bytes.truncate(length);
        Ok(bytes.into())
    }

    /// The file as it is now, asked of its descriptor.
    ///
    /// # Errors
    ///
    /// Those of `fstat`, and `WouldBlock` where the answer might take its time.
    pub fn stamp_now(&self) -> io::Result<Stamp> {
        match self.storage {
            Storage::Remote => Err(io::ErrorKind::WouldBlock.into()),
            _ => Stamp::of(self.as_fd()),
        }
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

#[cfg(test)]
mod tests;
