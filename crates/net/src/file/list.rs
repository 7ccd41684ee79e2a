//! What is in a directory.

use std::ffi::{CStr, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, statat};

use super::{Stamp, View};

/// The most entries that are told of one directory: a page of more helps nobody, and this many
/// take about 10 ms and 2 MB.
pub const ENTRIES_MAX: usize = 10_000;

/// What is in a directory, or the beginning of it.
#[derive(Debug)]
pub struct Entries {
    /// In no order.
    pub entries: Vec<Entry>,
    /// Whether there are more than [`ENTRIES_MAX`].
    pub truncated: bool,
}

/// A file or a directory in a directory.
#[derive(Debug)]
pub struct Entry {
    /// Any bytes but `/` and NUL.
    pub name: OsString,
    /// What it is; of a symlink, what that leads to.
    pub stamp: Stamp,
}

pub(super) fn read(view: &View, path: &Path, directory: OwnedFd, keep: impl Fn(&[u8]) -> bool) -> io::Result<Entries> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") || !keep(name.to_bytes()) {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            return Ok(Entries { entries, truncated: true });
        }
        // What is gone again, leads out of the root or is no file is simply not there.
        if let Ok(stamp) = stamp_of(view, path, &directory, name) {
            entries.push(Entry { name: OsStr::from_bytes(name.to_bytes()).to_owned(), stamp });
        }
    }
    Ok(Entries { entries, truncated: false })
}

fn stamp_of(view: &View, path: &Path, directory: &OwnedFd, name: &CStr) -> io::Result<Stamp> {
    let stat = statat(directory.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        return view.stamp(&path.join(OsStr::from_bytes(name.to_bytes())));
    }
    Stamp::from_stat(&stat)
}
