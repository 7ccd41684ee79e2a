//! Writing files that are whole at any moment, whatever happens to the process or to the machine: beside,
//! synced, renamed, and the folder synced.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// How files end that are being written.
const UNFINISHED: &str = ".new";

/// What writing asks of a disk, step by step: tests end it between any two, and amid any.
pub(super) trait Disk: Send + Sync {
    /// Makes a file that is not there, for nobody else to read, with these bytes.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Waits until what is in a file, or which files are in a folder, outlives a power cut.
    fn sync(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path, there: There) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    IsReplaced,
    Stays,
}

/// The disk there is.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path, there: There) -> io::Result<()> {
        let flags = if there == There::Stays { RenameFlags::NOREPLACE } else { RenameFlags::empty() };
        Ok(renameat_with(CWD, from, CWD, to, flags)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// Writes a file. One process at a time may; what another, killed amid this, has left is [`sweep`]ed.
pub(super) fn write(disk: &dyn Disk, path: &Path, bytes: &[u8], there: There) -> io::Result<()> {
    let (Some(folder), Some(beside)) = (path.parent(), beside(path)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let _ = disk.remove(&beside); // Of a process that had this number.
    let written = disk.create(&beside, bytes).and_then(|()| disk.sync(&beside));
    let written = written.and_then(|()| disk.rename(&beside, path, there));
    match written {
        Ok(()) => disk.sync(folder),
        Err(error) => {
            let _ = disk.remove(&beside); // On a full disk it would be in the way of what is to come.
            Err(error)
        }
    }
}

/// Removes what was left unfinished in a folder, by whoever may write there.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where a file is written before it takes its place. Two processes never write to the same one.
fn beside(path: &Path) -> Option<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}{UNFINISHED}", std::process::id()));
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests;
