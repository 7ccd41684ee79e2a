//! `unary trust`: lets this machine's programs trust the certificates that its own `localhost` shows.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::acme::local::{LocalCa, for_localhost_alone};
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

/// The certificate of the CA whose state is there. The folder may be that of a server with fewer rights than this
/// process, which could lead it astray with links: what is done in there is done as whoever owns it. What they put there
/// is taken for nothing but what a CA for `localhost` is.
fn certificate_in(state: &Path) -> Result<String, Failure> {
    let failed = |why: String| Failure::failed(format!("{}: {why}", state.display()));
    let owner = Owner::of(state).map_err(|cause| failed(in_words(cause)))?;
    let read = || LocalCa::of_state(state).map_err(in_words)?.certificate();
    let certificate = owner.does(read).map_err(|cause| failed(in_words(cause)))?.map_err(failed)?;
    for_localhost_alone(&certificate).map_err(failed)
}

/// Whose something is.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Whose the state is: the server's, even if it only owns what is inside.
    fn of(state: &Path) -> io::Result<Self> {
        let about = fs::metadata(state)?;
        let inside = fs::symlink_metadata(state.join("acme")).ok().filter(|_| about.uid() == 0);
        let about = inside.unwrap_or(about);
        Ok(Self { uid: about.uid(), gid: about.gid() })
    }

    /// Does this as them, if that is less than this process may: on a thread, which alone becomes them.
    fn does<T: Send>(self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.uid == 0 || !geteuid().is_root() {
            return Ok(work());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let as_them = move || {
            // Groups first: afterwards we may no longer.
            set_thread_groups(&[gid])?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(as_them).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
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
    use std::os::unix::fs::{chown, lchown, symlink};

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
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

    /// A folder of somebody who is not root; `None` where nobody can be made its owner.
    fn state_of_nobody() -> Option<TempDir> {
        let temp = TempDir::new();
        temp.folder("state");
        fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        chown(temp.join("state"), Some(65_534), Some(65_534)).ok().map(|()| temp)
    }

    #[test]
    fn what_is_made_in_the_state_is_its_owners() {
        let Some(temp) = state_of_nobody() else { return };
        certificate_in(&temp.join("state")).unwrap();
        for path in ["acme", "acme/sites", "acme/local-ca.pem"] {
            assert_eq!(fs::metadata(temp.join("state").join(path)).unwrap().uid(), 65_534, "{path}");
        }
    }

    #[test]
    fn links_in_the_state_lead_nowhere() {
        let Some(temp) = state_of_nobody() else { return };
        temp.folder("roots");
        let roots = temp.join("roots");
        fs::set_permissions(&roots, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(&roots, temp.join("state/acme")).unwrap();
        lchown(temp.join("state/acme"), Some(65_534), Some(65_534)).unwrap();
        assert!(certificate_in(&temp.join("state")).unwrap_err().to_string().contains("ermission denied"));
        fs::remove_file(temp.join("state/acme")).unwrap();
        certificate_in(&temp.join("state")).unwrap();
        fs::remove_dir(temp.join("state/acme/sites")).unwrap();
        symlink(&roots, temp.join("state/acme/sites")).unwrap();
        certificate_in(&temp.join("state")).unwrap();
        assert_eq!(fs::metadata(&roots).unwrap().uid(), 0);
        assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
    }

    #[test]
    fn a_ca_for_more_than_localhost_is_not_shown() {
        let temp = TempDir::new();
        certificate_in(temp.path()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let other = params.self_signed(&key).unwrap().pem();
        fs::write(temp.join("acme/local-ca.pem"), other).unwrap();
        let refused = certificate_in(temp.path()).unwrap_err().to_string();
        assert!(refused.contains("for more than localhost"), "{refused}");
    }

    #[test]
    fn says_why_it_cannot() {
        let temp = TempDir::new();
        let failed = |folder: &str, program| install("", &temp.join(folder), program).unwrap_err().to_string();
        assert!(failed("none", "true").contains("--print"));
        assert_eq!(failed("", "false"), "false: exit status: 1");
    }
}
