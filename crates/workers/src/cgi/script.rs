//! Which script a path means, and what of the path is left for it (RFC 3875 §3.3).
//!
//! A path is decoded once, and what is between its slashes are names. In a folder of programs the first of them that
//! leads to a file names the script, and the others are for it. Nothing that leads out of the folder is looked at.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use http::StatusCode;
use tokio::time::Instant;
use unary_net::file::{NodeKind, Root};
use unary_service::{Error, Kind};

use super::{Settings, What};

/// Names of a path that are looked for in a folder: deeper ones there are none.
const DEPTH_MAX: usize = 64;

/// The scripts of a host.
pub(super) struct Scripts {
    what: Where,
    mounts: Vec<Vec<Vec<u8>>>,
    document_root: PathBuf,
}

enum Where {
    Program(PathBuf),
    Folder(Root),
}

/// A script, and how it was named.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its path in the folder; empty where the program is no folder.
    pub(super) file: Vec<u8>,
    /// What of the request's path named it: `SCRIPT_NAME`.
    pub(super) name: Vec<u8>,
    /// What is left of that: `PATH_INFO`.
    pub(super) path_info: Vec<u8>,
}

impl Scripts {
    pub(super) fn open(settings: &Settings) -> Result<Self, Error> {
        let (what, own_root) = match &settings.what {
            What::Program(path) => {
                let root = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("/"));
                (Where::Program(path.clone()), root.to_owned())
            }
            What::Folder(path) => {
                let failed = |cause| Error::internal(format!("opening the folder {}", path.display())).because(cause);
                (Where::Folder(Root::open(path).map_err(failed)?), path.clone())
            }
        };
        let mounts = settings.mounts.iter().map(|mount| names(mount).map(<[u8]>::to_vec).collect()).collect();
        Ok(Self { what, mounts, document_root: settings.document_root.clone().unwrap_or(own_root) })
    }

    pub(super) fn document_root(&self) -> &Path {
        &self.document_root
    }

    /// The script that this path, as it was sent, leads to; the status to refuse with if it leads to none.
    pub(super) async fn find(&self, path: &str) -> Result<Result<Found, StatusCode>, Error> {
        let Some(asked) = AskedPath::parse(path) else { return Ok(Err(StatusCode::BAD_REQUEST)) };
        let begins = |mount: &&Vec<Vec<u8>>| asked.names.starts_with(mount);
        let mount = self.mounts.iter().filter(begins).map(Vec::len).max().unwrap_or(0);
        match &self.what {
            Where::Program(path) => Ok(Ok(Found {
                path: path.clone(),
                file: Vec::new(),
                name: joined(&asked.names[..mount]),
                path_info: asked.from(mount),
            })),
            Where::Folder(root) => {
                root.refresh(Instant::now()).await;
                let Some(depth) = depth_of(root, &asked.names[mount..]).await? else {
                    return Ok(Err(StatusCode::NOT_FOUND));
                };
                let file = asked.names[mount..mount + depth].join(&b'/');
                Ok(Ok(Found {
                    path: root.path().join(OsStr::from_bytes(&file)),
                    file,
                    name: joined(&asked.names[..mount + depth]),
                    path_info: asked.from(mount + depth),
                }))
            }
        }
    }
}

/// How many of these names lead to a file; `None` if they lead to none.
async fn depth_of(root: &Root, names: &[Vec<u8>]) -> Result<Option<usize>, Error> {
    let names: Vec<Vec<u8>> = names.iter().take(DEPTH_MAX).cloned().collect();
    let looked = root.look(move |view| {
        let mut path = PathBuf::new();
        for (number, name) in names.iter().enumerate() {
            // What is hidden is not meant for the world: editors and version control leave such files.
            if name.starts_with(b".") {
                return Ok(None);
            }
            path.push(OsStr::from_bytes(name));
            match view.stamp(&path)?.kind {
                NodeKind::File => return Ok(Some(number + 1)),
                NodeKind::Directory => {}
            }
        }
        Ok(None)
    });
    match looked.await {
        Ok(depth) => Ok(depth),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => Ok(None),
        Err(error) => {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => Kind::Forbidden,
                io::ErrorKind::ResourceBusy => Kind::Overloaded,
                _ => Kind::Internal,
            };
            Err(Error::new(kind, format!("looking for a program in {}", root.path().display())).because(error))
        }
    }
}

/// A request's path, undisguised.
struct AskedPath {
    names: Vec<Vec<u8>>,
    /// A slash stands at its end.
    is_open: bool,
}

impl AskedPath {
    /// `None` if nobody can tell what it comes to, or somebody could take it for another.
    fn parse(path: &str) -> Option<Self> {
        let decoded = decode(path.as_bytes())?;
        let is_open = decoded.ends_with(b"/");
        let all: Vec<Vec<u8>> = names(&decoded).map(<[u8]>::to_vec).collect();
        let is_sound = |name: &Vec<u8>| !name.contains(&0) && *name != b"." && *name != b"..";
        (decoded.starts_with(b"/") && all.iter().all(is_sound)).then_some(Self { names: all, is_open })
    }

    /// What is left behind so many names, from its slash on.
    fn from(&self, number: usize) -> Vec<u8> {
        let mut rest = joined(&self.names[number..]);
        if self.is_open {
            rest.push(b'/');
        }
        rest
    }
}

/// What stands between the slashes of a path.
fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty())
}

fn joined(names: &[Vec<u8>]) -> Vec<u8> {
    names.iter().flat_map(|name| [b"/", &name[..]]).flatten().copied().collect()
}

/// Undoes escapes once (RFC 3986 §2.1).
fn decode(written: &[u8]) -> Option<Vec<u8>> {
    let hex = |digit: Option<&u8>| digit.and_then(|&digit| char::from(digit).to_digit(16));
    let mut decoded = Vec::with_capacity(written.len());
    let mut left = written.iter();
    while let Some(&byte) = left.next() {
        decoded.push(match byte {
            b'%' => u8::try_from(hex(left.next())? << 4 | hex(left.next())?).ok()?,
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use unary_testkit::TempDir;

    use super::*;

    fn settings(what: What, mounts: &[&str]) -> Settings {
        let mounts = mounts.iter().map(|mount| mount.as_bytes().into()).collect();
        Settings { mounts, ..Settings::new("x", what) }
    }

    /// The script's name and what is left of the path, or the status.
    async fn check(scripts: &Scripts, path: &str, expected: Result<(&str, &str), u16>) {
        let found = scripts.find(path).await.unwrap().map_err(|status| status.as_u16());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = found.map(|found| (text(&found.name), text(&found.path_info)));
        assert_eq!(found, expected.map(|(name, info)| (name.to_owned(), info.to_owned())), "{path}");
    }

    #[tokio::test]
    async fn a_program_gets_what_is_behind_its_mount() {
        let scripts = Scripts::open(&settings(What::Program("/usr/lib/x".into()), &["/git", "/git/deep"])).unwrap();
        for (path, expected) in [
            ("/git", Ok(("/git", ""))),
            ("/git/", Ok(("/git", "/"))),
            ("/git/a%20b/c", Ok(("/git", "/a b/c"))),
            ("//git//a/", Ok(("/git", "/a/"))),
            ("/%67it/a%2Fb", Ok(("/git", "/a/b"))),
            ("/git/deep/a", Ok(("/git/deep", "/a"))),
            ("/other/a", Ok(("", "/other/a"))),
            ("/", Ok(("", "/"))),
            ("/git/../a", Err(400)),
            ("/git/%2e%2E/a", Err(400)),
            ("/git/a%00b", Err(400)),
            ("/git/%zz", Err(400)),
        ] {
            check(&scripts, path, expected).await;
        }
        assert_eq!(scripts.document_root(), Path::new("/usr/lib"));
    }

    #[tokio::test]
    async fn a_folders_scripts_are_found_by_their_names() {
        let folder = TempDir::new();
        let inside = folder.path().join("cgi-bin");
        fs::create_dir_all(inside.join("sub")).unwrap();
        for file in ["a.sh", "sub/b", ".hidden"] {
            fs::write(inside.join(file), "").unwrap();
        }
        fs::write(folder.path().join("outside"), "").unwrap();
        symlink("../outside", inside.join("out")).unwrap();
        symlink("a.sh", inside.join("in")).unwrap();
        let scripts = Scripts::open(&settings(What::Folder(inside.clone()), &["/cgi-bin"])).unwrap();
        for (path, expected) in [
            ("/cgi-bin/a.sh", Ok(("/cgi-bin/a.sh", ""))),
            ("/cgi-bin/a.sh/", Ok(("/cgi-bin/a.sh", "/"))),
            ("/cgi-bin/a.sh/x/y", Ok(("/cgi-bin/a.sh", "/x/y"))),
            ("/cgi-bin/sub/b/x", Ok(("/cgi-bin/sub/b", "/x"))),
            ("/cgi-bin/in", Ok(("/cgi-bin/in", ""))),
            ("/cgi-bin/sub", Err(404)),
            ("/cgi-bin/sub/", Err(404)),
            ("/cgi-bin", Err(404)),
            ("/cgi-bin/none/x", Err(404)),
            ("/cgi-bin/.hidden", Err(404)),
            ("/cgi-bin/out", Err(404)),
            ("/cgi-bin/%2e%2e/outside", Err(400)),
        ] {
            check(&scripts, path, expected).await;
        }
        let found = scripts.find("/cgi-bin/sub/b").await.unwrap().unwrap();
        assert_eq!((found.path, &found.file[..]), (inside.join("sub/b"), &b"sub/b"[..]));
        assert_eq!(scripts.document_root(), inside);
    }
}
