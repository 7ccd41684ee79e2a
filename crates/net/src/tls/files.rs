//! Opening the files of certificates, by a process that may not do so by itself.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Opens files for whoever may not. It may block.
pub trait OpenFiles: Send + Sync {
    /// Opens a file to be read.
    ///
    /// # Errors
    ///
    /// If it is not there, or nobody may.
    fn open(&self, path: &Path) -> io::Result<File>;
}

/// Whoever opens files; unless told, the process itself.
#[derive(Clone, Default)]
pub(super) struct Opener(Option<Arc<dyn OpenFiles>>);

impl Opener {
    pub(super) fn new(files: impl OpenFiles + 'static) -> Self {
        Self(Some(Arc::new(files)))
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        self.0.as_ref().map_or_else(|| File::open(path), |files| files.open(path))
    }

    /// What is known of a file, also where the process may not enter the folder.
    pub(super) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        match std::fs::metadata(path) {
            Err(denied) if denied.kind() == io::ErrorKind::PermissionDenied => self.open(path)?.metadata(),
            about => about,
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "by somebody else" } else { "by itself" })
    }
}
