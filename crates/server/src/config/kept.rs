//! A config as one process has read it, for another. The keeper reads the files, and the servers that it
//! starts take what it read: both judge the same text, whatever the files say by then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::load::{Disk, Files};
use super::{Config, Refused};

/// All that reading a config asked of the disk, and the answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    path: PathBuf,
    texts: BTreeMap<PathBuf, String>,
    names: BTreeMap<PathBuf, Vec<String>>,
    identities: BTreeMap<PathBuf, PathBuf>,
}

impl Kept {
    /// Reads the config in this file and in those that it imports, and keeps what it read.
    ///
    /// # Errors
    ///
    /// Those of [`Config::read`].
    pub(crate) fn read(path: &Path) -> Result<(Config, Self), Refused> {
        let recording = Recording(RefCell::new(Self { path: path.to_owned(), ..Self::default() }));
        let config = Config::read_from(path, &recording, &environment)?;
        Ok((config, recording.0.into_inner()))
    }

    /// A config that is in no file. Relative paths in it start where this process is.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(crate) fn written(text: String) -> Result<(Config, Self), Refused> {
        let path = PathBuf::from("what was told");
        let kept = Self { path: path.clone(), texts: BTreeMap::from([(path, text)]), ..Self::default() };
        Ok((kept.config()?, kept))
    }

    /// The config, once more.
    ///
    /// # Errors
    ///
    /// If this process is of another version than the one that read it, or has another environment.
    pub(crate) fn config(&self) -> Result<Config, Refused> {
        Config::read_from(&self.path, self, &environment)
    }

    /// As something to hand to another process.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("paths and texts of a config are UTF-8")
    }

    /// What another process handed to this one.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|cause| format!("the config cannot be taken over: {cause}"))
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The disk, and what was asked of it.
struct Recording(RefCell<Kept>);

impl Files for Recording {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = Disk.read(path)?;
        self.0.borrow_mut().texts.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let names = Disk.names(folder)?;
        self.0.borrow_mut().names.insert(folder.to_owned(), names.clone());
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        let identity = Disk.identity(path);
        self.0.borrow_mut().identities.insert(path.to_owned(), identity.clone());
        identity
    }
}

impl Files for Kept {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.texts.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.names.get(folder).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn identity(&self, path: &Path) -> PathBuf {
        self.identities.get(path).cloned().unwrap_or_else(|| path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    const SITE: &str = "site \"a.example\" {\nroute {\nrespond 200 \"a\"\n}\n}\n";

    #[test]
    fn what_was_read_is_read_again_whatever_becomes_of_the_files() {
        let folder = TempDir::with([("unary.kdl", "import \"sites/*.kdl\"\n"), ("sites/a.kdl", SITE)]);
        let (config, kept) = Kept::read(&folder.join("unary.kdl")).unwrap();
        assert_eq!(config.files.len(), 2);
        folder.write("sites/a.kdl", "nonsense");
        folder.write("sites/b.kdl", "nonsense");
        let again = Kept::from_bytes(&kept.to_bytes()).unwrap().config().unwrap();
        assert_eq!(again.files, config.files);
        assert_eq!(serde_json::to_string(&again).unwrap(), serde_json::to_string(&config).unwrap());
        assert!(Kept::read(&folder.join("unary.kdl")).is_err());
    }

    #[test]
    fn what_is_no_config_is_refused() {
        Kept::from_bytes(b"site").unwrap_err();
        assert!(Kept::default().config().is_err());
    }
}
