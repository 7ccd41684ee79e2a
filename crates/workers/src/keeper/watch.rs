//! Whether files have changed, or which there are in a folder, asked now and then: that works on every file system,
//! for symlinks that are switched, and for editors that replace what they write.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often is looked. A file that is being written shows a second change then, and is read again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<(PathBuf, Look)>,
    next: Instant,
}

/// Device, inode, length, and when it was changed; `None` if it is not there.
type Look = Option<(u64, u64, u64, i64, i64)>;

impl Watch {
    pub(super) fn new(files: &[PathBuf], now: Instant) -> Self {
        let files = files.iter().map(|path| (path.clone(), look(path))).collect();
        Self { files, next: now + LOOK_EVERY }
    }

    /// Looks now at what is watched, for the watch over what is about to be read: a change while it is read, or taken
    /// on, is one more.
    pub(super) fn again(&self, now: Instant) -> Self {
        let files = self.files.iter().map(|(path, _)| (path.clone(), look(path))).collect();
        Self { files, next: now + LOOK_EVERY }
    }

    /// Watches these from now on: those that it watched already since it looked.
    pub(super) fn over_to(mut self, files: &[PathBuf]) -> Self {
        let before: HashMap<_, _> = self.files.drain(..).collect();
        let since = |path: &PathBuf| before.get(path).copied().unwrap_or_else(|| look(path));
        self.files = files.iter().map(|path| (path.clone(), since(path))).collect();
        self
    }

    /// When to look next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.files.is_empty()).then_some(self.next)
    }

    /// Whether something has changed since this last said so.
    pub(super) fn has_changed(&mut self, now: Instant) -> bool {
        if self.files.is_empty() || now < self.next {
            return false;
        }
        self.next = now + LOOK_EVERY;
        let mut has_changed = false;
        for (path, before) in &mut self.files {
            let found = look(path);
            has_changed |= found != *before;
            *before = found;
        }
        has_changed
    }
}

fn look(path: &PathBuf) -> Look {
    let about = fs::metadata(path).ok()?;
    Some((about.dev(), about.ino(), about.len(), about.ctime(), about.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let folder = TempDir::with([("config", "one"), ("other", "other")]);
        let mut now = Instant::now();
        let mut watch = Watch::new(&[folder.join("config"), folder.join("none")], now);
        let mut check = |expected: bool| {
            now += LOOK_EVERY;
            assert_eq!(watch.has_changed(now), expected);
        };
        check(false);
        folder.write("config", "three");
        check(true);
        check(false);
        folder.write("none", "");
        check(true);
        folder.write("other", "changed");
        check(false);
        std::fs::remove_file(folder.join("config")).unwrap();
        check(true);
        check(false);
    }

    #[test]
    fn a_folder_changes_with_what_is_in_it() {
        let folder = TempDir::with([("sites/a", "one")]);
        let now = Instant::now();
        let mut watch = Watch::new(&[folder.join("sites")], now);
        assert!(!watch.has_changed(now + LOOK_EVERY));
        folder.write("sites/b", "two");
        assert!(watch.has_changed(now + 2 * LOOK_EVERY));
        std::fs::remove_file(folder.join("sites/a")).unwrap();
        assert!(watch.has_changed(now + 3 * LOOK_EVERY));
        assert!(!watch.has_changed(now + 4 * LOOK_EVERY));
    }

    #[test]
    fn a_change_while_a_config_is_read_is_told_afterwards() {
        let folder = TempDir::with([("config", "one"), ("other", "other")]);
        let (config, other) = (folder.join("config"), folder.join("other"));
        let now = Instant::now();
        let watch = Watch::new(std::slice::from_ref(&config), now);
        folder.write("config", "the second");
        let reading = watch.again(now);
        folder.write("config", "the third one");
        let mut watch = reading.over_to(&[config, other]);
        assert!(watch.has_changed(now + LOOK_EVERY));
        assert!(!watch.has_changed(now + 2 * LOOK_EVERY));
        folder.write("other", "another");
        assert!(watch.has_changed(now + 3 * LOOK_EVERY));
    }

    #[test]
    fn it_looks_only_now_and_then() {
        let folder = TempDir::with([("config", "one")]);
        let now = Instant::now();
        let mut watch = Watch::new(&[folder.join("config")], now);
        folder.write("config", "three");
        assert!(!watch.has_changed(now));
        assert!(watch.has_changed(watch.deadline().unwrap()));
        assert_eq!(Watch::new(&[], now).deadline(), None);
    }
}
