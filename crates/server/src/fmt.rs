//! `unary fmt`: writes a config canonically, and the files that it imports.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::check::{print, report};
use crate::cli::Fmt;
use crate::config;
use crate::failure::{Failure, in_words};

/// Writes the files that are not canonical, or says which these are.
pub(crate) fn run(told: &Fmt) -> Result<(), Failure> {
    let files = config::formatted(&told.config).map_err(report)?;
    let changed: Vec<_> = files.into_iter().filter(|file| file.before != file.after).collect();
    for file in &changed {
        if !told.check {
            let shown = file.path.display();
            let failed = |cause| Failure::failed(format!("cannot write {shown}: {}", in_words(cause)));
            replace(&file.path, &file.after).map_err(failed)?;
        }
        print(&file.path.display().to_string());
    }
    match told.check && !changed.is_empty() {
        true => Err(Failure::failed("the files above are not as `unary fmt` writes them")),
        false => Ok(()),
    }
}

/// Puts a new file in the place of one, whole or not at all, with the same owner and permissions. A
/// symlink goes on leading to it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = Temporary(path.with_file_name(name));
    let about = fs::metadata(&path)?;
    // What it says may be a secret.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new.0)?;
    file.write_all(text.as_bytes())?;
    fchown(&file, Some(about.uid()), Some(about.gid()))?;
    file.set_permissions(about.permissions())?;
    file.sync_all()?;
    fs::rename(&new.0, &path)
}

/// A file that goes when it is not renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // It is not there if it was renamed.
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn files_are_written_in_place() {
        let folder =
            TempDir::with([("unary.kdl", "import \"b.kdl\"\nsite   \"a.test\"{route{respond \"a\"}}"), ("b.kdl", "")]);
        folder.link("unary.kdl", "link.kdl");
        let told = |check| Fmt { config: folder.join("link.kdl"), check };
        assert_eq!(run(&told(true)).unwrap_err().to_string(), "the files above are not as `unary fmt` writes them");
        run(&told(false)).unwrap();
        run(&told(true)).unwrap();
        let text = fs::read_to_string(folder.join("unary.kdl")).unwrap();
        assert_eq!(text, "import \"b.kdl\"\nsite \"a.test\" {\n    route {\n        respond \"a\"\n    }\n}\n");
        assert!(fs::symlink_metadata(folder.join("link.kdl")).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left behind");
    }
}
