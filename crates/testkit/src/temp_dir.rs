//! A folder for one test, gone when the test is over.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder for one test; dropping it deletes it with all that is in it.
///
/// Its methods panic where the system refuses: a test can do nothing about it.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// An empty folder under the system's own for temporary files.
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("unary-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path); // Of an earlier process with the same number, killed.
        fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    /// A folder with these files in it.
    pub fn with<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let folder = Self::new();
        for (path, content) in files {
            folder.write(path, content);
        }
        folder
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Writes a file, in place if it exists, and makes the folders above it.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
        fs::write(path, content).expect("files can be written");
    }

    /// Makes a folder and those above it.
    pub fn folder(&self, path: impl AsRef<Path>) {
        fs::create_dir_all(self.0.join(path)).expect("folders can be made");
    }

    /// Makes `link` lead to `target`, in place of what it led to.
    pub fn link(&self, target: impl AsRef<Path>, link: impl AsRef<Path>) {
        let (link, fresh) = (self.0.join(link), self.0.join(".link"));
        symlink(target, &fresh).expect("symlinks can be made");
        fs::rename(fresh, link).expect("symlinks can be renamed");
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
