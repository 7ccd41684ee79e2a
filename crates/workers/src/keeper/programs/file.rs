//! Which file is run: one that is named, one that is found in `PATH`, or one beneath a folder and nowhere else.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

use super::in_words;
use crate::spawner::message::Refused;

type Refusal = (Refused, String);

/// The file of a command: as it is named, or where `PATH` has it first.
pub(super) fn of_command(words: &[String], path: &[u8]) -> Result<PathBuf, Refusal> {
    let Some(name) = words.first() else { return Err((Refused::Unknown, "its command is empty".to_owned())) };
    if name.contains('/') {
        return std::path::absolute(name).map_err(|error| (Refused::Failed, in_words(&error)));
    }
    let folders = path.split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
    let candidates = folders.map(|folder| Path::new(OsStr::from_bytes(folder)).join(name));
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        let path = path.escape_ascii();
        (Refused::NotFound, format!("`{name}` is not found in PATH, which is {path}"))
    })
}

/// The file of that path beneath the folder. Links may lead from one place beneath it to another, and nowhere else; the
/// folder itself may be one.
///
/// It is executed by its path, not by what was opened: a script's interpreter opens it by a name, and finds what is
/// beside it by that. Whoever may put another in its place meanwhile may have anything run there anyway.
pub(super) fn beneath(folder: &Path, file: &[u8]) -> Result<PathBuf, Refusal> {
    let file = OsStr::from_bytes(file);
    let folder = &std::path::absolute(folder).map_err(|error| (Refused::Failed, in_words(&error)))?;
    let path = folder.join(file);
    let shown = || format!("{} beneath {}", file.display(), folder.display());
    let refused = |error: Errno| {
        let refused = match error {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Refused::NotFound,
            Errno::ACCESS | Errno::LOOP | Errno::XDEV => Refused::Forbidden,
            _ => Refused::Failed,
        };
        let said = match error {
            Errno::XDEV => "it leads out of the folder".to_owned(),
            other => in_words(&io::Error::from(other)),
        };
        (refused, format!("{}: {said}", shown()))
    };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat(CWD, folder, flags | OFlags::DIRECTORY, Mode::empty()).map_err(refused)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let opened = openat2(opened, file, flags, Mode::empty(), resolve).map_err(refused)?;
    let about = fstat(opened).map_err(refused)?;
    if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
        return Err((Refused::NotFound, format!("{}: it is no file", shown())));
    }
    if about.st_mode & 0o111 == 0 {
        return Err((Refused::Forbidden, format!("{}: nobody may execute it. Allow it: chmod +x", shown())));
    }
    Ok(path)
}
