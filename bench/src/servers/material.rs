//! What is served, and the certificate it is served with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::CertifiedKey;

use super::GREETING;

/// Files by name and size; `hello.txt` is what the tiny reply says.
const FILES: [(&str, usize); 3] = [("1k.html", 1 << 10), ("100k.bin", 100 << 10), ("10m.bin", 10 << 20)];

/// What is on disk for servers to use.
pub(crate) struct Material {
    /// The folder that is served.
    pub(crate) site: PathBuf,
    /// A folder with a PHP program, which says what the tiny reply says.
    pub(crate) php: PathBuf,
    /// A certificate for `localhost`, signed by itself, with a key on P-256.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Material {
    pub(super) fn write(folder: &Path) -> std::io::Result<Material> {
        let material = Material {
            site: folder.join("site"),
            php: folder.join("php"),
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
        };
        fs::create_dir_all(&material.site)?;
        fs::create_dir_all(&material.php)?;
        fs::write(
            material.php.join("index.php"),
            format!("<?php header('Content-Length: {}'); echo '{GREETING}';", GREETING.len()),
        )?;
        for (name, bytes) in FILES {
            fs::write(material.site.join(name), b"0123456789abcdef".repeat(bytes / 16))?;
        }
        fs::write(material.site.join("hello.txt"), GREETING)?;
        // Started by root, nginx reads files as somebody else.
        for folder in [folder, &material.site, &material.php] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let CertifiedKey { cert, signing_key } = made.map_err(std::io::Error::other)?;
        fs::write(&material.certificate, cert.pem())?;
        fs::write(&material.key, signing_key.serialize_pem())?;
        fs::set_permissions(&material.key, fs::Permissions::from_mode(0o600))?;
        Ok(material)
    }
}
