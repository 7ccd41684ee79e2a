//! Saying that we are there: to a person, to a program that waits for a line, and to systemd.

mod screen;
mod systemd;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use unary_net::Address;

use crate::diagnostics;

/// What is said once the sockets listen.
pub(super) struct Readiness {
    served: PathBuf,
}

impl Readiness {
    /// For what is served under this path.
    pub(super) fn of(served: &Path) -> Self {
        Self { served: served.to_owned() }
    }

    /// Says that these addresses listen.
    pub(super) fn say(&self, addresses: &[Address]) {
        if io::stderr().is_terminal() {
            let colour = diagnostics::has_colour(&io::stderr());
            diagnostics::say(format_args!("{}", screen::draw(&self.served, addresses, colour)));
        } else {
            for address in addresses {
                diagnostics::say(format_args!("listening on {}", url(address)));
            }
        }
        systemd::notify("READY=1");
    }
}

/// An address as part of a readiness line: the same for every reader, so that programs can read it.
fn url(address: &Address) -> String {
    match address {
        Address::Tcp { .. } => format!("http://{address}"),
        Address::Unix(_) => address.to_string(),
    }
}
