use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;

/// A disk in memory whose power fails: what was not synced may be lost, in part too.
#[derive(Clone, Default)]
struct Model {
    /// What is in files, and how much of it is synced.
    files: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The folder, as synced.
    synced: BTreeMap<PathBuf, usize>,
    /// What was changed in it since, in order.
    changes: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Added(PathBuf, usize),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

impl Model {
    /// The folder after the first of its changes.
    fn folder(&self, changes: usize) -> BTreeMap<PathBuf, usize> {
        let mut folder = self.synced.clone();
        for change in &self.changes[..changes] {
            match change {
                Change::Added(path, file) => {
                    folder.insert(path.clone(), *file);
                }
                Change::Renamed(from, to) => {
                    let file = folder.remove(from).expect("it was there");
                    folder.insert(to.clone(), file);
                }
                Change::Removed(path) => {
                    folder.remove(path);
                }
            }
        }
        folder
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.folder(self.changes.len()).get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// All that may be in a file after the power has failed now.
    fn after_a_power_cut(&self, path: &Path) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        for changes in 0..=self.changes.len() {
            let Some(file) = self.folder(changes).get(path).copied() else {
                found.push(None);
                continue;
            };
            match &self.files[file] {
                (_, Some(synced)) => found.push(Some(synced.clone())),
                (bytes, None) => found.extend((0..=bytes.len()).map(|length| Some(bytes[..length].to_vec()))),
            }
        }
        found
    }
}

/// The model, up to the moment when it ends.
struct Ending {
    model: Mutex<Model>,
    steps_left: Mutex<usize>,
}

impl Ending {
    fn after(model: &Model, steps: usize) -> Self {
        Self { model: Mutex::new(model.clone()), steps_left: Mutex::new(steps) }
    }

    fn step(&self, step: impl FnOnce(&mut Model) -> io::Result<()>) -> io::Result<()> {
        let mut left = self.steps_left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::Interrupted)?;
        step(&mut self.model.lock().unwrap())
    }
}

impl Disk for Ending {
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(|model| {
            model.files.push((bytes.to_vec(), None));
            model.changes.push(Change::Added(path.to_owned(), model.files.len() - 1));
            Ok(())
        })
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.step(|model| {
            if path == Path::new("/state") {
                (model.synced, model.changes) = (model.folder(model.changes.len()), Vec::new());
            } else {
                let file = model.find(path)?;
                model.files[file].1 = Some(model.files[file].0.clone());
            }
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path, there: There) -> io::Result<()> {
        self.step(|model| {
            model.find(from)?;
            if there == There::Stays && model.find(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            model.changes.push(Change::Renamed(from.to_owned(), to.to_owned()));
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|model| {
            model.find(path)?;
            model.changes.push(Change::Removed(path.to_owned()));
            Ok(())
        })
    }
}

/// More steps than there are.
const STEPS_MAX: usize = 20;

/// Whenever the power fails, there is what was there before, or what was written: whole.
#[track_caller]
fn check(before: Option<&[u8]>, new: &[u8], there: There) {
    let path = Path::new("/state/a.json");
    let mut model = Model::default();
    if let Some(before) = before {
        let disk = Ending::after(&model, STEPS_MAX);
        write(&disk, path, before, There::IsReplaced).unwrap();
        model = disk.model.into_inner().unwrap();
    }
    let mut has_ended = false;
    for steps in 0..STEPS_MAX {
        let disk = Ending::after(&model, steps);
        let written = write(&disk, path, new, there);
        has_ended |= written.is_ok();
        let stays = there == There::Stays && before.is_some();
        for found in disk.model.into_inner().unwrap().after_a_power_cut(path) {
            let is_before = found.as_deref() == before && (written.is_err() || stays);
            let is_new = found.as_deref() == Some(new) && !stays;
            assert!(is_before || is_new, "after {steps} steps: {found:?}");
        }
    }
    assert_eq!(has_ended, !(there == There::Stays && before.is_some()));
}

#[test]
fn a_file_is_whole_whenever_the_power_fails() {
    check(None, b"new", There::IsReplaced);
    check(Some(b"before"), b"new", There::IsReplaced);
    check(Some(b"before"), b"", There::IsReplaced);
    check(None, b"new", There::Stays);
    check(Some(b"before"), b"new", There::Stays);
}

/// A disk of which a step is left out: then the law must not hold, or it says nothing.
struct Without<'d>(&'d Ending, &'static Path);

impl Disk for Without<'_> {
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.0.create(path, bytes)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        if path == self.1 || (self.1 == Path::new("") && path != Path::new("/state")) {
            Ok(())
        } else {
            self.0.sync(path)
        }
    }

    fn rename(&self, from: &Path, to: &Path, there: There) -> io::Result<()> {
        self.0.rename(from, to, there)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
}

#[test]
fn neither_sync_is_for_nothing() {
    let path = Path::new("/state/a.json");
    for left_out in ["", "/state"] {
        let disk = Ending::after(&Model::default(), STEPS_MAX);
        write(&Without(&disk, Path::new(left_out)), path, b"new", There::IsReplaced).unwrap();
        let found = disk.model.into_inner().unwrap().after_a_power_cut(path);
        assert!(found.iter().any(|found| found.as_deref() != Some(b"new")), "without syncing `{left_out}`");
    }
}
