//! One certificate with its key, read and checked.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::files::Opener;
use super::terms::provider;

/// The largest file that is read: the certificates of all CAs a system trusts are a quarter of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Certificates in one chain. Public ones have two or three.
const CHAIN_MAX: usize = 16;

/// Where a certificate and its key are on disk, both in PEM: the certificate first, then those that
/// lead to its CA; the key in PKCS #8, PKCS #1 or SEC 1. Both may be the same file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The certificate's.
    pub certificate: PathBuf,
    /// The key's.
    pub key: PathBuf,
}

/// What tells one state of both files from another; nothing of a file that is not there.
pub(super) type Stamps = [Option<[i64; 6]>; 2];

impl CertificateFiles {
    /// As the files are now. This blocks.
    pub(super) fn stamps(&self, opener: &Opener) -> Stamps {
        [stamp(&self.certificate, opener), stamp(&self.key, opener)]
    }
}

fn stamp(path: &Path, opener: &Opener) -> Option<[i64; 6]> {
    let meta = opener.metadata(path).ok()?;
    let (inode, length) = (meta.ino().cast_signed(), meta.size().cast_signed());
    Some([inode, length, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
}

/// A certificate with the key that belongs to it.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    issuer: Box<str>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Whether a certificate may be used at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It will be valid.
    NotYet,
    /// It is, for so long still.
    Valid(Duration),
    /// It was, until so long ago.
    Expired(Duration),
}

/// Why there is no certificate.
#[derive(Debug)]
pub struct CertificateError {
    file: Option<PathBuf>,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Unreadable(io::Error),
    TooLarge,
    BadPem(String),
    NoCertificate,
    TooManyCertificates,
    BadCertificate(usize),
    NoKey,
    EncryptedKey,
    BadKey(String),
    OtherKey(Option<usize>),
}

impl Certificate {
    /// Reads both files. This blocks.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or holds nothing of the kind, or if the key is of another certificate.
    pub fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        Self::read_by(files, &Opener::default())
    }

    pub(super) fn read_by(files: &CertificateFiles, opener: &Opener) -> Result<Self, CertificateError> {
        let chain = read(&files.certificate, opener)?;
        let chain = read_chain(&chain).map_err(|problem| problem.of(&files.certificate))?;
        let key = read(&files.key, opener)?;
        let key = read_key(&key).map_err(|problem| problem.of(&files.key))?;
        Self::join(chain, key).map_err(|problem| match problem {
            Problem::BadCertificate(_) => problem.of(&files.certificate),
            problem => problem.of(&files.key),
        })
    }

    /// The same of what would be in the files.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let join = || Self::join(read_chain(chain)?, read_key(key)?);
        join().map_err(|problem| CertificateError { file: None, problem })
    }

    fn join(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Problem> {
        for (at, certificate) in chain.iter().enumerate() {
            X509Certificate::from_der(certificate).map_err(|_| Problem::BadCertificate(at + 1))?;
        }
        let key = provider().key_provider.load_private_key(key).map_err(|cause| Problem::BadKey(cause.to_string()))?;
        let is_of = |certificate: &CertificateDer<'static>| {
            !matches!(
                CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match(),
                Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch))
            )
        };
        if !is_of(&chain[0]) {
            return Err(Problem::OtherKey(chain.iter().position(is_of).map(|at| at + 1)));
        }
        let (_, first) = X509Certificate::from_der(&chain[0]).map_err(|_| Problem::BadCertificate(1))?;
        let (names, issuer) = (names(&first), first.issuer().to_string().into());
        let not_before = time(first.validity().not_before.timestamp());
        let not_after = time(first.validity().not_after.timestamp());
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key)), names, issuer, not_before, not_after })
    }

    /// The host names and addresses it is for.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Who issued it, as in `CN=R10, O=Let's Encrypt, C=US`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// When it begins to be valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When it is valid for the last time.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether it may be used at this time.
    pub fn validity(&self, now: SystemTime) -> Validity {
        match (now < self.not_before, self.not_after.duration_since(now)) {
            (true, _) => Validity::NotYet,
            (false, Ok(left)) => Validity::Valid(left),
            (false, Err(over)) => Validity::Expired(over.duration()),
        }
    }

    /// The certificate itself, without those that lead to its CA, in DER.
    pub fn der(&self) -> &[u8] {
        &self.key.cert[0]
    }

    /// Whether it is for this host, in lower case: by its name, or by a `*.` in place of its first
    /// label (RFC 9525 §6.3).
    pub fn is_for(&self, host: &str) -> bool {
        let above = host.split_once('.').map(|(_, above)| above);
        let covers = |name: &str| name == host || name.strip_prefix("*.").is_some_and(|rest| above == Some(rest));
        self.names.iter().any(|name| covers(name))
    }
}

/// The certificates of CAs that are trusted, in PEM.
///
/// # Errors
///
/// If there are none, or one that is broken.
pub(super) fn roots_of(pem: &[u8]) -> Result<rustls::RootCertStore, CertificateError> {
    let mut roots = rustls::RootCertStore::empty();
    let mut add = |(at, certificate): (usize, Result<_, _>)| {
        let certificate: CertificateDer<'static> = certificate.map_err(bad_pem)?;
        roots.add(certificate).map_err(|_| Problem::BadCertificate(at + 1))
    };
    let read = CertificateDer::pem_slice_iter(pem).enumerate().try_for_each(&mut add);
    let read = if roots.is_empty() { read.and(Err(Problem::NoCertificate)) } else { read };
    read.map(|()| roots).map_err(|problem| CertificateError { file: None, problem })
}

/// A whole file. This blocks.
pub(super) fn read(path: &Path, opener: &Opener) -> Result<Vec<u8>, CertificateError> {
    let read = || {
        let mut bytes = Vec::new();
        opener.open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|cause| Problem::Unreadable(cause).of(path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(Problem::TooLarge.of(path)) } else { Ok(bytes) }
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain = CertificateDer::pem_slice_iter(pem).take(CHAIN_MAX + 1).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(bad_pem)?;
    match chain.len() {
        0 => Err(Problem::NoCertificate),
        1..=CHAIN_MAX => Ok(chain),
        _ => Err(Problem::TooManyCertificates),
    }
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    use rustls::pki_types::pem::Error;
    const ENCRYPTED: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let is_encrypted = || {
        pem.split(|&byte| byte == b'\n')
            .any(|line| line.starts_with(ENCRYPTED) || line.starts_with(b"Proc-Type: 4,ENC"))
    };
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted() => Err(Problem::EncryptedKey),
        Err(Error::NoItemsFound) => Err(Problem::NoKey),
        Err(error) => Err(bad_pem(error)),
    }
}

fn bad_pem(error: rustls::pki_types::pem::Error) -> Problem {
    Problem::BadPem(error.to_string())
}

fn names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            let v6 = || <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
            v4.or_else(|_| v6()).ok().map(Into::into)
        }
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// Times before 1970 are 1970; times that cannot be told are far away.
fn time(seconds: i64) -> SystemTime {
    /// The end of the year 9999, which says that there is no end (RFC 5280 §4.1.2.5).
    const NEVER: u64 = 253_402_300_799;
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(NEVER));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

impl CertificateError {
    /// The same of a file.
    pub(super) fn of(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

impl Problem {
    fn of(self, file: &Path) -> CertificateError {
        CertificateError { file: Some(file.to_owned()), problem: self }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match &self.problem {
            Problem::Unreadable(cause) => write!(f, "{cause}"),
            Problem::TooLarge => write!(f, "a file of more than {FILE_BYTES_MAX} bytes is not read"),
            Problem::BadPem(cause) => write!(f, "this is no PEM: {cause}"),
            Problem::NoCertificate => {
                write!(f, "there is no certificate in it. Its first line is -----BEGIN CERTIFICATE-----")
            }
            Problem::TooManyCertificates => write!(f, "more than {CHAIN_MAX} certificates are no chain"),
            Problem::BadCertificate(at) => write!(f, "certificate {at} in it is broken"),
            Problem::NoKey => write!(f, "there is no key in it. Its first line is -----BEGIN PRIVATE KEY-----"),
            Problem::EncryptedKey => {
                write!(f, "the key is behind a password. Take that away: openssl pkey -in FILE -out FILE")
            }
            Problem::BadKey(cause) => write!(f, "this key cannot be used: {cause}"),
            Problem::OtherKey(None) => write!(f, "the key is of another certificate"),
            Problem::OtherKey(Some(at)) => {
                write!(f, "the key is of certificate {at} of the chain. Move that to its beginning")
            }
        }
    }
}

impl std::error::Error for CertificateError {}

#[cfg(test)]
mod tests;
