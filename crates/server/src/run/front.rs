//! What the keeper sees of the program around it: the config file, and where words go.

use std::fs;
use std::path::{Path, PathBuf};

use unary_net::Address;
use unary_workers::keeper::{Front, Refusal, Wanted};

use super::admin_default;
use super::brief::Brief;
use crate::diagnostics;
use crate::failure::{NONSENSE, in_words};

/// A config file, read anew whenever that is asked for.
pub(super) struct ConfigFile(PathBuf);

impl ConfigFile {
    pub(super) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What it says now, and its text.
    pub(super) fn brief(&self) -> Result<(Brief, String), Refusal> {
        let nonsense = |why| Refusal { why, code: NONSENSE };
        let shown = self.0.display();
        let text = fs::read_to_string(&self.0);
        let text = text.map_err(|cause| nonsense(format!("cannot read the config {shown}: {}", in_words(cause))))?;
        let brief = Brief::read(&self.0, &text).map_err(nonsense)?;
        Ok((brief, text))
    }
}

impl Front for ConfigFile {
    fn read(&mut self) -> Result<(Wanted, Vec<u8>), Refusal> {
        let (brief, text) = self.brief()?;
        let Brief { listen, threads, user, state, admin, drain_deadline, watch, .. } = brief;
        let admin = admin.unwrap_or_else(|| admin_default(state.as_deref()));
        let wanted = Wanted { listen, sockets_each: threads, user, state, admin, drain_deadline, watch };
        Ok((wanted, format!("{}\n{text}", self.0.display()).into_bytes()))
    }

    fn listens(&mut self, addresses: &[Address]) {
        for address in addresses {
            match address {
                Address::Tcp { .. } => diagnostics::say(format_args!("listening on http://{address}")),
                Address::Unix(_) => diagnostics::say(format_args!("listening on {address}")),
            }
        }
    }

    fn say(&mut self, line: &str) {
        diagnostics::say(format_args!("{line}"));
    }
}
