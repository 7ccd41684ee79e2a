//! A folder found by its path, and found anew when the path comes to lead elsewhere.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, makedev, openat, openat2, statx};
use tokio::time::Instant;

use super::look::{ASK, Look, Patience};
use super::storage::Storage;
use super::view::{Directory, View};
use super::{NodeKind, Stamp, pool};

/// How long the root is believed to be where it was: with as much for what a server remembers of
/// the files in it, a switched root is served within a second.
pub const ROOT_CHECK_MS: u64 = 500;

/// A folder found by its path. The path may lead through symlinks, as that of a deployed site often
/// does, and is followed anew every [`ROOT_CHECK_MS`]; when it leads nowhere, the last folder stays.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    directory: RwLock<Arc<Directory>>,
    generation: AtomicU64,
    opened: Instant,
    /// When to look next, in milliseconds after `opened`.
    check_ms: AtomicU64,
    /// Whether the path led nowhere when it was last followed: said once, not twice a second.
    is_lost: AtomicBool,
}

impl Root {
    /// Opens a folder. This waits for the disk: not a call for an event loop.
    ///
    /// # Errors
    ///
    /// Those of the system: `NotFound`, `NotADirectory`, `PermissionDenied` (also if the folder is there
    /// but may not be entered) and others.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = std::path::absolute(path.into())?;
        let directory = open_directory(&path)?;
        Ok(Self {
            path,
            directory: RwLock::new(Arc::new(directory)),
            generation: AtomicU64::new(1),
            opened: Instant::now(),
            check_ms: AtomicU64::new(ROOT_CHECK_MS),
            is_lost: AtomicBool::new(false),
        })
    }

    /// The path it was opened by, made absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counts how often the path has come to lead elsewhere: what was known of another generation
    /// is of another folder.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether the path is due to be followed anew: see [`refresh`](Self::refresh).
    pub fn is_due(&self, now: Instant) -> bool {
        self.since_opened_ms(now) >= self.check_ms.load(Ordering::Relaxed)
    }

    /// Follows the path anew if that is due. Whoever calls while another does it goes on with the
    /// folder known so far.
    pub async fn refresh(&self, now: Instant) {
        let (due_ms, now_ms) = (self.check_ms.load(Ordering::Relaxed), self.since_opened_ms(now));
        if now_ms < due_ms {
            return;
        }
        let next_ms = now_ms + ROOT_CHECK_MS;
        if self.check_ms.compare_exchange(due_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let known = self.directory();
        if known.look == Look::Cached && leads_to(&self.path, &known) == Some(true) {
            return;
        }
        let path = self.path.clone();
        let follow = move || if is_at(&known, &path) { Ok(None) } else { open_directory(&path).map(Some) };
        let followed = pool::run(follow).await;
        self.take(followed, now_ms);
    }

    /// Goes on from what following the path came to.
    fn take(&self, followed: io::Result<Option<Directory>>, now_ms: u64) {
        match followed {
            Ok(directory) => {
                self.is_lost.store(false, Ordering::Relaxed);
                if let Some(directory) = directory {
                    self.replace(directory);
                }
            }
            Err(cause) if is_gone(&cause) => {
                if !self.is_lost.swap(true, Ordering::Relaxed) {
                    let path = self.path.display();
                    tracing::warn!(%path, %cause, "the root is gone: serving the last folder that was there");
                }
            }
            // The pool was full: nobody has looked yet, so the next request does.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => self.check_ms.store(now_ms, Ordering::Relaxed),
            Err(cause) => tracing::debug!(path = %self.path.display(), %cause, "cannot follow the root now"),
        }
    }

    /// Runs `work` on the folder: at once if all it needs is in memory, otherwise on the pool. So
    /// it may run twice, the first time in part.
    ///
    /// # Errors
    ///
    /// Those of `work`, and `ResourceBusy` if the pool is overloaded.
    pub async fn look<T, F>(&self, work: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Fn(&View) -> io::Result<T> + Send + 'static,
    {
        let directory = self.directory();
        if directory.look == Look::Cached && directory.storage != Storage::Remote {
            match work(&View { directory: directory.clone(), patience: Patience::None }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        pool::run(move || work(&View { directory, patience: Patience::Disk })).await
    }

    /// The folder as it is now, for whoever may wait for the disk.
    pub fn view(&self) -> View {
        View { directory: self.directory(), patience: Patience::Disk }
    }

    fn directory(&self) -> Arc<Directory> {
        self.directory.read().expect("no panic while the lock is held").clone()
    }

    fn replace(&self, directory: Directory) {
        *self.directory.write().expect("no panic while the lock is held") = Arc::new(directory);
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn since_opened_ms(&self, now: Instant) -> u64 {
        let since: Duration = now.saturating_duration_since(self.opened);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// Whether the path leads to no folder that may be entered, rather than that this is not known.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
}

fn open_directory(path: &Path) -> io::Result<Directory> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd: OwnedFd = openat(CWD, path, flags, Mode::empty())?;
    // To be opened like this it need not be ours to enter; to look up a name in it, it must be.
    openat(&fd, ".", ASK, Mode::empty())?;
    let stamp = Stamp::of(fd.as_fd())?;
    let (storage, look) = (Storage::of(fd.as_fd()), Look::of_this_kernel(fd.as_fd()));
    Ok(Directory { fd, stamp, storage, look })
}

/// Whether the path still leads to this folder, as far as memory can tell. Its number cannot have
/// been given to another one: it is open here.
fn leads_to(path: &Path, known: &Directory) -> Option<bool> {
    let fd = openat2(CWD, path, ASK, Mode::empty(), ResolveFlags::CACHED).ok()?;
    // A network file system answers from memory too, when asked like this.
    let about = statx(&fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::INO).ok()?;
    let device = makedev(about.stx_dev_major, about.stx_dev_minor);
    Some(about.stx_ino == known.stamp.inode && device == known.stamp.device)
}

/// The same, waiting for the disk.
fn is_at(known: &Directory, path: &Path) -> bool {
    let Ok(stat) = rustix::fs::stat(path) else { return false };
    let found = Stamp::from_stat(&stat);
    found.is_ok_and(|found| {
        found.kind == NodeKind::Directory && found.inode == known.stamp.inode && found.device == known.stamp.device
    })
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    /// What is left of a root when following it has failed like this: whether it counts as lost, and
    /// whether it is looked for again at once.
    #[track_caller]
    fn check(kind: io::ErrorKind, is_lost: bool, is_due: bool) {
        let folder = TempDir::new();
        let root = Root::open(folder.path()).expect("it is there");
        let now = root.opened + Duration::from_millis(ROOT_CHECK_MS);
        assert!(root.is_due(now), "it is time");
        root.check_ms.store(2 * ROOT_CHECK_MS, Ordering::Relaxed);
        root.take(Err(kind.into()), ROOT_CHECK_MS);
        assert_eq!((root.is_lost.load(Ordering::Relaxed), root.is_due(now)), (is_lost, is_due), "{kind}");
        assert_eq!(root.generation(), 1, "the last folder stays");
        root.take(Ok(None), ROOT_CHECK_MS);
        assert!(!root.is_lost.load(Ordering::Relaxed), "{kind}: found again");
    }

    #[test]
    fn a_root_is_gone_only_when_the_system_says_so() {
        check(io::ErrorKind::NotFound, true, false);
        check(io::ErrorKind::NotADirectory, true, false);
        check(io::ErrorKind::PermissionDenied, true, false);
        check(io::ErrorKind::Other, false, false);
    }

    #[test]
    fn a_root_nobody_had_time_to_look_for_is_looked_for_again_at_once() {
        check(io::ErrorKind::ResourceBusy, false, true);
    }
}
