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
    let of_systemd = folder_of("RUNTIME_DIRECTORY");
    of_systemd.map(|folder| folder.join(ADMIN_NAME)).unwrap_or_else(|| admin_elsewhere(state).swap_remove(0))
}

/// Where a keeper that systemd did not start has it, the likeliest first; and last where one has that it did:
/// nobody else sees its `RUNTIME_DIRECTORY`, but the unit we ship calls it so.
fn admin_elsewhere(state: Option<&Path>) -> Vec<PathBuf> {
    let of_user = folder_of("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run"));
    let folders = state.map(Path::to_owned).into_iter().chain([of_user, PathBuf::from("/run/unary")]);
    folders.map(|folder| folder.join(ADMIN_NAME)).collect()
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
