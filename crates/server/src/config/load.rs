//! Loads a config file and those that it imports.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use super::kdl::{self, Node, Which};
use super::mistake::{Mistake, Mistakes};
use super::read::{Reader, Variable};
use super::source::{Source, Sources, Span};
use super::words::Place;
use crate::failure::in_words;

/// The largest file: a thousand sites take a tenth of it.
pub(crate) const FILE_BYTES_MAX: u64 = 32 << 20;

/// Files of one config.
pub(crate) const FILES_MAX: usize = 10_000;

/// Imports within imports. Each takes some stack.
pub(crate) const IMPORT_DEPTH_MAX: usize = 16;

/// Names that patterns of imports are compared with, in all.
const NAMES_MAX: usize = 100_000;

/// Where files come from: the disk, or a test.
pub(crate) trait Files {
    fn read(&self, path: &Path) -> io::Result<String>;
    /// The names in a folder, hidden ones aside.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// One path for all that lead to the same file.
    fn identity(&self, path: &Path) -> PathBuf;
}

/// The disk.
pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        String::from_utf8(bytes).map_err(|bad| {
            let good = &bad.as_bytes()[..bad.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            io::Error::other(format!("it is not UTF-8 on line {line}"))
        })
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)?.take(NAMES_MAX) {
            // A name that is not UTF-8 cannot be written in a pattern.
            let name = entry?.file_name().into_string();
            names.extend(name.ok().filter(|name| !name.starts_with('.')));
        }
        names.sort_unstable();
        Ok(names)
    }

    fn identity(&self, path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    }
}

/// All nodes of a config, imports in their places.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) sources: Sources,
    pub(crate) nodes: Vec<Node>,
    pub(crate) mistakes: Mistakes,
    /// The folders in which patterns of imports look for files.
    pub(crate) folders: BTreeSet<PathBuf>,
}

/// Loads the file at `path`, and of it and those that it imports all nodes or some.
///
/// # Errors
///
/// If that file cannot be read. What is wrong with one that it imports is a mistake in it.
pub(crate) fn load(path: &Path, which: Which, files: &dyn Files, variable: Variable<'_>) -> io::Result<Loaded> {
    let text = files.read(path)?;
    let mut loader = Loader { files, which, variable, seen: HashMap::new(), names: 0, loaded: Loaded::default() };
    loader.seen.insert(files.identity(path), None);
    loader.file(path, text, 0);
    Ok(loader.loaded)
}

struct Loader<'l> {
    files: &'l dyn Files,
    which: Which,
    variable: Variable<'l>,
    /// The files that were read, and where they were imported.
    seen: HashMap<PathBuf, Option<Span>>,
    /// How many names were compared with patterns.
    names: usize,
    loaded: Loaded,
}

impl Loader<'_> {
    fn file(&mut self, path: &Path, text: String, depth: usize) {
        let source = Source::new(path, text);
        let text = source.text.clone();
        let file = self.loaded.sources.add(source);
        let nodes = kdl::parse(file, &text, self.which, &mut self.loaded.mistakes);
        for node in nodes.nodes {
            match &*node.name.text {
                "import" => self.import(path, &node, depth),
                _ => self.loaded.nodes.push(node),
            }
        }
    }

    fn import(&mut self, importer: &Path, node: &Node, depth: usize) {
        let Loaded { sources, mistakes, .. } = &mut self.loaded;
        let mut reader = Reader { sources, mistakes, variable: self.variable };
        let word = Place::Top.word("import").expect("the table has it");
        let Some(given) = reader.read(node, word) else { return };
        if depth == IMPORT_DEPTH_MAX {
            let message = format!("these are more than {IMPORT_DEPTH_MAX} imports within imports");
            return reader.refuse(node.span, message, "import it from a file further out");
        }
        for (pattern, span) in given.with_spans::<Box<str>>("pattern") {
            if let Err(mistake) = self.import_all(importer, &pattern, span, depth) {
                self.loaded.mistakes.add(mistake);
            }
        }
    }

    fn import_all(&mut self, importer: &Path, pattern: &str, span: Span, depth: usize) -> Result<(), Mistake> {
        let folder = importer.parent().unwrap_or(Path::new(""));
        let is_pattern = pattern.contains(['*', '?']);
        for path in self.matching(folder, Path::new(pattern), span)? {
            let identity = self.files.identity(&path);
            if is_pattern && identity == self.files.identity(importer) {
                continue; // A pattern for all files of a folder is not meant for the one it is in.
            }
            let said = |message: String| Mistake::new(span, message);
            if let Some(earlier) = self.seen.get(&identity) {
                let mistake = said(format!("{} is read already", path.display())).help("import a file once");
                return Err(match earlier {
                    Some(earlier) => mistake.with(*earlier, "here"),
                    None => mistake,
                });
            }
            if self.seen.len() >= FILES_MAX {
                let message = format!("a config has at most {FILES_MAX} files");
                return Err(said(message).help("write several of them as one"));
            }
            self.seen.insert(identity, Some(span));
            let text = self.files.read(&path);
            let text = text.map_err(|cause| {
                let mistake = said(format!("cannot read {}: {}", path.display(), in_words(cause)));
                mistake.help("a path starts from the folder of the file it is in; a pattern as in \"sites/*.kdl\" may find nothing")
            })?;
            self.file(&path, text, depth + 1);
        }
        Ok(())
    }

    /// The files of a pattern, in order of their names.
    fn matching(&mut self, folder: &Path, pattern: &Path, span: Span) -> Result<Vec<PathBuf>, Mistake> {
        let mut paths = vec![folder.to_owned()];
        for part in pattern.components() {
            let wanted = match part {
                Component::Normal(name) => name.to_string_lossy(),
                _ => {
                    paths.iter_mut().for_each(|path| path.push(part));
                    continue;
                }
            };
            if !wanted.contains(['*', '?']) {
                paths.iter_mut().for_each(|path| path.push(part));
                continue;
            }
            let mut found = Vec::new();
            for path in paths {
                let shown = if path.as_os_str().is_empty() { Path::new(".") } else { &path };
                self.loaded.folders.insert(shown.to_owned());
                // What is no folder has nothing in it.
                let names = self.files.names(&path).unwrap_or_default();
                self.names += names.len();
                found.extend(names.iter().filter(|name| matches(&wanted, name)).map(|name| path.join(name)));
            }
            if self.names > NAMES_MAX || found.len() > FILES_MAX {
                return Err(Mistake::new(span, "this pattern is for too many files").help("name the folder"));
            }
            paths = found;
        }
        Ok(paths)
    }
}

/// Whether a name is as the pattern says: `*` stands for any characters, `?` for one.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Whether the pattern so far stands for exactly the first `i` characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern {
        let mut before = reached[0];
        reached[0] &= wanted == '*';
        for at in 0..name.len() {
            let here = reached[at + 1];
            reached[at + 1] = match wanted {
                '*' => here || reached[at],
                '?' => before,
                letter => before && letter == name[at],
            };
            before = here;
        }
    }
    reached[name.len()]
}
