//! The file of users, read again when it changes.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::users::Users;

/// How often the file is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The largest file: ten thousand users.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A file of users.
pub(super) struct UsersFile {
    path: PathBuf,
    users: ArcSwap<Users>,
    /// The state in which the file was last looked at.
    seen: Mutex<Option<Stamp>>,
    began: Instant,
    /// When it is to be looked at next, in milliseconds since then.
    next_look_ms: AtomicU64,
}

/// What changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(about: &Metadata) -> Self {
        Self {
            file: (about.dev(), about.ino()),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl UsersFile {
    /// Reads it for the first time. Blocks.
    pub(super) fn open(path: PathBuf) -> Result<Self, String> {
        let (stamp, users) = read(&path).map_err(|cause| told(&path, &cause))?;
        Ok(Self {
            users: ArcSwap::from_pointee(users.map_err(|problem| told(&path, &problem))?),
            path,
            seen: Mutex::new(Some(stamp)),
            began: Instant::now(),
            next_look_ms: AtomicU64::new(millis(LOOK_EVERY)),
        })
    }

    /// Those in it now, as of a second ago.
    pub(super) async fn users(self: &Arc<Self>) -> Arc<Users> {
        let now = self.began.elapsed();
        let next = self.next_look_ms.load(Ordering::Relaxed);
        let is_due = millis(now) >= next && {
            let after = millis(now + LOOK_EVERY);
            self.next_look_ms.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if is_due {
            let file = self.clone();
            // The pool of whatever may wait for a disk. If it is full, the next second will do.
            let _ = unary_service::Pool::shared().run(move || file.look()).await;
        }
        self.users.load_full()
    }

    /// Reads it again if it has changed. What was found wrong is said once for each change.
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = fs::metadata(&self.path).ok().map(|about| Stamp::of(&about));
        if now.is_some() && now == *seen {
            return;
        }
        let problem = match read(&self.path) {
            Ok((stamp, users)) => {
                *seen = Some(stamp);
                users.map(|users| self.users.store(Arc::new(users))).err()
            }
            Err(_) if seen.is_none() => return, // It was said.
            Err(cause) => {
                *seen = None;
                Some(cause.to_string())
            }
        };
        if let Some(problem) = problem {
            tracing::warn!("{}. The users that were in it before stay", told(&self.path, &problem));
        }
    }
}

fn told(path: &std::path::Path, problem: &dyn std::fmt::Display) -> String {
    format!("cannot use {} as a list of users: {problem}", path.display())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The file as it is, and who is in it or why that makes no sense.
fn read(path: &std::path::Path) -> io::Result<(Stamp, Result<Users, String>)> {
    let file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    let users = match String::from_utf8(text) {
        Ok(text) if text.len() as u64 > FILE_BYTES_MAX => Err(format!("it is larger than {FILE_BYTES_MAX} bytes")),
        Ok(text) => text.parse().map_err(|problem: super::BadUsers| problem.to_string()),
        Err(_) => Err("it is no text in UTF-8".to_owned()),
    };
    Ok((stamp, users))
}
