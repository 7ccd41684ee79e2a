//! A log's file by its name: opened anew when somebody has put it aside, put aside by itself when it
//! is large.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::in_words;

/// Who may read a new log: its owner and group. It has addresses in it.
const MODE: u32 = 0o640;

/// When a file is put aside, and how many such are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rotation {
    /// Before it would be larger than this.
    pub(crate) bytes_max: u64,
    /// As `NAME.1`, the newest, to `NAME.2` and so on. One at least.
    pub(crate) kept: u32,
}

/// The name of a log's file, and how large it is.
pub(super) struct NamedFile {
    path: PathBuf,
    rotation: Option<Rotation>,
    length: u64,
}

impl NamedFile {
    pub(super) fn open(path: PathBuf, rotation: Option<Rotation>) -> io::Result<(Self, File)> {
        let file = open(&path)?;
        let length = file.metadata()?.len();
        Ok((Self { path, rotation, length }, file))
    }

    /// So many bytes were written.
    pub(super) fn grew(&mut self, bytes: u64) {
        self.length += bytes;
    }

    /// Whether it is to be put aside before so many more bytes are written.
    pub(super) fn is_full(&self, more: u64) -> bool {
        self.rotation.is_some_and(|rotation| self.length > 0 && self.length + more > rotation.bytes_max)
    }

    /// The file that has the name now.
    pub(super) fn open_anew(&mut self) -> Result<File, String> {
        let file = open(&self.path).map_err(|cause| self.told("open", &cause))?;
        self.length = file.metadata().map_or(0, |about| about.len());
        Ok(file)
    }

    /// Gives the file another name, and those before it too, and makes a new one. `file` is the one
    /// that is open: if another has the name by now, somebody was quicker, and that one is opened.
    pub(super) fn put_aside(&mut self, file: &File) -> Result<File, String> {
        // What cannot be done now is tried again when as much more has been written.
        self.length = 0;
        if is_same(fs::metadata(&self.path), file.metadata()) {
            self.rename().map_err(|cause| self.told("put aside", &cause))?;
        }
        self.open_anew()
    }

    fn rename(&self) -> io::Result<()> {
        let kept = self.rotation.map_or(1, |rotation| rotation.kept.max(1));
        for number in (1..kept).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    fn aside(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn told(&self, what: &str, cause: &io::Error) -> String {
        format!("cannot {what} {}: {}", self.path.display(), in_words(cause))
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

fn is_same(one: io::Result<Metadata>, other: io::Result<Metadata>) -> bool {
    let id = |about: io::Result<Metadata>| about.map(|about| (about.dev(), about.ino())).ok();
    let one = id(one);
    one.is_some() && one == id(other)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A folder of its own, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("unary-log-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        /// What is in it, as `name=text`.
        fn files(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap());
            let mut files: Vec<_> = entries
                .map(|entry| {
                    let text = fs::read_to_string(entry.path()).unwrap();
                    format!("{}={text}", entry.file_name().to_string_lossy())
                })
                .collect();
            files.sort();
            files
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_large_file_is_put_aside_and_so_many_are_kept() {
        let folder = Folder::new("rotation");
        let rotation = Some(Rotation { bytes_max: 4, kept: 2 });
        let (mut named, mut file) = NamedFile::open(folder.0.join("a.log"), rotation).unwrap();
        for text in ["1", "22", "333", "4444", "55555", "6"] {
            if named.is_full(text.len() as u64) {
                file = named.put_aside(&file).unwrap();
            }
            file.write_all(text.as_bytes()).unwrap();
            named.grew(text.len() as u64);
        }
        assert_eq!(folder.files(), ["a.log.1=55555", "a.log.2=4444", "a.log=6"]);
        let (named, _) = NamedFile::open(folder.0.join("a.log.1"), rotation).unwrap();
        assert!(named.is_full(1), "what is in it from before counts");
    }

    #[test]
    fn a_file_that_somebody_else_put_aside_is_left_there() {
        let folder = Folder::new("race");
        let path = folder.0.join("a.log");
        let (mut named, mut file) = NamedFile::open(path.clone(), Some(Rotation { bytes_max: 1, kept: 5 })).unwrap();
        file.write_all(b"old").unwrap();
        fs::rename(&path, folder.0.join("b")).unwrap();
        fs::write(&path, "new").unwrap();
        file = named.put_aside(&file).unwrap();
        file.write_all(b"er").unwrap();
        assert_eq!(folder.files(), ["a.log=newer", "b=old"]);
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_is_told_and_kept() {
        let folder = Folder::new("stuck");
        let path = folder.0.join("a.log");
        let (mut named, file) = NamedFile::open(path.clone(), Some(Rotation { bytes_max: 1, kept: 1 })).unwrap();
        fs::create_dir(folder.0.join("a.log.1")).unwrap();
        named.grew(9);
        let problem = named.put_aside(&file).unwrap_err();
        assert!(problem.starts_with("cannot put aside ") && path.is_file(), "{problem}");
        assert!(!named.is_full(9), "it is not tried again for each line");
    }
}
