//! What the keeper sees of the program around it: the config file, and where words go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

use unary_net::Address;
use unary_workers::keeper::{Front, Refusal, Wanted};

use super::background::aside;
use super::{places, programs};
use crate::config::{Colour, Config, Kept, Refused, Tls};
use crate::diagnostics;
use crate::failure::Failure;

/// A config file, read anew whenever that is asked for.
pub(super) struct ConfigFile {
    source: Source,
    /// Where browsers come by TLS, as of the config read last.
    tls: Vec<Address>,
}

enum Source {
    File(PathBuf),
    Text(String),
}

impl ConfigFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { source: Source::File(path.to_owned()), tls: Vec::new() }
    }

    /// One that is in no file, and stays as it is.
    pub(super) fn written(text: String) -> Self {
        Self { source: Source::Text(text), tls: Vec::new() }
    }
}

/// How many event loops the config wants.
pub(super) fn threads(config: &Config) -> usize {
    let told = config.server.threads.and_then(|threads| usize::try_from(threads).ok());
    told.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// The certificates, keys and CAs that the config names.
fn files_of(config: &Config) -> BTreeSet<PathBuf> {
    let files = config.sites.iter().flat_map(|site| match &site.tls {
        Tls::Off => [None, None, None],
        Tls::Auto { terms, .. } => [None, None, terms.client_ca.clone()],
        Tls::Files { cert, key, terms, .. } => [Some(cert.clone()), Some(key.clone()), terms.client_ca.clone()],
    });
    files.flatten().collect()
}

/// All that is wrong with a config, in words that go anywhere.
pub(super) fn in_words(refused: Refused) -> Refusal {
    let report = refused.report(Colour::Off);
    let failure = Failure::from(refused);
    Refusal { why: format!("{report}{failure}"), code: failure.number() }
}

impl Front for ConfigFile {
    fn read(&mut self) -> Result<(Wanted, Vec<u8>), Refusal> {
        let (config, kept) = aside(|| match &self.source {
            Source::File(path) => Kept::read(path),
            Source::Text(text) => Kept::written(text.clone()),
        })
        .map_err(in_words)?;
        let server = &config.server;
        let with_tls = server.listen.iter().filter(|listen| listen.tls);
        self.tls = with_tls.map(|listen| listen.address.clone()).collect();
        let wanted = Wanted {
            listen: server.listen.iter().map(|listen| listen.address.clone()).collect(),
            sockets_each: threads(&config),
            user: server.user.as_ref().map(|user| user.name.to_string()),
            group: server.user.as_ref().and_then(|user| Some(user.group.as_ref()?.to_string())),
            state: places::state(server),
            admin: places::admin(server),
            drain_deadline: server.drain.timeout,
            watch: if server.watch {
                config.files.iter().chain(&config.folders).cloned().collect()
            } else {
                Vec::new()
            },
            files: files_of(&config),
            programs: programs::of(&config).map_err(|why| Refusal { why, code: 1 })?,
        };
        Ok((wanted, kept.to_bytes()))
    }

    fn listens(&mut self, asked: &Address, addresses: &[Address]) {
        let scheme = if self.tls.contains(asked) { "https" } else { "http" };
        for address in addresses {
            match address {
                Address::Tcp { .. } => diagnostics::say(format_args!("listening on {scheme}://{address}")),
                Address::Unix(_) => diagnostics::say(format_args!("listening on {address}")),
            }
        }
    }

    fn say(&mut self, line: &str) {
        diagnostics::say(format_args!("{line}"));
    }
}

#[cfg(test)]
mod tests {
    use unary_testkit::TempDir;

    use super::*;

    #[test]
    fn where_imports_look_for_files_is_watched_too() {
        let site = "site \"a\" { tls off; route { respond } }";
        let check = |config: &str, expected: &[&str]| {
            let folder = TempDir::with([("unary.kdl", config), ("sites/a.kdl", site), ("more/x/b.kdl", "")]);
            let (wanted, _) = ConfigFile::at(&folder.join("unary.kdl")).read().map_err(|refusal| refusal.why).unwrap();
            assert_eq!(wanted.watch, expected.iter().map(|path| folder.join(path)).collect::<Vec<_>>());
        };
        let watch = "server { watch; admin \"off\" }\nimport";
        check(&format!("{watch} \"sites/a.kdl\""), &["unary.kdl", "sites/a.kdl"]);
        check(&format!("{watch} \"sites/*.kdl\""), &["unary.kdl", "sites/a.kdl", "sites"]);
        let all = ["unary.kdl", "sites/a.kdl", "more", "more/x", "none", "sites"];
        check(&format!("{watch} \"more/*/c*.kdl\" \"none/*.kdl\" \"sites/*\""), &all);
        check("import \"sites/*\"\nserver { admin \"off\" }", &[]);
    }
}
