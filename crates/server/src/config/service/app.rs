//! What is said of a program that listens: `app`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use unary_workers::program::Program;

use crate::config::environment::{Variables, variables_of};
use crate::config::json;
use crate::config::read::{Given, Reader};

/// Workers of one app.
const WORKERS_MAX: usize = 1024;

/// A program that listens, and is there while it is asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct App {
    /// A path, or a name that is looked for in `PATH`.
    pub(crate) program: Box<str>,
    pub(crate) arguments: Vec<Box<str>>,
    pub(crate) workers_min: usize,
    pub(crate) workers_max: usize,
    pub(crate) listens: Listens,
    pub(crate) each_max: u32,
    pub(crate) each_before_next: u32,
    pub(crate) requests_max: Option<u32>,
    #[serde(serialize_with = "json::duration")]
    pub(crate) idle_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) start_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stop_time: Duration,
    pub(crate) waiting_max: u32,
    #[serde(serialize_with = "json::duration")]
    pub(crate) wait_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) reply_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stall_time: Duration,
    pub(crate) user: Option<Box<str>>,
    pub(crate) group: Option<Box<str>>,
    pub(crate) directory: PathBuf,
    pub(crate) environment: Variables,
}

/// Where an app listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Listens {
    /// At `$PORT`.
    Port,
    /// At the socket that it is given, with `LISTEN_FDS`.
    Socket,
}

impl App {
    /// The program that the keeper runs for it.
    pub(crate) fn program(&self) -> Program {
        let text = |text: &str| text.to_owned();
        Program {
            user: self.user.as_deref().map(text),
            group: self.group.as_deref().map(text),
            directory: Some(self.directory.clone()),
            environment: self.environment.iter().map(|(name, value)| (text(name), text(value))).collect(),
            stop_time: self.stop_time,
            ..Program::command(std::iter::once(&self.program).chain(&self.arguments).map(|word| text(word)))
        }
    }
}

/// Reads the word `app`.
pub(super) fn app_of(reader: &mut Reader<'_>, given: &Given<'_>) -> App {
    let text: Box<str> = given.one("workers");
    let (workers_min, workers_max) = workers_of(&text).unwrap_or_else(|| {
        let help = format!("write how many there are at least and at most, up to {WORKERS_MAX}, as in \"0..4\"");
        reader.refuse(given.span("workers"), format!("`{text}` is no number of workers"), help);
        (0, 1)
    });
    if given.says("health") {
        let help = "a program is taken to be ready when it listens: leave this out";
        reader.refuse(given.span("health"), "`health` of `app` is not built yet", help);
    }
    if given.says("group") && !given.says("user") {
        reader.refuse(given.span("group"), "a group without a user", "name the user, too: user=");
    }
    let folder = reader.folder(given.node.span).to_owned();
    let directory = given.maybe("directory").unwrap_or(folder);
    let mut command = command_of(reader, given).into_iter();
    App {
        program: command.next().unwrap_or_default(),
        arguments: command.collect(),
        workers_min,
        workers_max,
        listens: if given.one::<&str>("listens") == "socket" { Listens::Socket } else { Listens::Port },
        each_max: given.one("each"),
        each_before_next: given.one("each-before-next"),
        requests_max: given.maybe("requests"),
        idle_time: given.one("idle"),
        start_time: given.one("start-time"),
        stop_time: given.one("stop-time"),
        waiting_max: given.one("waiting"),
        wait_time: given.one("wait-time"),
        reply_time: given.one("reply-time"),
        stall_time: given.one("stall-time"),
        user: given.maybe("user"),
        group: given.maybe("group"),
        // What it starts in has to be found from anywhere.
        directory: absolute(&directory),
        environment: variables_of(reader, given),
    }
}

/// A command that is named by a path starts from the folder of the config file, as all paths do.
fn command_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Vec<Box<str>> {
    let mut command: Vec<Box<str>> = given.all("command");
    if command.iter().any(|word| word.contains('\0')) {
        reader.refuse(given.node.span, "a command cannot hold a NUL", "remove it");
    }
    if let Some(program) = command.first_mut()
        && program.contains('/')
    {
        *program = absolute(&reader.folder(given.node.span).join(&**program)).to_string_lossy().into();
    }
    command
}

/// From the root on; the folder of a config that is named without one is where we are.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(Path::new(".").join(path)).unwrap_or_else(|_| path.to_owned())
}

/// `MIN..MAX`, or one number for both.
fn workers_of(text: &str) -> Option<(usize, usize)> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let (min, max) = (min.parse().ok()?, max.parse().ok()?);
    (min <= max && (1..=WORKERS_MAX).contains(&max)).then_some((min, max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_range_or_a_number() {
        let check = |text: &str, expected| assert_eq!(workers_of(text), expected, "{text}");
        check("0..4", Some((0, 4)));
        check("2..2", Some((2, 2)));
        check("3", Some((3, 3)));
        for text in ["", "0", "4..2", "..", "0..", "-1..2", "0..1025", "a..b", "1..2..3"] {
            check(text, None);
        }
    }
}
