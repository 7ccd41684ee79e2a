//! `unary reload`, `upgrade`, `stop`: asking the keeper that runs.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use unary_net::Address;
use unary_workers::keeper::{Command, RELOAD_MAX, START_MAX, admin};

use super::front::in_words;
use super::{failure, places};
use crate::cli::Keeper;
use crate::config::{Config, Server};
use crate::diagnostics;
use crate::failure::{FAILED, Failure, in_words as cause_in_words};

/// How long an answer may take: what takes the keeper longest is to wait for connections that drain, then
/// for a server that starts, then for one that reloads.
const ANSWER_MAX: Duration = RELOAD_MAX.saturating_add(START_MAX).saturating_mul(2);

/// Asks, waits for the answer, and says it.
pub(crate) fn tell(command: Command, keeper: &Keeper) -> Result<(), Failure> {
    let path = admin_path(keeper, Some(command))?;
    let shown = path.display();
    match admin::ask(&path, command, ANSWER_MAX) {
        Ok(Ok(note)) => {
            if !note.is_empty() {
                diagnostics::say(format_args!("{note}"));
            }
            Ok(())
        }
        Ok(Err(why)) => Err(failure(&why, FAILED)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(Failure::failed(format!("no keeper listens at {shown}. Is `unary run` running, with this config?")))
        }
        Err(cause) => Err(Failure::failed(format!("asking the keeper at {shown}: {}", cause_in_words(cause)))),
    }
}

/// Where the keeper listens, for whoever has a command for it or only asks: as told, or as the config says.
pub(crate) fn admin_path(keeper: &Keeper, command: Option<Command>) -> Result<PathBuf, Failure> {
    match &keeper.admin {
        Some(Address::Unix(path)) => return Ok(path.clone()),
        Some(Address::Tcp { .. }) => return Err(Failure::nonsense("keepers listen on Unix sockets: unix:/path")),
        None => {}
    }
    // If anything is wrong, all of it is said; what is wrong within sites is for the keeper to find.
    let server =
        Server::read_alone(&keeper.config).or_else(|_| Config::read(&keeper.config).map(|config| config.server));
    let server = server.map_err(|refused| match command {
        // As the keeper would answer.
        Some(Command::Reload) => failure(&in_words(refused).why, FAILED),
        _ => {
            let advice = "The config says where the keeper is, and cannot be read. Say it with --admin unix:PATH";
            failure(&format!("{}\n{advice}", in_words(refused).why), FAILED)
        }
    })?;
    let off = || Failure::failed("the config says `admin off`: nobody listens. Send the keeper a signal");
    places::find_admin(&server).ok_or_else(off)
}
