//! What is kept on disk: accounts, certificates with their keys, orders that are not over.
//!
//! Every file is whole at any moment, and nobody but the server's user can read it. One process at a time
//! writes, which holds a lock, and sweeps what one that was killed has left unfinished.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unary_net::tls::Certificate;

use super::disk::{self, Disk, RealDisk, There};

/// How much of what a file is for is in its name.
const READABLE_MAX: usize = 80;

/// What is below the folder.
const BELOW: [&str; 3] = ["accounts", "certificates", "sites"];

/// The largest file that is read back. A chain with its key has some 8 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The folder `acme` in the folder of the server's state.
#[derive(Clone)]
pub(super) struct Folder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
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
        Self::on(Arc::new(RealDisk), state)
    }

    fn on(disk: Arc<dyn Disk>, state: &Path) -> io::Result<Self> {
        let path = state.join("acme");
        for folder in BELOW {
            DirBuilder::new().recursive(true).mode(0o700).create(path.join(folder))?;
        }
        Ok(Self { path, disk })
    }

    /// The right to write, until the file is dropped. `None` while another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                BELOW.into_iter().chain([""]).try_for_each(|folder| disk::sweep(&self.path.join(folder)))?;
                Ok(Some(file))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// What is remembered of a site.
    pub(super) fn memory(&self, id: &str) -> Memory {
        read_json(&self.site(id)).unwrap_or_default()
    }

    pub(super) fn remember(&self, id: &str, memory: &Memory) -> io::Result<()> {
        self.write_json(&self.site(id), memory)
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
        self.write(&self.certificate_path(id), format!("{key}{chain}").as_bytes())
    }

    /// All certificates that are kept for names that may be some of these.
    pub(super) fn certificates_like<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<Certificate> {
        let ends: HashSet<String> = names.flat_map(|name| [readable_end(name), readable_end(&above(name))]).collect();
        let Ok(entries) = fs::read_dir(self.path.join("certificates")) else { return Vec::new() };
        let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".pem").map(str::to_owned));
        let is_like = |id: &String| {
            let readable = id.split('-').next().unwrap_or_default();
            readable.len() >= READABLE_MAX || readable.split('_').any(|part| ends.contains(part))
        };
        ids.filter(is_like).filter_map(|id| self.certificate(&id)).collect()
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
        self.write_json(&self.account_path(id), account)
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
        self.write_json(&self.path.join("orders.json"), &times)
    }

    /// When new names got certificates because somebody came, in the same way.
    pub(super) fn new_names(&self) -> Vec<u64> {
        read_json(&self.path.join("new-names.json")).unwrap_or_default()
    }

    pub(super) fn keep_new_names(&self, times: &[u64]) -> io::Result<()> {
        self.write_json(&self.path.join("new-names.json"), &times)
    }

    /// Where the local CA is, certificate and key.
    pub(super) fn local_ca(&self) -> PathBuf {
        self.path.join("local-ca.pem")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        disk::write(&*self.disk, path, bytes, There::IsReplaced)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        self.write(path, &serde_json::to_vec_pretty(value)?)
    }

    fn site(&self, id: &str) -> PathBuf {
        self.path.join("sites").join(format!("{id}.json"))
    }

    fn account_path(&self, id: &str) -> PathBuf {
        self.path.join("accounts").join(format!("{id}.json"))
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// A name for a file, from what may hold any character: what can be read of it, and a number that
/// tells it from all others.
pub(super) fn file_name(text: &str) -> String {
    let readable: String = readable(text).take(READABLE_MAX).collect();
    format!("{}-{:016x}", readable.trim_start_matches('.'), digest(text))
}

fn readable(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '_' })
}

/// What a host name ends with in the name of a file.
fn readable_end(name: &str) -> String {
    let readable: String = readable(name).collect();
    readable.rsplit('_').next().unwrap_or_default().to_owned()
}

/// The wildcard that a host name falls under.
fn above(name: &str) -> String {
    format!("*.{}", name.split_once('.').map_or(name, |(_, above)| above))
}

/// FNV-1a, which is the same in every build and on every machine.
pub(super) fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
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
mod tests;
