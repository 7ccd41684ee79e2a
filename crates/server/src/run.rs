//! `unary run`: what a config says, by a server that a keeper looks after; and the commands that talk to
//! that keeper.

mod app;
mod background;
mod command;
mod front;
mod logs;
mod places;
pub(crate) mod programs;
mod protocol;
mod server_process;
mod traces;

use std::ffi::OsString;
use std::io::{self, Write};

use unary_workers::keeper::{self, Refusal};

use crate::cli::Run;
use crate::error_log::ErrorLog;
use crate::failure::{Failure, in_words};
pub(crate) use command::{admin_path, tell};
use front::ConfigFile;
pub(crate) use places::state;
pub(crate) use server_process::serve;

/// The word that makes this program the server of a keeper: for keepers, not for people.
pub(crate) const SERVER_PROCESS: &str = "server-process";

/// The word that makes it the keeper of what `unary serve` runs.
pub(crate) const PROGRAM_KEEPER: &str = "program-keeper";

/// The config, where nobody names another.
pub(crate) const CONFIG_DEFAULT: &str = "unary.kdl";

/// Keeps a server until it is told to stop.
pub(crate) fn run(told: &Run) -> Result<(), Failure> {
    ErrorLog::start();
    let front = ConfigFile::at(&told.config);
    keeper::run(front, vec![OsString::from(SERVER_PROCESS)]).map_err(|Refusal { why, code }| failure(&why, code))
}

/// Keeps programs for the server that started this process.
pub(crate) fn keep_programs() -> Result<(), Failure> {
    ErrorLog::start();
    keeper::alone().map_err(|cause| Failure::nonsense(in_words(cause)))
}

/// The same with a config that is in no file.
pub(crate) fn run_text(text: String) -> Result<(), Failure> {
    let front = ConfigFile::written(text);
    keeper::run(front, vec![OsString::from(SERVER_PROCESS)]).map_err(|Refusal { why, code }| failure(&why, code))
}

/// Says what is wrong at each place, and gives the sentence for the end: the last line.
fn failure(why: &str, code: u8) -> Failure {
    let (places, sentence) = why.trim_end().rsplit_once('\n').unwrap_or(("", why.trim_end()));
    if !places.is_empty() {
        // Whole, as somebody waits for it; or nobody does, which is no reason to fail in another way.
        let _ = writeln!(io::stderr(), "{places}");
    }
    Failure::with(sentence, code)
}
