//! Showing a CA that a name is ours, and taking it back.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use instant_acme::{AuthorizationState, ChallengeHandle, ChallengeType};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use unary_net::tls::{Certificate, Certificates};

use super::answers::Answers;
use super::settings::{AcmeSettings, Challenge, Dns, Way};
use super::trouble::Trouble;
use super::update::Change;

/// How long the program may take that changes the DNS.
const PROGRAM_TIME_MAX: Duration = Duration::from_secs(120);

/// How much of what it complains about is said.
const COMPLAINT_BYTES_MAX: u64 = 2048;

/// Where proofs are shown.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) answers: Answers,
    pub(super) certificates: Certificates,
}

/// A proof that is shown; to be taken back with [`hide`](Self::hide). Dropping it takes back all but a
/// record in the DNS.
pub(super) struct Shown {
    stage: Stage,
    what: What,
}

enum What {
    Answer { token: String },
    Certificate { name: String },
    Record { record: String, value: String },
}

/// How the CA is to look whether the name of this authorization is ours: of those that both offer, the
/// first choice; after failures, the next one.
pub(super) fn choose(
    authorization: &AuthorizationState,
    settings: &AcmeSettings,
    failures: u32,
) -> Result<Challenge, Trouble> {
    let is_offered = |choice: &&Challenge| {
        let of_ca = authorization.challenges.iter().any(|challenge| challenge.r#type == choice.name());
        of_ca && (**choice != Challenge::Dns || settings.dns.is_some())
    };
    let both: Vec<Challenge> = settings.challenges.iter().filter(is_offered).copied().collect();
    match both.len() {
        0 => {
            let name = authorization.identifier().to_string();
            let cause = match authorization.wildcard {
                true => "a wildcard needs the dns challenge, and there is no way into the DNS",
                false => "the CA offers no challenge that the config allows",
            };
            Err(Trouble::new(format!("proving that {name} is ours"), cause))
        }
        length => Ok(both[failures as usize % length]),
    }
}

impl Challenge {
    pub(super) fn name(self) -> ChallengeType {
        match self {
            Self::Http => ChallengeType::Http01,
            Self::TlsAlpn => ChallengeType::TlsAlpn01,
            Self::Dns => ChallengeType::Dns01,
        }
    }
}

impl Stage {
    /// Shows the proof that this challenge asks for.
    pub(super) async fn show(&self, challenge: &ChallengeHandle<'_>, dns: Option<&Dns>) -> Result<Shown, Trouble> {
        // Of a wildcard, what is below it; the CA asks there (RFC 8555 §7.1.3).
        let name = challenge.identifier().to_string();
        let name = name.strip_prefix("*.").unwrap_or(&name).to_owned();
        let failed = |cause: String| Trouble::new(format!("proving that {name} is ours"), cause);
        let proof = challenge.key_authorization();
        match (&challenge.r#type, dns) {
            (ChallengeType::Http01, _) => {
                let token = challenge.token.clone();
                self.answers.show(&token, proof.as_str()).map_err(|error| failed(error.to_string()))?;
                Ok(self.shown(What::Answer { token }))
            }
            (ChallengeType::TlsAlpn01, _) => {
                let certificate = certificate_of(&name, proof.digest().as_ref()).map_err(failed)?;
                let shown = self.certificates.show_challenge(&name, &certificate);
                shown.map_err(|error| failed(error.to_string()))?;
                Ok(self.shown(What::Certificate { name }))
            }
            (ChallengeType::Dns01, Some(dns)) => {
                let (record, value) = (format!("_acme-challenge.{name}"), proof.dns_value());
                dns.change(Change::Set, &record, &value).await.map_err(failed)?;
                Ok(self.shown(What::Record { record, value }))
            }
            _ => Err(failed("this kind of challenge is not met".to_owned())),
        }
    }

    fn shown(&self, what: What) -> Shown {
        Shown { stage: self.clone(), what }
    }
}

impl Shown {
    /// Takes it back.
    pub(super) async fn hide(self, dns: Option<&Dns>) {
        if let (What::Record { record, value }, Some(dns)) = (&self.what, dns)
            && let Err(cause) = dns.change(Change::Unset, record, value).await
        {
            tracing::warn!(%record, %cause, "a record of a challenge is left in the DNS");
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        match &self.what {
            What::Answer { token } => self.stage.answers.hide(token),
            What::Certificate { name } => self.stage.certificates.hide_challenge(name),
            What::Record { .. } => {}
        }
    }
}

/// The certificate by which a CA sees that whoever holds the account holds the name (RFC 8737 §3).
fn certificate_of(name: &str, digest: &[u8]) -> Result<Certificate, String> {
    let make = || {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let key = KeyPair::generate()?;
        Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
    };
    let (certificate, key) = make().map_err(|cause: rcgen::Error| cause.to_string())?;
    Certificate::from_pem(certificate.as_bytes(), key.as_bytes()).map_err(|error| error.to_string())
}

impl Dns {
    async fn change(&self, change: Change, record: &str, value: &str) -> Result<(), String> {
        match &self.way {
            Way::Program { program, arguments } => call(program, arguments, change, record, value).await,
            Way::Server(server) => server.change(change, record, value).await,
        }
    }
}

/// Calls the program that changes the DNS.
async fn call(program: &Path, arguments: &[Box<str>], change: Change, record: &str, value: &str) -> Result<(), String> {
    let verb = match change {
        Change::Set => "set",
        Change::Unset => "unset",
    };
    let shown = program.display();
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| &**argument)).args([verb, record, value]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|cause| format!("{shown}: {cause}"))?;
    let stderr = child.stderr.take();
    let run = async {
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr {
            let mut stderr = stderr.take(COMPLAINT_BYTES_MAX);
            let _ = stderr.read_to_end(&mut complaint).await;
            // What goes beyond is read all the same, lest the program wait for a reader.
            let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
        }
        (child.wait().await, complaint)
    };
    match tokio::time::timeout(PROGRAM_TIME_MAX, run).await {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(status), complaint)) => {
            Err(format!("{shown} {verb}: {status}: {}", String::from_utf8_lossy(&complaint).trim()))
        }
        Ok((Err(cause), _)) => Err(format!("{shown} {verb}: {cause}")),
        Err(_) => Err(format!("{shown} {verb}: it took more than {} s", PROGRAM_TIME_MAX.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    async fn call(script: &str) -> (Result<(), String>, String) {
        let folder = TempDir::with([("dns.sh", script)]);
        let said = folder.join("said");
        // By the shell: what was just written may still be open for writing in a child of another thread.
        let arguments = [folder.join("dns.sh"), said.clone()].map(|path| path.to_str().unwrap().into());
        let way = Way::Program { program: "/bin/sh".into(), arguments: arguments.into() };
        let dns = Dns { way, wait: Duration::ZERO };
        let called = dns.change(Change::Set, "_acme-challenge.a.example", "value").await;
        (called, std::fs::read_to_string(said).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_program_is_told_what_to_do() {
        let (called, said) = call("file=$1; shift; echo \"$@\" > \"$file\"\n").await;
        called.unwrap();
        assert_eq!(said, "set _acme-challenge.a.example value\n");
    }

    #[tokio::test]
    async fn a_program_that_fails_is_heard() {
        let (called, _) = call("echo no such zone >&2; exit 3\n").await;
        let why = called.unwrap_err();
        assert!(why.contains("exit status: 3: no such zone"), "{why}");
    }

    #[test]
    fn a_challenge_has_a_certificate_of_its_own() {
        let certificate = certificate_of("a.example", &[7; 32]).unwrap();
        assert_eq!(certificate.names(), [Box::from("a.example")]);
    }
}
