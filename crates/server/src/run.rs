//! `unary run`: what a config says, by a server that a keeper looks after; and the commands that talk to
//! that keeper.

mod brief;
mod command;
mod front;
mod server_process;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use unary_workers::keeper::{self, Refusal};

use crate::cli::Run;
use crate::diagnostics;
use crate::failure::Failure;
pub(crate) use command::tell;
use front::ConfigFile;
pub(crate) use server_process::serve;

/// The word that makes this program the server of a keeper: for keepers, not for people.
pub(crate) const SERVER_PROCESS: &str = "server-process";

/// The config, where nobody names another.
pub(crate) const CONFIG_DEFAULT: &str = "unary.kdl";

/// The admin socket's name, in whatever folder it is.
const ADMIN_NAME: &str = "unary.sock";

/// Keeps a server until it is told to stop.
pub(crate) fn run(told: &Run) -> Result<(), Failure> {
    diagnostics::start();
    let front = ConfigFile::at(&told.config);
    keeper::run(front, vec![OsString::from(SERVER_PROCESS)]).map_err(|Refusal { why, code }| Failure::with(why, code))
}

/// Where the admin socket is if the config does not say: in `RUNTIME_DIRECTORY`, which systemd makes; in the
/// state folder; or where this user's sockets are.
fn admin_default(state: Option<&Path>) -> PathBuf {
    let of_systemd = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    let of_user = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let folder = of_systemd.or_else(|| state.map(Path::to_owned)).or_else(of_user);
    folder.unwrap_or_else(|| PathBuf::from("/run")).join(ADMIN_NAME)
}
