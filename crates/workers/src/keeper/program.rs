//! Which file this program is: the one to start servers from, and to become at an upgrade.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The path by which this program was started, if that leads to it. A symlink in it is kept, for it is what
/// an upgrade switches; the kernel knows only where it led.
pub(super) fn path() -> std::io::Result<PathBuf> {
    let running = env::current_exe()?;
    let named = env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let candidates: Vec<PathBuf> = if named.components().count() > 1 {
        env::current_dir().into_iter().map(|folder| folder.join(&named)).collect()
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).map(|folder| folder.join(&named)).collect()
    };
    Ok(candidates
        .into_iter()
        .find(|candidate| candidate.is_absolute() && is_same(candidate, &running))
        .unwrap_or(running))
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|about| (about.dev(), about.ino())).ok();
    identity(one).is_some() && identity(one) == identity(other)
}
