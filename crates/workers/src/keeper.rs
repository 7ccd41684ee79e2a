//! The keeper: a small parent with one thread that alone has privileges. It opens the listening sockets
//! and keeps them, starts the server as an unprivileged child, hands it the sockets, and starts it anew if
//! it dies: whoever connects meanwhile is queued by the kernel, and nobody is refused. It reloads, upgrades
//! and stops the server when it is told to, by signal or at its [`admin`] socket.
//!
//! ```text
//!  signals ─┐                  ┌─ keeping: decides, with no hands and no clock
//!  admin ───┼─▶ run: one loop ─┤
//!  servers ─┘    over poll(2)  └─ hands: sockets, spawn, channel, succession, service manager
//! ```
//!
//! - **Config.** The keeper reads it, and hands its text to the server in memory that does not change. A
//!   reload that anybody refuses leaves all as it was, and a server that dies is started with the text that
//!   was last good, whatever the file says by then.
//! - **Upgrade.** The new server is started from the program on disk now, on the same sockets and the same
//!   config. Once it serves, the one before drains and the keeper becomes the new program itself
//!   (`succession`). If the new one does not come up, nothing changes.
//! - **Privileges.** With `user` set the server is that user's from before its first instruction: no
//!   capabilities, and `no_new_privs`. What it may tell the keeper is in `message`; none of it names
//!   anything that is run.
//! - **Keys.** What the config names of certificates and keys, the keeper opens for a server whose user may
//!   not (`files`).
//! - **Programs.** What the config names besides, servers have run by asking for it (`programs`). A server that needs
//!   nothing else has a keeper of programs alone (`alone`).
//! - **Orphans.** Servers have no `PR_SET_PDEATHSIG`: a signal would cut downloads. They notice that their
//!   channel ends, close their sockets at once, so that the next keeper can have the port, and drain. All
//!   other orphans below are the keeper's to reap (`PR_SET_CHILD_SUBREAPER`).

pub mod admin;
mod alone;
pub(crate) mod channel;
mod files;
mod guest;
mod hands;
mod keeping;
mod message;
mod program;
pub(crate) mod programs;
mod run;
mod signals;
mod sockets;
mod spawn;
mod succession;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use unary_net::{Address, activation};

use crate::program::Programs;

pub use alone::{alone, beside};
pub use files::Files;
pub use guest::{Attendant, Guest, Serving};
pub use keeping::{RELOAD_MAX, SILENCE_MAX, START_MAX};
pub use message::Command;
pub use run::run;
pub use sockets::ADDRESSES_MAX;

/// What a keeper has to know of a config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Where to listen.
    #[serde(with = "as_text")]
    pub listen: Vec<Address>,
    /// How many sockets for each TCP address: one for each event loop.
    pub sockets_each: usize,
    /// Who the server runs as; `None` for whoever the keeper runs as.
    pub user: Option<String>,
    /// Their group; `None` for the user's own.
    pub group: Option<String>,
    /// The folder for what the server keeps: made for its user, if it is not there.
    pub state: Option<PathBuf>,
    /// The path of the admin socket, if there is to be one. It stays for as long as the keeper does.
    pub admin: Option<PathBuf>,
    /// How long a server may take to finish what is running.
    pub drain_deadline: Duration,
    /// Files that the config consists of: a change of one is a reload. None, if nobody wants that.
    pub watch: Vec<PathBuf>,
    /// Files that the server needs though its user may not read them: the keeper opens these for it.
    #[serde(default)]
    pub files: BTreeSet<PathBuf>,
    /// What the server may have run.
    #[serde(default)]
    pub programs: Programs,
}

/// Why a config cannot be had, and the code to end with where nothing runs yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For whoever wrote the config.
    pub why: String,
    /// The exit code.
    pub code: u8,
}

/// The program around the keeper: where its config comes from, and where its words go.
pub trait Front {
    /// Reads the config as it is now: what the keeper has to know of it, and the text for the server.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    fn read(&mut self) -> Result<(Wanted, Vec<u8>), Refusal>;

    /// The server serves, and listens at these addresses, which this one stands for. Told once.
    fn listens(&mut self, asked: &Address, addresses: &[Address]);

    /// Tells whoever reads the diagnostics.
    fn say(&mut self, line: &str);
}

/// Addresses as they are written.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use unary_net::Address;

    pub(super) fn serialize<S: Serializer>(addresses: &[Address], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(addresses.iter().map(Address::to_string))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<Address>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
