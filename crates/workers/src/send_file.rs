//! Files that a program has sent in its place: it names one in a field, and writes nothing of it itself.
//!
//! `X-Sendfile` names a file by its path on the machine, `X-Accel-Redirect` by a path of the site's that leads to one.
//! What is sent lies in a folder that the config allows, and nowhere else.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, HeaderName};
use tokio::time::Instant;
use unary_http::{Body, Response};
use unary_net::file::{FileRange, Node, Root};
use unary_service::{Error, Kind};

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");
const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");
/// What other servers make of these is not made here: they are theirs, and not the client's to see.
const OTHERS: [HeaderName; 4] = [
    HeaderName::from_static("x-accel-buffering"),
    HeaderName::from_static("x-accel-charset"),
    HeaderName::from_static("x-accel-expires"),
    HeaderName::from_static("x-accel-limit-rate"),
];

const STEP: &str = "sending a file in a program's place";

/// A folder whose files a program may have sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFile {
    /// The folder.
    pub folder: PathBuf,
    /// Which paths of `X-Accel-Redirect` it stands for: those beneath this one.
    pub beneath: Option<String>,
}

/// Such folders, found. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SendFiles(pub(crate) Arc<[Allowed]>);

impl SendFiles {
    /// Looks for these. Waits for the disk: not a call for an event loop.
    ///
    /// # Errors
    ///
    /// If one is no folder that can be looked into.
    pub fn open(allowed: &[SendFile]) -> Result<Self, Error> {
        Ok(Self(Allowed::open_all(allowed)?.into()))
    }
}

/// Such a folder, found.
#[derive(Debug)]
pub(crate) struct Allowed {
    root: Root,
    beneath: Option<PathBuf>,
}

impl Allowed {
    /// All of these.
    pub(crate) fn open_all(allowed: &[SendFile]) -> Result<Vec<Self>, Error> {
        allowed.iter().map(Self::open).collect()
    }

    fn open(allowed: &SendFile) -> Result<Self, Error> {
        let failed = |cause| Error::internal(format!("opening {}", allowed.folder.display())).because(cause);
        let root = Root::open(&allowed.folder).map_err(failed)?;
        Ok(Self { root, beneath: allowed.beneath.as_ref().map(PathBuf::from) })
    }
}

/// Puts a file in place of the body if the reply names one. `false` if it names none.
pub(crate) async fn replace(allowed: &[Allowed], reply: &mut Response) -> Result<bool, Error> {
    let headers = reply.headers_mut();
    for name in OTHERS {
        headers.remove(name);
    }
    let (by_path, by_target) = (headers.remove(X_SENDFILE), headers.remove(X_ACCEL_REDIRECT));
    let (root, path) = match (by_path, by_target) {
        (None, None) => return Ok(false),
        (Some(path), _) => by_its_path(allowed, path.as_bytes())?,
        (None, Some(target)) => by_a_target(allowed, target.as_bytes())?,
    };
    let shown = root.path().join(&path);
    let failed = |cause: io::Error| {
        let kind = if cause.kind() == io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Upstream };
        Error::new(kind, STEP).because(format!("{}: {cause}", shown.display()))
    };
    root.refresh(Instant::now()).await;
    match root.look(move |view| view.open(&path)).await.map_err(failed)? {
        Node::Directory(_) => Err(Error::new(Kind::NotFound, STEP).because(format!("{} is a folder", shown.display()))),
        Node::File(file, stamp) => {
            reply.headers_mut().remove(CONTENT_LENGTH);
            reply.headers_mut().remove(ACCEPT_RANGES);
            let range = FileRange { file: file.into(), offset: 0, length: stamp.length };
            *reply.body_mut() = Body::file(range);
            Ok(true)
        }
    }
}

fn by_its_path<'a>(allowed: &'a [Allowed], path: &[u8]) -> Result<(&'a Root, PathBuf), Error> {
    let path = Path::new(OsStr::from_bytes(path));
    for Allowed { root, .. } in allowed {
        if let Ok(rest) = path.strip_prefix(root.path()) {
            return Ok((root, rest.to_owned()));
        }
    }
    Err(refused(format!("{} is in no folder that may be sent", path.display())))
}

fn by_a_target<'a>(allowed: &'a [Allowed], target: &[u8]) -> Result<(&'a Root, PathBuf), Error> {
    let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    let path = PathBuf::from(OsStr::from_bytes(&percent_decoded(path)));
    for Allowed { root, beneath } in allowed {
        if let Some(Ok(rest)) = beneath.as_ref().map(|beneath| path.strip_prefix(beneath)) {
            return Ok((root, rest.to_owned()));
        }
    }
    Err(refused(format!("{} stands for no folder that may be sent", path.display())))
}

fn refused(why: String) -> Error {
    Error::new(Kind::Upstream, STEP).because(why)
}

/// With its escapes undone. What is no escape stays: a program wrote it.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut left = text;
    let hex = |digit: u8| char::from(digit).to_digit(16);
    while let Some((&byte, rest)) = left.split_first() {
        let escaped = match (byte, rest) {
            (b'%', &[high, low, ..]) => {
                hex(high).zip(hex(low)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok())
            }
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        left = if escaped.is_some() { &rest[2..] } else { rest };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use unary_testkit::TempDir;

    use super::*;

    /// What is sent in place of a reply with this field, or why nothing is.
    async fn check(allowed: &[Allowed], field: (&'static str, &str), expected: Result<&str, &str>) {
        let mut reply = Response::default();
        reply.headers_mut().insert(field.0, field.1.parse().unwrap());
        match (replace(allowed, &mut reply).await, expected) {
            (Ok(true), Ok(text)) => assert_eq!(reply.into_body().collect(999).await.unwrap(), text),
            (Ok(false), Ok("")) => assert!(!reply.headers().contains_key("x-accel-expires")),
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (seen, expected) => panic!("{field:?}: {seen:?} is not {expected:?}"),
        }
    }

    #[tokio::test]
    async fn sends_what_is_in_a_folder_that_is_allowed() {
        let folder = TempDir::new();
        let inside = folder.path().join("files");
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("a b"), "content").unwrap();
        fs::write(folder.path().join("secret"), "").unwrap();
        symlink("../secret", inside.join("out")).unwrap();
        let folder = SendFile { folder: inside.clone(), beneath: Some("/protected".to_owned()) };
        let allowed = [Allowed::open(&folder).unwrap()];
        let path = |name: &str| inside.join(name).display().to_string();
        for (name, value, expected) in [
            ("x-sendfile", path("a b"), Ok("content")),
            ("x-accel-redirect", "/protected/a%20b".to_owned(), Ok("content")),
            ("x-accel-expires", "5".to_owned(), Ok("")),
            ("x-sendfile", path("none"), Err("not found")),
            ("x-sendfile", path("out"), Err("not found")),
            ("x-sendfile", path("../secret"), Err("not found")),
            ("x-sendfile", path(""), Err("is a folder")),
            ("x-sendfile", "/etc/passwd".to_owned(), Err("is in no folder")),
            ("x-sendfile", "a b".to_owned(), Err("is in no folder")),
            ("x-accel-redirect", "/protected/../secret".to_owned(), Err("not found")),
            ("x-accel-redirect", "/protectedness/a".to_owned(), Err("stands for no folder")),
        ] {
            check(&allowed, (name, &value), expected).await;
        }
        check(&[], ("x-sendfile", &path("a b")), Err("is in no folder")).await;
    }
}
