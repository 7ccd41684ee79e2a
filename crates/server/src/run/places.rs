//! Where things are that the config does not place.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use unary_net::Address;

use crate::config::{Admin, Server};

/// The admin socket's name, in whatever folder it is.
const ADMIN_NAME: &str = "unary.sock";

/// The folder for what outlives the process, where it is the whole machine's server.
const STATE: &str = "/var/lib/unary";

/// The admin socket of a keeper with this config; `None` if there is to be none. An address of TCP is for
/// the server: the keeper has its socket all the same.
pub(super) fn admin(server: &Server) -> Option<PathBuf> {
    match &server.admin {
        Admin::Off => None,
        Admin::At { address: Address::Unix(path), .. } => Some(path.clone()),
        Admin::At { .. } | Admin::UnlessTold => Some(admin_default(server)),
    }
}

/// The admin socket of a keeper that runs somewhere with this config: the first place that has one.
pub(super) fn find_admin(server: &Server) -> Option<PathBuf> {
    let told = admin(server)?;
    let is_told = matches!(server.admin, Admin::At { address: Address::Unix(_), .. });
    let elsewhere = || admin_elsewhere(server).into_iter().find(|place| place.exists());
    if is_told || told.exists() { Some(told) } else { elsewhere().or(Some(told)) }
}

/// The folder for what outlives the process: as the config says, or systemd; or the machine's, if that is
/// ours to make.
pub(crate) fn state(server: &Server) -> Option<PathBuf> {
    let of_machine = || rustix::process::geteuid().is_root().then(|| PathBuf::from(STATE));
    // A keeper that is root has made it for its server, which is not.
    let is_ours = |folder: std::fs::Metadata| folder.uid() == rustix::process::geteuid().as_raw();
    let made_for_us = || std::fs::metadata(STATE).is_ok_and(is_ours).then(|| PathBuf::from(STATE));
    server.state.clone().or_else(|| folder_of("STATE_DIRECTORY")).or_else(of_machine).or_else(made_for_us)
}

/// In `RUNTIME_DIRECTORY`, which systemd makes; in the state folder; or where this user's sockets are.
fn admin_default(server: &Server) -> PathBuf {
    let of_systemd = folder_of("RUNTIME_DIRECTORY");
    of_systemd.map_or_else(|| admin_elsewhere(server).swap_remove(0), |folder| folder.join(ADMIN_NAME))
}

/// Where a keeper that systemd did not start has it, the likeliest first; and last where one has that it did:
/// nobody else sees its `RUNTIME_DIRECTORY`, but the unit we ship calls it so.
fn admin_elsewhere(server: &Server) -> Vec<PathBuf> {
    let of_user = folder_of("XDG_RUNTIME_DIR").unwrap_or_else(|| PathBuf::from("/run"));
    // A server that is another user owns the state folder, and could answer there in the keeper's place.
    let is_anothers = server.user.is_some() && rustix::process::geteuid().is_root();
    let state = server.state.clone().filter(|_| !is_anothers);
    let folders = state.into_iter().chain([of_user, PathBuf::from("/run/unary")]);
    folders.map(|folder| folder.join(ADMIN_NAME)).collect()
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
