//! The files a config is read from, and places in them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A stretch of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// A line of a file, for those who read messages: `unary.kdl:12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: Arc<str>,
    pub(crate) line: u32,
}

/// A file as it was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// As it was named, or as the file that imports it leads to it.
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
    shown: Arc<str>,
    /// Where its lines begin.
    lines: Vec<u32>,
}

impl Source {
    pub(crate) fn new(path: &Path, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let begins = ends.map(|(at, _)| offset(at + 1));
        let lines = [0].into_iter().chain(begins).collect();
        Self { path: path.to_owned(), shown: path.display().to_string().into(), text: text.into(), lines }
    }

    /// The folder it is in: what its relative paths start from.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn line(&self, at: u32) -> u32 {
        offset(self.lines.partition_point(|begin| *begin <= at))
    }
}

/// All files of a config.
#[derive(Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

impl Sources {
    /// Takes a file in, and gives its number.
    pub(crate) fn add(&mut self, source: Source) -> u32 {
        self.0.push(source);
        offset(self.0.len() - 1)
    }

    pub(crate) fn get(&self, file: u32) -> &Source {
        &self.0[file as usize]
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Source> {
        self.0.iter()
    }

    /// The line on which this begins.
    pub(crate) fn at(&self, span: Span) -> At {
        let source = self.get(span.file);
        At { file: source.shown.clone(), line: source.line(span.start) }
    }
}

/// Offsets fit, as no file is larger than [`FILE_BYTES_MAX`](super::load::FILE_BYTES_MAX).
pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
