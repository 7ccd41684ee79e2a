//! Starting a server process: the same program, with its channel as standard input.
//!
//! Without another user to become, this is a vfork-style spawn. With one, the standard library forks, which
//! costs next to nothing here: the keeper is small.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::channel::Channel;
use super::keeping::Pid;
use super::{activation, succession};
use crate::service_manager;
use crate::user::User;

/// Starts it. It is in a process group of its own, so that Ctrl-C on a terminal is the keeper's to handle.
pub(super) fn spawn(
    program: &Path,
    arguments: &[OsString],
    channel: Channel,
    user: Option<&User>,
) -> Result<Pid, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::from(channel.into_descriptor())).process_group(0);
    for variable in activation::VARIABLES.into_iter().chain(service_manager::VARIABLES).chain([succession::VARIABLE]) {
        command.env_remove(variable);
    }
    if let Some(user) = user {
        // SAFETY: what it runs between fork and exec makes system calls only: no memory is taken, and no
        // lock, which another thread could hold (there is none).
        unsafe { command.pre_exec(user.becoming()) };
    }
    let spawned = command.spawn().and_then(|child| Pid::try_from(child.id()).map_err(io::Error::other));
    spawned.map_err(|error| {
        let program = program.display();
        let advice = match (error.kind(), user) {
            (io::ErrorKind::PermissionDenied, Some(_)) => {
                ". Its user has to be allowed to run that file, and to enter all folders above it"
            }
            _ => "",
        };
        format!("cannot start a server ({program}): {error}{advice}")
    })
}
