//! What is said of workers that run here, while they are asked for: by `app`, and by `fastcgi`, `scgi` and `php` where
//! they say `workers=`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use unary_workers::program::Program;

use crate::config::environment::Variables;
use crate::config::json;
use crate::config::read::{Given, Reader};

/// Workers of one program.
const WORKERS_MAX: usize = 1024;

/// A program whose workers listen, and are there while they are asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pooled {
    /// A path, or a name that is looked for in `PATH`.
    pub(crate) program: Box<str>,
    pub(crate) arguments: Vec<Box<str>>,
    pub(crate) workers_min: usize,
    pub(crate) workers_max: usize,
    pub(crate) each_max: u32,
    pub(crate) each_before_next: u32,
    pub(crate) requests_max: Option<u32>,
    #[serde(serialize_with = "json::maybe_duration")]
    pub(crate) age_max: Option<Duration>,
    pub(crate) memory_bytes_max: Option<u64>,
    /// How many are ready, if each serves one request.
    pub(crate) one_shot: Option<u32>,
    #[serde(serialize_with = "json::duration")]
    pub(crate) idle_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) start_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stop_time: Duration,
    pub(crate) waiting_max: u32,
    #[serde(serialize_with = "json::duration")]
    pub(crate) wait_time: Duration,
    pub(crate) user: Option<Box<str>>,
    pub(crate) group: Option<Box<str>>,
    pub(crate) directory: PathBuf,
    pub(crate) environment: Variables,
}

impl Pooled {
    /// What may be said of workers that run here alone.
    pub(super) const WORDS: [&str; 13] = [
        "each",
        "each-before-next",
        "requests",
        "age",
        "memory",
        "idle",
        "stop-time",
        "waiting",
        "wait-time",
        "user",
        "group",
        "directory",
        "workers",
    ];

    /// Reads what is said of this command's workers.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        given: &Given<'_>,
        command: Vec<Box<str>>,
        environment: Variables,
    ) -> Self {
        let text: Box<str> = given.one("workers");
        let (workers_min, workers_max) = workers_of(&text).unwrap_or_else(|| {
            let help = format!("write how many there are at least and at most, up to {WORKERS_MAX}, as in \"0..4\"");
            reader.refuse(given.span("workers"), format!("`{text}` is no number of workers"), help);
            (0, 1)
        });
        if given.says("group") && !given.says("user") {
            reader.refuse(given.span("group"), "a group without a user", "name the user, too: user=");
        }
        let folder = reader.folder(given.node.span).to_owned();
        let directory = given.maybe("directory").unwrap_or(folder);
        let mut command = command_of(reader, given, command).into_iter();
        Self {
            program: command.next().unwrap_or_default(),
            arguments: command.collect(),
            workers_min,
            workers_max,
            each_max: given.maybe("each").unwrap_or(1),
            each_before_next: given.maybe("each-before-next").unwrap_or(1),
            requests_max: given.maybe("requests"),
            age_max: given.maybe("age"),
            memory_bytes_max: given.maybe("memory"),
            one_shot: given.maybe("one-shot").unwrap_or(false).then(|| given.one("spares")),
            idle_time: given.one("idle"),
            // Who is given a socket listens from the start.
            start_time: given.maybe("start-time").unwrap_or_default(),
            stop_time: given.one("stop-time"),
            waiting_max: given.one("waiting"),
            wait_time: given.one("wait-time"),
            user: given.maybe("user"),
            group: given.maybe("group"),
            // What it starts in has to be found from anywhere.
            directory: absolute(&directory),
            environment,
        }
    }

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

/// A command that is named by a path starts from the folder of the config file, as all paths do.
fn command_of(reader: &mut Reader<'_>, given: &Given<'_>, mut command: Vec<Box<str>>) -> Vec<Box<str>> {
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
