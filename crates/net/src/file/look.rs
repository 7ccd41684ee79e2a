//! Opening what lies beneath a directory, and nothing else, whatever the path says.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

/// How this kernel opens beneath a directory, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// `openat2`, which can also stay within what is in memory (Linux 5.12).
    Cached,
    /// `openat2` (Linux 5.6).
    Beneath,
    /// Component by component, refusing symlinks: a kernel without `openat2`, or a sandbox that
    /// forbids it.
    Walk,
}

/// What a look may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Nothing: where the answer is not in memory, `WouldBlock`.
    None,
    /// The disk.
    Disk,
}

/// A path that is changed while it is resolved is tried again so often.
const RACES_MAX: usize = 8;

/// Opens for reading. Neither a pipe without a writer nor a terminal can hold this up.
pub(super) const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);
/// Opens for asking about it, without the right to read it.
pub(super) const ASK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl Look {
    /// The best that works here.
    pub(super) fn of_this_kernel(directory: BorrowedFd<'_>) -> Self {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match openat2(directory, ".", ASK, Mode::empty(), beneath | ResolveFlags::CACHED) {
            Ok(_) | Err(Errno::AGAIN) => Self::Cached,
            Err(_) => match openat2(directory, ".", ASK, Mode::empty(), beneath) {
                Ok(_) => Self::Beneath,
                Err(_) => Self::Walk,
            },
        }
    }

    /// Opens `path` beneath `directory`. What leaves it, by `..` or by a symlink, is not found.
    pub(super) fn open(
        self,
        directory: BorrowedFd<'_>,
        path: &Path,
        flags: OFlags,
        patience: Patience,
    ) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = match (self, patience) {
            (Self::Cached, Patience::None) => {
                // Another mount may be of a kind that makes even a cached name wait.
                let resolve = beneath | ResolveFlags::CACHED | ResolveFlags::NO_XDEV;
                match openat2(directory, path, flags, Mode::empty(), resolve) {
                    Err(Errno::XDEV) => Err(Errno::AGAIN),
                    opened => opened,
                }
            }
            (_, Patience::None) => Err(Errno::AGAIN),
            (Self::Cached | Self::Beneath, Patience::Disk) => open_beneath(directory, path, flags, beneath),
            (Self::Walk, Patience::Disk) => walk(directory, path, flags),
        };
        opened.map_err(error_of)
    }
}

fn open_beneath(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..RACES_MAX {
        opened = openat2(directory, path, flags, Mode::empty(), resolve);
        if !matches!(opened, Err(Errno::AGAIN)) {
            return opened;
        }
    }
    opened
}

/// Opens directory after directory. No component is a symlink or `..`, so nothing leaves the first.
fn walk(directory: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    use std::path::Component;
    let mut components = path.components().peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(component) = components.next() {
        let name = match component {
            Component::Normal(name) => Path::new(name),
            Component::CurDir => Path::new("."),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        };
        let here = at.as_ref().map_or(directory, AsFd::as_fd);
        if components.peek().is_none() {
            return open_last(here, name, flags);
        }
        at = Some(openat(here, name, ASK | OFlags::NOFOLLOW | OFlags::DIRECTORY, Mode::empty())?);
    }
    Err(Errno::NOENT)
}

fn open_last(directory: BorrowedFd<'_>, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    if flags.contains(OFlags::PATH) {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Err(Errno::LOOP); // With O_PATH the link itself would be opened.
        }
    }
    openat(directory, name, flags | OFlags::NOFOLLOW, Mode::empty())
}

/// One kind for each thing that a caller can do about it.
fn error_of(error: Errno) -> io::Error {
    match error {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::LOOP
        | Errno::XDEV
        | Errno::NAMETOOLONG
        | Errno::INVAL
        | Errno::NXIO
        | Errno::NODEV => io::Error::from(io::ErrorKind::NotFound),
        other => other.into(),
    }
}
