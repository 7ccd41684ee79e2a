//! `unary trust`: lets this machine's programs trust the certificates that its own `localhost` shows.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::acme::local::LocalCa;
use crate::check::{print, report};
use crate::cli::Trust;
use crate::config::Server;
use crate::diagnostics;
use crate::failure::{Failure, in_words};
use crate::run;

/// Where Debian and what came of it look for CAs that are a machine's own, and who takes them up.
const CERTIFICATES: &str = "/usr/local/share/ca-certificates";
const UPDATE: &str = "update-ca-certificates";

/// What the certificate is called there.
const NAME: &str = "unary-localhost.crt";

/// Installs the certificate of the local CA, or prints it.
pub(crate) fn run(told: &Trust) -> Result<(), Failure> {
    let state = match &told.state {
        Some(state) => state.clone(),
        None => {
            let server = Server::read_alone(&told.config).map_err(report)?;
            let none = "there is no place for the local CA. Say one: --state FOLDER, or `state` in the config";
            run::state(&server).ok_or_else(|| Failure::nonsense(none))?
        }
    };
    let certificate = certificate_in(&state)?;
    if told.print {
        print(&certificate);
        return Ok(());
    }
    let at = install(&certificate, Path::new(CERTIFICATES), UPDATE)?;
    diagnostics::say(format_args!(
        "{} is now trusted by programs of this machine that use the system's list of CAs, as curl does. It is for\n\
         localhost and names that end in .localhost, and for nothing else. Firefox and Chromium have lists of their\n\
         own: import that file there. To take it back: rm {0} && {UPDATE} --fresh",
        at.display()
    ));
    Ok(())
}

/// The certificate of the CA whose state is there. One that is made now belongs to whoever owns the
/// state, as the server may be another user than this one.
fn certificate_in(state: &Path) -> Result<String, Failure> {
    let failed = |cause: io::Error| Failure::failed(format!("{}: {}", state.display(), in_words(cause)));
    let owner = fs::metadata(state).map_err(failed)?;
    let ca = LocalCa::of_state(state).map_err(failed)?;
    let certificate = ca.certificate().map_err(Failure::failed)?;
    for path in ca.files() {
        let is_its = fs::metadata(&path).is_ok_and(|file| (file.uid(), file.gid()) == (owner.uid(), owner.gid()));
        if !is_its {
            chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
        }
    }
    Ok(certificate)
}

/// Puts the certificate into this folder and lets the program take it up. Where it is, then.
fn install(certificate: &str, folder: &Path, program: &str) -> Result<PathBuf, Failure> {
    let at = folder.join(NAME);
    if !folder.is_dir() {
        return Err(Failure::failed(format!(
            "{} is not there: this is not the way this system learns of CAs. Print the certificate with --print, and \
             install it in the system's own way",
            folder.display()
        )));
    }
    let write = || {
        fs::write(&at, certificate)?;
        fs::set_permissions(&at, fs::Permissions::from_mode(0o644))
    };
    write().map_err(|cause| {
        let advice = if cause.kind() == io::ErrorKind::PermissionDenied { ". Run this as root" } else { "" };
        Failure::failed(format!("cannot write {}: {}{advice}", at.display(), in_words(cause)))
    })?;
    let updated = Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match updated {
        Ok(status) if status.success() => Ok(at),
        Ok(status) => Err(Failure::failed(format!("{program}: {status}"))),
        Err(cause) => Err(Failure::failed(format!("cannot run {program}: {}", in_words(cause)))),
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn the_certificate_is_where_the_system_looks() {
        let temp = TempDir::new();
        let certificate = certificate_in(temp.path()).unwrap();
        let at = install(&certificate, temp.path(), "true").unwrap();
        assert_eq!(fs::read_to_string(&at).unwrap(), certificate);
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----") && !certificate.contains("KEY"));
    }

    #[test]
    fn says_why_it_cannot() {
        let temp = TempDir::new();
        let failed = |folder: &str, program| install("", &temp.join(folder), program).unwrap_err().to_string();
        assert!(failed("none", "true").contains("--print"));
        assert_eq!(failed("", "false"), "false: exit status: 1");
    }
}
