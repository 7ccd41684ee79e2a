//! `unary reload`, `upgrade`, `stop`: asking the keeper that runs.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use unary_net::Address;
use unary_workers::keeper::{Command, RELOAD_MAX, START_MAX, admin};

use super::front::ConfigFile;
use super::{admin_default, admin_elsewhere};
use crate::cli::Keeper;
use crate::diagnostics;
use crate::failure::{Failure, in_words};

/// How long an answer may take: what takes the keeper longest is to wait for connections that drain, then
/// for a server that starts, then for one that reloads.
const ANSWER_MAX: Duration = RELOAD_MAX.saturating_add(START_MAX).saturating_mul(2);

/// Asks, waits for the answer, and says it.
pub(crate) fn tell(command: Command, keeper: &Keeper) -> Result<(), Failure> {
    let path = admin_path(command, keeper)?;
    let shown = path.display();
    match admin::ask(&path, command, ANSWER_MAX) {
        Ok(Ok(note)) => {
            if !note.is_empty() {
                diagnostics::say(format_args!("{note}"));
            }
            Ok(())
        }
        Ok(Err(why)) => Err(Failure::failed(why)),
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Err(Failure::failed(format!("no keeper listens at {shown}. Is `unary run` running, with this config?")))
        }
        Err(cause) => Err(Failure::failed(format!("asking the keeper at {shown}: {}", in_words(cause)))),
    }
}

/// Where the keeper listens: as told, or as the config says.
fn admin_path(command: Command, keeper: &Keeper) -> Result<PathBuf, Failure> {
    match &keeper.admin {
        Some(Address::Unix(path)) => return Ok(path.clone()),
        Some(Address::Tcp { .. }) => return Err(Failure::nonsense("keepers listen on Unix sockets: unix:/path")),
        None => {}
    }
    match ConfigFile::at(&keeper.config).brief() {
        Ok((brief, _)) => Ok(brief.admin.unwrap_or_else(|| find_admin(brief.state.as_deref()))),
        // As the keeper would answer.
        Err(refusal) if command == Command::Reload => Err(Failure::failed(refusal.why)),
        Err(refusal) => {
            let advice = "The config says where the keeper is, and cannot be read. Say it with --admin unix:PATH";
            Err(Failure::failed(format!("{}\n{advice}", refusal.why)))
        }
    }
}

/// Where a keeper may have it whose config does not say: the first place that has one.
fn find_admin(state: Option<&Path>) -> PathBuf {
    let mut places = [vec![admin_default(state)], admin_elsewhere(state)].concat();
    let there = places.iter().position(|place| place.exists()).unwrap_or(0);
    places.swap_remove(there)
}
