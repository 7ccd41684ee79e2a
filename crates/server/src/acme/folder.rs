//! What is kept on disk: accounts, certificates with their keys, orders that are not over.
//!
//! Every file is whole at any moment: it is written beside, synced, and renamed. Nobody but the
//! server's user can read them. One process at a time writes, which holds a lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unary_net::tls::Certificate;

/// The largest file that is read back. A chain with its key has some 8 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder `acme` in the folder of the server's state.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// What is remembered of a site between its certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// An order that is not over.
    #[serde(default)]
    pub(super) order: Option<Pending>,
    /// How often it has failed since it last worked.
    #[serde(default)]
    pub(super) failures: u32,
    /// When it failed last, in seconds since 1970.
    #[serde(default)]
    pub(super) failed_at: u64,
    /// The directory of the CA whose certificate it has.
    #[serde(default)]
    pub(super) issuer: Option<String>,
}

/// An order that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The directory of its CA.
    pub(super) ca: String,
    /// Where it is there.
    pub(super) url: String,
    /// The key that its certificate is for, in PEM. There before the CA hears of it.
    pub(super) key: String,
}

impl Folder {
    /// Makes the folder, if it is not there.
    pub(super) fn open(state: &Path) -> io::Result<Self> {
        let path = state.join("acme");
        for folder in ["accounts", "certificates", "sites"] {
            DirBuilder::new().recursive(true).mode(0o700).create(path.join(folder))?;
        }
        Ok(Self { path })
    }

    /// The right to write, until the file is dropped. `None` while another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// What is remembered of a site.
    pub(super) fn memory(&self, id: &str) -> Memory {
        read_json(&self.site(id)).unwrap_or_default()
    }

    pub(super) fn remember(&self, id: &str, memory: &Memory) -> io::Result<()> {
        write_json(&self.site(id), memory)
    }

    /// A site's certificate, as it was written. What is broken is as if it were not there.
    pub(super) fn certificate(&self, id: &str) -> Option<Certificate> {
        let path = self.certificate_path(id);
        let pem = read(&path).ok()?;
        let read = Certificate::from_pem(&pem, &pem);
        read.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a certificate on disk is broken")).ok()
    }

    /// Writes a chain and its key, in one file: they are replaced together.
    pub(super) fn keep_certificate(&self, id: &str, chain: &str, key: &str) -> io::Result<()> {
        write(&self.certificate_path(id), format!("{key}{chain}").as_bytes())
    }

    /// Where a site's certificate is, chain and key.
    pub(super) fn certificate_path(&self, id: &str) -> PathBuf {
        self.path.join("certificates").join(format!("{id}.pem"))
    }

    /// What is known of an account.
    pub(super) fn account<T: DeserializeOwned>(&self, id: &str) -> Option<T> {
        read_json(&self.account_path(id))
    }

    pub(super) fn keep_account(&self, id: &str, account: &impl Serialize) -> io::Result<()> {
        write_json(&self.account_path(id), account)
    }

    /// Forgets an account that its CA does not know any more.
    pub(super) fn forget_account(&self, id: &str) {
        let _ = fs::remove_file(self.account_path(id));
    }

    /// When certificates were asked for, in seconds since 1970.
    pub(super) fn orders(&self) -> Vec<u64> {
        read_json(&self.path.join("orders.json")).unwrap_or_default()
    }

    pub(super) fn keep_orders(&self, times: &[u64]) -> io::Result<()> {
        write_json(&self.path.join("orders.json"), &times)
    }

    /// When new names got certificates because somebody came, in the same way.
    pub(super) fn new_names(&self) -> Vec<u64> {
        read_json(&self.path.join("new-names.json")).unwrap_or_default()
    }

    pub(super) fn keep_new_names(&self, times: &[u64]) -> io::Result<()> {
        write_json(&self.path.join("new-names.json"), &times)
    }

    /// Where the local CA is, certificate and key.
    pub(super) fn local_ca(&self) -> PathBuf {
        self.path.join("local-ca.pem")
    }

    fn site(&self, id: &str) -> PathBuf {
        self.path.join("sites").join(format!("{id}.json"))
    }

    fn account_path(&self, id: &str) -> PathBuf {
        self.path.join("accounts").join(format!("{id}.json"))
    }
}

/// A name for a file, from what may hold any character: what can be read of it, and a number that
/// tells it from all others.
pub(super) fn file_name(text: &str) -> String {
    const READABLE_MAX: usize = 80;
    let readable = text.chars().map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '_' });
    let readable: String = readable.take(READABLE_MAX).collect();
    format!("{}-{:016x}", readable.trim_start_matches('.'), digest(text))
}

/// FNV-1a, which is the same in every build and on every machine.
pub(super) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Writes a file so that it is whole at any moment, whatever happens to the machine, and nobody else's
/// to read.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, bytes, RenameFlags::empty())
}

/// The same for a file that is not there yet. One that is stays as it is, and is no failure.
pub(super) fn write_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match write_with(path, bytes, RenameFlags::NOREPLACE) {
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

fn write_with(path: &Path, bytes: &[u8], how: RenameFlags) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let beside = folder.join(format!(".{}.new", name.to_string_lossy()));
    let _ = fs::remove_file(&beside); // Of a process that was killed amid this.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    renameat_with(CWD, &beside, CWD, path, how)?;
    File::open(folder)?.sync_all()
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    write(path, &serde_json::to_vec_pretty(value)?)
}

pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is in a file, if it is there and is what it should be.
fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = read(path).ok()?;
    let parsed = serde_json::from_slice(&bytes);
    parsed.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a file of the state is broken")).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_is_nobody_elses() {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        assert_eq!(folder.memory("a"), Memory::default());
        let order = Pending { ca: "c".to_owned(), url: "u".to_owned(), key: "k".to_owned() };
        let memory = Memory { order: Some(order), failures: 2, failed_at: 7, issuer: None };
        folder.remember("a", &memory).unwrap();
        assert_eq!(folder.memory("a"), memory);
        let mode = |path: &str| fs::metadata(temp.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("acme"), mode("acme/sites"), mode("acme/sites/a.json")), (0o700, 0o700, 0o600));
    }

    #[test]
    fn what_is_broken_or_half_written_is_as_if_it_were_not_there() {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        temp.write("acme/sites/a.json", "{\"fail");
        temp.write("acme/sites/.b.json.new", "{");
        temp.write("acme/certificates/a.pem", "-----BEGIN");
        assert_eq!(folder.memory("a"), Memory::default());
        assert!(folder.certificate("a").is_none());
        folder.remember("b", &Memory::default()).unwrap();
        assert!(!temp.join("acme/sites/.b.json.new").exists());
    }

    #[test]
    fn what_is_written_once_stays() {
        let temp = TempDir::new();
        write_once(&temp.join("a"), b"first").unwrap();
        write_once(&temp.join("a"), b"second").unwrap();
        assert_eq!(read(&temp.join("a")).unwrap(), b"first");
    }

    #[test]
    fn one_process_at_a_time_writes() {
        let temp = TempDir::new();
        let folder = Folder::open(temp.path()).unwrap();
        let first = folder.lock().unwrap();
        assert!(first.is_some());
        assert!(folder.lock().unwrap().is_none());
        drop(first);
        assert!(folder.lock().unwrap().is_some());
    }

    #[test]
    fn names_of_files_hold_no_surprises() {
        assert!(file_name("../*.a/b").starts_with("__.a_b-"));
        assert_ne!(file_name("*.a"), file_name("_.a"));
        assert!(file_name(&"x".repeat(500)).len() < 100);
    }
}
