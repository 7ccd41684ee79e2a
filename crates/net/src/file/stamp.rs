//! What tells one state of a file from another.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Stat};

/// What a name leads to. Devices, sockets and pipes are not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// What tells one state of a file from another: two equal stamps are the same file with the same
/// content, as far as a file system's clock can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// File or directory.
    pub kind: NodeKind,
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes.
    pub length: u64,
    /// When its content was last changed, or what somebody set that to.
    pub modified: SystemTime,
    /// When anything about it was last changed. Nobody can set this.
    pub changed: SystemTime,
}

impl Stamp {
    /// Of an open file or directory. Anything else is not found.
    pub(super) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        Self::from_stat(&rustix::fs::fstat(file)?)
    }

    pub(super) fn from_stat(stat: &Stat) -> io::Result<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => NodeKind::File,
            FileType::Directory => NodeKind::Directory,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Self {
            kind,
            device: stat.st_dev,
            inode: stat.st_ino,
            length: stat.st_size.unsigned_abs(),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        })
    }
}

/// Times before 1970 and beyond what can be told are 1970.
fn time(seconds: i64, nanoseconds: u64) -> SystemTime {
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
