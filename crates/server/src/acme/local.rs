//! A CA of this machine's own, for `localhost` and what is below it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose};
use rcgen::{GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, GeneralSubtree as Subtree};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::disk::{self, RealDisk, There};
use super::folder::{Folder, read};

/// How long its own certificate is valid.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long those are that it issues: no browser takes more than 398 days.
const LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// How far a certificate reaches back, as the clocks of virtual machines differ.
const BEFORE: Duration = Duration::from_secs(24 * 3600);

/// A CA of this machine's own. Its key never leaves the state folder, and its certificate says that it
/// is for `localhost` alone: whoever trusts it trusts it with nothing else.
#[derive(Clone, Debug)]
pub(crate) struct LocalCa {
    /// The certificate and its key.
    path: PathBuf,
}

impl LocalCa {
    pub(super) fn at(folder: &Folder) -> Self {
        Self { path: folder.local_ca() }
    }

    /// The CA of the server whose state is there. Makes the folder, if need be.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written.
    pub(crate) fn of_state(state: &Path) -> io::Result<Self> {
        Ok(Self::at(&Folder::open(state)?))
    }

    /// Its own certificate in PEM, made when it is needed first.
    ///
    /// # Errors
    ///
    /// If it can be neither read nor made, in words.
    pub(crate) fn certificate(&self) -> Result<String, String> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        let both = self.read_or_make()?;
        let at = both.find(BEGIN).ok_or_else(|| format!("{}: there is no certificate in it", self.path.display()))?;
        Ok(both[at..].to_owned())
    }

    /// A certificate for these names, and its key, both in PEM.
    pub(super) fn issue(&self, names: &[Box<str>]) -> Result<(String, String), String> {
        let ca_key = self.read_or_make()?;
        let make = || {
            let issuer = Issuer::new(ca_params()?, KeyPair::from_pem(&ca_key)?);
            let mut params = CertificateParams::new(names.iter().map(|name| name.to_string()).collect::<Vec<_>>())?;
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, &*names[0]);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            params.use_authority_key_identifier_extension = true;
            set_life(&mut params, LIFE);
            let key = KeyPair::generate()?;
            Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
        };
        make().map_err(|cause: rcgen::Error| cause.to_string())
    }

    /// The key and the certificate, as they are on disk.
    fn read_or_make(&self) -> Result<String, String> {
        let named = |cause: io::Error| format!("{}: {cause}", self.path.display());
        if !self.path.exists() {
            let made = make_ca().map_err(|cause| cause.to_string())?;
            match disk::write(&RealDisk, &self.path, made.as_bytes(), There::Stays) {
                Err(there) if there.kind() == io::ErrorKind::AlreadyExists => {}
                written => written.map_err(named)?,
            }
        }
        // Read back, as another process may have been first.
        let both = read(&self.path).map_err(named)?;
        String::from_utf8(both).map_err(|cause| named(io::Error::other(cause)))
    }
}

/// The one certificate in this text, in PEM again and without anything beside it, if it is that of a CA for `localhost`
/// and what is below it, and for no other name or address.
///
/// # Errors
///
/// If it is anything else, in words.
pub(crate) fn for_localhost_alone(text: &str) -> Result<String, String> {
    let is_all = |subtree: &Subtree<'_>, length| matches!(subtree.base, GeneralName::IPAddress(range) if range.len() == length && range.iter().all(|byte| *byte == 0));
    let none = |_| "the local CA's certificate cannot be read".to_owned();
    let blocks = Pem::iter_from_buffer(text.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|_| none(()))?;
    let [block] = blocks.as_slice() else {
        return Err(format!("{} certificates where one CA's should be", blocks.len()));
    };
    let (rest, certificate) = X509Certificate::from_der(&block.contents).map_err(|_| none(()))?;
    let constraints = certificate.name_constraints().map_err(|_| none(()))?.map(|found| found.value);
    let is_narrow = rest.is_empty()
        && constraints.is_some_and(|constraints| {
            let permitted = constraints.permitted_subtrees.as_deref().unwrap_or_default();
            let excluded = constraints.excluded_subtrees.as_deref().unwrap_or_default();
            !permitted.is_empty()
                && permitted.iter().all(|subtree| subtree.base == GeneralName::DNSName("localhost"))
                && [8, 32].into_iter().all(|length| excluded.iter().any(|subtree| is_all(subtree, length)))
        });
    if !is_narrow {
        return Err(
            "the CA in it is for more than localhost, and is not to be trusted. If nobody else put it there, remove \
                    acme/local-ca.pem: another is made"
                .to_owned(),
        );
    }
    let body = STANDARD.encode(&block.contents);
    let lines = body.as_bytes().chunks(64).map(|line| format!("{}\n", String::from_utf8_lossy(line)));
    Ok(format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>()))
}

fn make_ca() -> Result<String, rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok(key.serialize_pem() + &ca_params()?.self_signed(&key)?.pem())
}

fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Unary for localhost");
    let permitted_subtrees = vec![GeneralSubtree::DnsName("localhost".to_owned())];
    // What is permitted of names says nothing of addresses: RFC 5280 §4.2.1.10.
    let excluded_subtrees = vec![
        GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([0; 4], 0)),
        GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix([0; 16], 0)),
    ];
    params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees });
    set_life(&mut params, CA_LIFE);
    Ok(params)
}

fn set_life(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - BEFORE).into(), (now + life).into());
}

#[cfg(test)]
mod tests {
    use unary_net::tls::Certificate;
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn what_is_made_is_for_localhost_alone() {
        let made = make_ca().unwrap();
        let certificate = &made[made.find("-----BEGIN CERT").unwrap()..];
        assert_eq!(for_localhost_alone(certificate).unwrap(), certificate.replace("\r\n", "\n"));
        let refused = |text: &str| for_localhost_alone(text).unwrap_err();
        assert!(refused("").contains("0 certificates"));
        assert!(refused(&certificate.repeat(2)).contains("2 certificates"));
    }

    #[test]
    fn is_made_once_and_issues_what_is_asked_for() {
        let temp = TempDir::new();
        let ca = LocalCa::of_state(temp.path()).unwrap();
        let first = ca.certificate().unwrap();
        assert_eq!(LocalCa::of_state(temp.path()).unwrap().certificate().unwrap(), first);
        let names = ["localhost".into(), "*.localhost".into()];
        let (chain, key) = ca.issue(&names).unwrap();
        let certificate = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(certificate.names(), names);
        assert_eq!(certificate.issuer(), "CN=Unary for localhost");
    }
}
