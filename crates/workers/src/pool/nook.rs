//! Where a worker's Unix socket is: in a folder that only the server's user can enter, and root. Whoever can connect to
//! a FastCGI worker can have it run anything.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// A folder of its own for one socket, removed with it when this is dropped.
#[derive(Debug)]
pub(super) struct Nook {
    folder: PathBuf,
    /// The socket in it.
    pub(super) socket: PathBuf,
}

impl Nook {
    /// A socket that listens, in the folder for temporary files.
    pub(super) fn listen() -> io::Result<(Self, UnixListener)> {
        let number = RandomState::new().build_hasher().finish();
        let folder = std::env::temp_dir().join(format!("unary-{number:016x}"));
        let named = |cause: io::Error| io::Error::new(cause.kind(), format!("{}: {cause}", folder.display()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(named)?;
        let nook = Self { socket: folder.join("socket"), folder };
        let listener = UnixListener::bind(&nook.socket)?;
        Ok((nook, listener))
    }
}

impl Drop for Nook {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn nobody_else_gets_in_and_nothing_is_left() {
        let (nook, _listener) = Nook::listen().unwrap();
        let (folder, socket) = (nook.folder.clone(), nook.socket.clone());
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        UnixStream::connect(&socket).unwrap();
        drop(nook);
        assert!(!folder.exists());
    }
}
