//! A file ready to be sent: its contents, or the open descriptor, and the headers of its reply.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;
use unary_http::Body;
use unary_net::file::{FileRange, Node, OpenFile, Stamp, View};

use super::media;
use super::settings::Settings;
use super::survey::FileSurvey;
use crate::encoding::Coding;

/// Files up to this many bytes are kept in memory: a read costs less than a `sendfile`, and
/// thousands of them fit. Larger ones stay open.
pub(super) const MEMORY_BYTES_MAX: u64 = 16 * 1024;

/// A file system's clock ticks this often: every 10 ms where the kernel is slowest.
const GRANULE: Duration = Duration::from_millis(20);
/// The same where it keeps no fractions of a second: 2 s on FAT.
const GRANULE_COARSE: Duration = Duration::from_secs(2);

/// And a file too large for memory has to have been quiet for so long: whoever writes it in place
/// takes that many ticks or more, and no tag may be of what is half written.
const GRANULE_OPEN: Duration = Duration::from_secs(1);

/// An open file is asked this often whether it was changed in place.
const ASKED_MS: u64 = 10;

/// What is kept of a file beside its contents: about this many bytes.
const ENTRY_BYTES: usize = 2048;

/// A file ready to be sent, plain and compressed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) survey: Box<FileSurvey>,
    /// Whether equal stamps prove equal contents: nothing of it was changed so lately that the
    /// file system's clock may not have ticked since. See [`is_settled`].
    pub(super) is_settled: bool,
    pub(super) plain: Form,
    pub(super) compressed: Vec<(Coding, Form)>,
}

/// One representation of a file.
#[derive(Debug)]
pub(super) struct Form {
    /// Those of a 200.
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) length: u64,
    /// The strong entity tag, as in the headers.
    pub(super) tag: Option<HeaderValue>,
    /// In whole seconds, as HTTP tells it.
    pub(super) modified: SystemTime,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Bytes),
    Open { file: Arc<OpenFile>, stamp: Stamp, asked: Asked },
}

/// When an open file was last asked for its stamp.
#[derive(Debug)]
pub(super) struct Asked {
    opened: Instant,
    /// Milliseconds after that.
    last_ms: AtomicU64,
}

impl Asked {
    fn new(opened: Instant) -> Self {
        Self { opened, last_ms: AtomicU64::new(0) }
    }

    fn is_within(&self, age_ms: u64, now: Instant) -> bool {
        self.ms(now).saturating_sub(self.last_ms.load(Ordering::Relaxed)) < age_ms
    }

    fn note(&self, now: Instant) {
        self.last_ms.store(self.ms(now), Ordering::Relaxed);
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.opened).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Entry {
    /// Opens what a survey found. A file that has been changed since then is taken as it is now,
    /// and is not settled.
    pub(super) fn load(view: &View, settings: &Settings, survey: Box<FileSurvey>, now: SystemTime) -> io::Result<Self> {
        let loading = Loading { view, settings, survey: &survey, now };
        let (plain, mut is_settled) = loading.form(&survey.path, &survey.stamp, None)?;
        let mut compressed = Vec::new();
        for (coding, path, stamp) in survey.usable() {
            match loading.form(&path, &stamp, Some(coding)) {
                Ok((form, settled)) => {
                    is_settled &= settled;
                    compressed.push((coding, form));
                }
                // Gone since, or not for us to read: the plain file serves as well.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { survey, is_settled, plain, compressed })
    }

    /// The representation to send.
    pub(super) fn form(&self, coding: Option<Coding>) -> &Form {
        let compressed = self.compressed.iter().find(|(there, _)| Some(*there) == coding);
        compressed.map_or(&self.plain, |(_, form)| form)
    }

    pub(super) fn forms(&self) -> impl Iterator<Item = &Form> {
        std::iter::once(&self.plain).chain(self.compressed.iter().map(|(_, form)| form))
    }

    /// The memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let held = self.forms().map(|form| match &form.content {
            Content::Memory(bytes) => bytes.len(),
            Content::Open { .. } => 0,
        });
        self.forms().count() * ENTRY_BYTES + held.sum::<usize>()
    }

    /// The descriptors it keeps open.
    pub(super) fn descriptors(&self) -> usize {
        self.forms().filter(|form| matches!(form.content, Content::Open { .. })).count()
    }
}

impl Form {
    /// Whether an open file has not been changed in place. What is in memory cannot be.
    ///
    /// Its length is about to be promised and its tag to be told, so it is asked often: a system
    /// call every few milliseconds, however many requests there are.
    pub(super) fn is_as_it_was(&self, now: Instant) -> bool {
        let Content::Open { file, stamp, asked } = &self.content else { return true };
        if asked.is_within(ASKED_MS, now) {
            return true;
        }
        match file.stamp_now() {
            Ok(found) if found == *stamp => asked.note(now),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {} // Too far away to be asked.
            _ => return false,
        }
        true
    }

    /// All of it, as a body.
    pub(super) fn body(&self) -> Body {
        self.part(0, self.length)
    }

    /// A part of it, which must lie within.
    pub(super) fn part(&self, offset: u64, length: u64) -> Body {
        match &self.content {
            Content::Open { file, .. } => Body::file(FileRange { file: file.clone(), offset, length }),
            Content::Memory(bytes) if offset == 0 && length == self.length => bytes.clone().into(),
            Content::Memory(bytes) => {
                let start = usize::try_from(offset).expect("what is in memory is small");
                let end = start + usize::try_from(length).expect("what is in memory is small");
                bytes.slice(start..end).into()
            }
        }
    }
}

/// What a file is loaded with.
struct Loading<'a> {
    view: &'a View,
    settings: &'a Settings,
    survey: &'a FileSurvey,
    now: SystemTime,
}

impl Loading<'_> {
    /// One representation, and whether it is settled and as the survey saw it.
    fn form(&self, path: &Path, seen: &Stamp, coding: Option<Coding>) -> io::Result<(Form, bool)> {
        let Node::File(file, stamp) = self.view.open(path)? else { return Err(io::ErrorKind::NotFound.into()) };
        let mut is_settled = stamp == *seen && is_settled(&stamp, self.now);
        let (content, length) = if stamp.length <= MEMORY_BYTES_MAX {
            let bytes = self.view.read(&file, usize::try_from(stamp.length).map_err(io::Error::other)?)?;
            // What was written while we read is seen by the next look, soon.
            is_settled &= self.view.stamp_of(&file)? == stamp;
            let length = bytes.len() as u64;
            (Content::Memory(bytes), length)
        } else {
            (Content::Open { file: Arc::new(file), stamp, asked: Asked::new(Instant::now()) }, stamp.length)
        };
        let tag = is_settled.then(|| tag(&stamp));
        let modified = whole_seconds(stamp.modified);
        let headers = self.headers(coding, tag.as_ref(), is_settled.then_some(modified));
        Ok((Form { headers, content, length, tag, modified }, is_settled))
    }

    fn headers(&self, coding: Option<Coding>, tag: Option<&HeaderValue>, modified: Option<SystemTime>) -> HeaderMap {
        let path = self.survey.path.as_os_str().as_encoded_bytes();
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(header::CONTENT_TYPE, text_value(media::media_type(path)));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        if let Some(coding) = coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        if self.survey.siblings.iter().any(Option::is_some) {
            headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Some(value) = self.settings.cache_control_of(path) {
            headers.insert(header::CACHE_CONTROL, value.clone());
        }
        if let Some(tag) = tag {
            headers.insert(header::ETAG, tag.clone());
        }
        if let Some(modified) = modified {
            // RFC 9110 §8.8.2.1: never later than the reply itself.
            let told = httpdate::fmt_http_date(modified.min(self.now));
            headers.insert(header::LAST_MODIFIED, text_value(told.into()));
        }
        headers.clone() // A copy has no room to spare.
    }
}

/// The strong entity tag of a file: its length, and a digest of inode, length and both times.
///
/// Equal tags are equal bytes for files that are replaced by rename: those have another inode or
/// another change time, which nobody can choose. So it is for files written in place once they have
/// been quiet, as what could be changed unseen is not settled and gets no tag; but a large one is
/// read while it is sent, and whoever overwrites it then changes what goes out under its old tag.
///
/// The device is left out, since its number may change with every boot; a digest is told rather
/// than the numbers, since inodes are nobody's business.
fn tag(stamp: &Stamp) -> HeaderValue {
    let mut digest = DefaultHasher::new(); // The same in every process: its keys are fixed.
    (stamp.inode, stamp.length, stamp.modified, stamp.changed).hash(&mut digest);
    text_value(format!("\"{:x}-{:016x}\"", stamp.length, digest.finish()).into())
}

/// Whether the clock of the file system has surely ticked since the last change, so that another
/// change cannot leave the same stamp; and for a file that stays open, whether nobody seems to be
/// writing it.
fn is_settled(stamp: &Stamp, now: SystemTime) -> bool {
    let of_second =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let coarse = of_second(stamp.changed) == 0 && of_second(stamp.modified) == 0;
    let granule = match (coarse, stamp.length <= MEMORY_BYTES_MAX) {
        (true, _) => GRANULE_COARSE,
        (false, true) => GRANULE,
        (false, false) => GRANULE_OPEN,
    };
    now.duration_since(stamp.changed).is_ok_and(|quiet| quiet > granule)
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A header value of text that is known to be one.
fn text_value(text: Cow<'static, str>) -> HeaderValue {
    match text {
        Cow::Borrowed(text) => HeaderValue::from_static(text),
        Cow::Owned(text) => HeaderValue::try_from(text).expect("types, tags and dates are visible ASCII"),
    }
}

#[cfg(test)]
mod tests {
    use unary_net::file::NodeKind;

    use super::*;

    /// How long a file of this length, changed at this time, has to be quiet.
    #[track_caller]
    fn check(length: u64, changed: Duration, quiet: Duration) {
        let changed = SystemTime::UNIX_EPOCH + changed;
        let stamp = Stamp { kind: NodeKind::File, device: 1, inode: 1, length, modified: changed, changed };
        assert!(!is_settled(&stamp, changed + quiet), "{length}: as long");
        assert!(is_settled(&stamp, changed + quiet + Duration::from_millis(1)), "{length}: longer");
        assert!(!is_settled(&stamp, changed - quiet), "{length}: of the future");
    }

    #[test]
    fn a_file_is_settled_once_it_has_been_quiet() {
        let (fine, coarse) = (Duration::from_millis(1_000_000_001), Duration::from_secs(1_000_000));
        check(MEMORY_BYTES_MAX, fine, Duration::from_millis(20));
        check(MEMORY_BYTES_MAX + 1, fine, Duration::from_secs(1));
        for length in [1, MEMORY_BYTES_MAX + 1] {
            check(length, coarse, Duration::from_secs(2));
        }
    }
}
