//! What a request's target leads to on disk: a file with its compressed siblings, a folder, nothing.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use unary_net::file::{NodeKind, Stamp, View};

use super::media;
use super::path::Target;
use super::settings::Settings;
use crate::encoding::Coding;

/// What a target leads to.
#[derive(Debug)]
pub(super) enum Survey {
    /// A file.
    File(Box<FileSurvey>),
    /// A folder that no index file stands for.
    Folder,
    /// Nothing, or nothing that is served by that name.
    Missing,
}

/// A file and its compressed siblings. Two that are equal are of the same contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSurvey {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    /// In the order of [`Coding::ALL`].
    pub(super) siblings: [Option<Stamp>; Coding::ALL.len()],
}

/// Looks at a target. Only names are looked up: nothing is opened for reading.
pub(super) fn survey(view: &View, settings: &Settings, target: &Target<'_>) -> io::Result<Survey> {
    if !target.is_folder() {
        return match stamp(view, target.path())? {
            Some(stamp) if stamp.kind == NodeKind::File => file(view, settings, target.path().to_owned(), stamp),
            Some(_) => Ok(Survey::Folder),
            None => Ok(Survey::Missing),
        };
    }
    for index in &settings.index {
        let path = target.path().join(index);
        match stamp(view, &path)? {
            Some(stamp) if stamp.kind == NodeKind::File => return file(view, settings, path, stamp),
            _ => {}
        }
    }
    match stamp(view, target.path())? {
        Some(stamp) if stamp.kind == NodeKind::Directory => Ok(Survey::Folder),
        _ => Ok(Survey::Missing),
    }
}

impl FileSurvey {
    /// The compressed siblings that may be sent in place of the file: those that are not older.
    pub(super) fn usable(&self) -> impl Iterator<Item = (Coding, PathBuf, Stamp)> {
        let there = Coding::ALL.into_iter().zip(self.siblings).filter_map(|(coding, stamp)| Some((coding, stamp?)));
        let usable = there.filter(|(_, sibling)| sibling.modified >= self.stamp.modified);
        usable.map(|(coding, sibling)| (coding, sibling_path(&self.path, coding), sibling))
    }
}

fn file(view: &View, settings: &Settings, path: PathBuf, stamp: Stamp) -> io::Result<Survey> {
    let mut siblings = [None; Coding::ALL.len()];
    let name = path.as_os_str().as_encoded_bytes();
    if settings.precompressed && media::is_compressible(&media::media_type(name)) {
        for (coding, sibling) in Coding::ALL.into_iter().zip(&mut siblings) {
            *sibling = self::stamp(view, &sibling_path(&path, coding))?.filter(|stamp| stamp.kind == NodeKind::File);
        }
    }
    Ok(Survey::File(Box::new(FileSurvey { path, stamp, siblings })))
}

fn stamp(view: &View, path: &Path) -> io::Result<Option<Stamp>> {
    match view.stamp(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        stamp => stamp.map(Some),
    }
}

fn sibling_path(path: &Path, coding: Coding) -> PathBuf {
    let mut sibling = OsString::from(path);
    sibling.push(coding.extension());
    sibling.into()
}
