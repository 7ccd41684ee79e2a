//! A folder as it is at one moment, looked into with or without waiting for the disk.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::list::{self, Entries};
use super::look::{ASK, Look, Patience, READ};
use super::storage::Storage;
use super::{NodeKind, OpenFile, READ_BYTES_MAX, Stamp};

/// An open directory that is the root.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) fd: OwnedFd,
    pub(super) stamp: Stamp,
    pub(super) storage: Storage,
    pub(super) look: Look,
}

/// A folder as it is at one moment. What is opened through it lies beneath it: a path with `..`
/// and symlinks that lead out of it find nothing, as do pipes, sockets and devices.
///
/// Its methods may wait for a disk, except within the first try of [`Root::look`](super::Root::look).
#[derive(Clone, Debug)]
pub struct View {
    pub(super) directory: Arc<Directory>,
    pub(super) patience: Patience,
}

/// What a name leads to, open.
#[derive(Debug)]
pub enum Node {
    /// A regular file, as it was when it was opened.
    File(OpenFile, Stamp),
    /// A directory.
    Directory(Stamp),
}

impl View {
    /// Opens a file for reading, or finds a directory. The path is relative; empty is the root.
    ///
    /// # Errors
    ///
    /// `NotFound`, `PermissionDenied`, `WouldBlock` where that means waiting and this must not, and
    /// what else the system may say, `EMFILE` and `ENFILE` among it.
    pub fn open(&self, path: &Path) -> io::Result<Node> {
        let fd = self.directory.look.open(self.directory.fd.as_fd(), path, READ, self.patience)?;
        let stamp = Stamp::of(fd.as_fd())?;
        if stamp.kind == NodeKind::Directory {
            return Ok(Node::Directory(stamp));
        }
        // A mount beneath the root may be of another kind; without patience it was refused.
        let same = stamp.device == self.directory.stamp.device || self.patience == Patience::None;
        let storage = if same { self.directory.storage } else { Storage::of(fd.as_fd()) };
        Ok(Node::File(OpenFile::found(File::from(fd), storage, stamp.length), stamp))
    }

    /// What a name leads to, whether or not it may be read. Errors as [`open`](Self::open).
    pub fn stamp(&self, path: &Path) -> io::Result<Stamp> {
        let fd = self.directory.look.open(self.directory.fd.as_fd(), path, ASK, self.patience)?;
        Stamp::of(fd.as_fd())
    }

    /// An open file as it is now.
    pub fn stamp_of(&self, file: &OpenFile) -> io::Result<Stamp> {
        Stamp::of(file.as_fd())
    }

    /// Reads a file from its beginning to its end, or to `length_max` bytes (at most
    /// [`READ_BYTES_MAX`]). `WouldBlock` where that means waiting and this must not.
    pub fn read(&self, file: &OpenFile, length_max: usize) -> io::Result<Bytes> {
        let length_max = length_max.min(READ_BYTES_MAX);
        if self.patience == Patience::None && !file.is_resident(0, length_max) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        file.read_waiting(0, length_max)
    }

    /// What is in a directory: at most [`ENTRIES_MAX`](super::ENTRIES_MAX) entries whose names
    /// `keep` accepts, in no order. Symlinks that leave the root are left out.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); always `WouldBlock` where this must not wait.
    pub fn list(&self, path: &Path, keep: impl Fn(&[u8]) -> bool) -> io::Result<Entries> {
        if self.patience == Patience::None {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let directory = self.directory.look.open(self.directory.fd.as_fd(), path, flags, self.patience)?;
        list::read(self, path, directory, keep)
    }
}
