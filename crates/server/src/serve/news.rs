//! Saying that we are there, and that we are about to go: to a person, to a program that waits for a
//! line, and to systemd.

mod screen;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use unary_net::Address;
use unary_web::filter::access_log::UnderWay;
use unary_workers::service_manager;

use crate::diagnostics;

/// What is said as the server comes and goes.
pub(super) struct News {
    served: PathBuf,
    under_way: Option<UnderWay>,
}

impl News {
    /// Of what is served under this path.
    pub(super) fn of(served: &Path) -> Self {
        Self { served: served.to_owned(), under_way: None }
    }

    /// The same, with the number of requests that are under way.
    pub(super) fn counting(self, under_way: UnderWay) -> Self {
        Self { under_way: Some(under_way), ..self }
    }

    /// Says that these addresses listen.
    pub(super) fn ready(&self, addresses: &[Address]) {
        if io::stderr().is_terminal() {
            let colour = diagnostics::has_colour(&io::stderr());
            diagnostics::say(format_args!("{}", screen::draw(&self.served, addresses, colour)));
        } else {
            for address in addresses {
                diagnostics::say(format_args!("listening on {}", url(address)));
            }
        }
        service_manager::notify("READY=1");
    }

    /// Says that we stop as soon as all requests are answered.
    pub(super) fn stopping(&self) {
        service_manager::notify("STOPPING=1");
        if !io::stderr().is_terminal() {
            return;
        }
        match self.under_way.as_ref().map(UnderWay::count) {
            Some(0) | None => diagnostics::say(format_args!("\nStopping. Ctrl-C again stops at once.")),
            Some(count) => {
                let requests = if count == 1 { "1 request".to_owned() } else { format!("{count} requests") };
                diagnostics::say(format_args!("\nStopping: finishing {requests}. Ctrl-C again stops at once."));
            }
        }
    }
}

/// An address as part of a readiness line: the same for every reader, so that programs can read it.
fn url(address: &Address) -> String {
    match address {
        Address::Tcp { .. } => format!("http://{address}"),
        Address::Unix(_) => address.to_string(),
    }
}
