//! What becomes of files, good and bad.

use rcgen::{CertificateParams, KeyPair};
use unary_testkit::TempDir;

use super::*;

fn issue(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[track_caller]
fn check(certificate: &str, key: &str, says: &str) {
    let folder = TempDir::with([("site.pem", certificate), ("site.key", key)]);
    let files = CertificateFiles { certificate: folder.join("site.pem"), key: folder.join("site.key") };
    let said = Certificate::read(&files).unwrap_err().to_string();
    assert!(said.contains(says), "{said}");
}

#[test]
fn says_what_is_wrong_and_in_which_file() {
    let (a, a_key) = issue("a.example");
    let (b, b_key) = issue("b.example");
    check("", &a_key, "site.pem: there is no certificate in it");
    check(&a_key, &a_key, "site.pem: there is no certificate in it");
    check(&a, "", "site.key: there is no key in it");
    check(&a, &b_key, "site.key: the key is of another certificate");
    check(&format!("{a}{b}"), &b_key, "site.key: the key is of certificate 2 of the chain");
    check(&a.replace("MII", "!II"), &a_key, "site.pem: this is no PEM");
    check(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &a_key,
        "site.pem: certificate 1 in it is broken",
    );
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check(&a, locked, "site.key: the key is behind a password");
    check(&a, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "site.key: this key cannot be used");
    check(&a.repeat(17), &a_key, "site.pem: more than 16 certificates");
    check(&"x".repeat(2 << 20), &a_key, "site.pem: a file of more than");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let files = CertificateFiles { certificate: "/nowhere/a.pem".into(), key: "/nowhere/a.key".into() };
    assert!(Certificate::read(&files).unwrap_err().to_string().starts_with("/nowhere/a.pem: No such file"));
}

#[test]
fn knows_its_names_and_its_time() {
    let key = KeyPair::generate().unwrap();
    let names = ["A.example", "*.b.example", "192.0.2.1"].map(String::from);
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let pem = params.self_signed(&key).unwrap().pem();
    let certificate = Certificate::from_pem(pem.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(certificate.names(), ["a.example".into(), "*.b.example".into(), Box::from("192.0.2.1")]);
    for (host, expected) in [("a.example", true), ("x.b.example", true), ("b.example", false), ("x.y.b.example", false)]
    {
        assert_eq!(certificate.is_for(host), expected, "{host}");
    }
    let day = Duration::from_secs(24 * 60 * 60);
    let (from, to) = (certificate.not_before(), certificate.not_after());
    assert_eq!(certificate.validity(from - day), Validity::NotYet);
    assert_eq!(certificate.validity(to - day), Validity::Valid(day));
    assert_eq!(certificate.validity(to + day), Validity::Expired(day));
}

/// The three ways in which PEM holds a key, made by OpenSSL.
#[test]
fn reads_keys_as_they_come() {
    for name in ["pkcs8", "pkcs1", "sec1"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/certificate/keys");
        let files = CertificateFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        Certificate::read(&files).unwrap_or_else(|error| panic!("{error}"));
    }
}
