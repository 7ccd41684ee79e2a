//! What the words say that have programs run: `cgi`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::environment::{self, Variables};
use super::json;
use super::read::{Given, Reader};
use super::words::Place;

/// A program that is run for each request, or a folder of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cgi {
    pub(crate) path: PathBuf,
    /// The folder that the site's paths are mapped to, if that is not where the program is.
    pub(crate) root: Option<PathBuf>,
    /// Whether it is told `Authorization`.
    pub(crate) authorization: bool,
    pub(crate) process: Process,
    pub(crate) send_file: Vec<SendFile>,
    pub(crate) running_max: u32,
    pub(crate) waiting_max: u32,
    #[serde(serialize_with = "json::duration")]
    pub(crate) wait_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) reply_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stall_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stop_time: Duration,
    pub(crate) gone_signal: &'static str,
    pub(crate) spool_bytes_max: u64,
}

/// As whom a program runs, where, and what it may take.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Process {
    pub(crate) user: Option<Box<str>>,
    pub(crate) group: Option<Box<str>>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) environment: Variables,
    pub(crate) open_files_max: Option<u32>,
    pub(crate) processes_max: Option<u32>,
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) file_bytes_max: Option<u64>,
    /// In whole seconds.
    #[serde(serialize_with = "json::maybe_duration")]
    pub(crate) cpu_time_max: Option<Duration>,
    pub(crate) together: Together,
}

/// What all processes of a program may take.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Together {
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) cpu_percent_max: Option<u32>,
    pub(crate) processes_max: Option<u32>,
}

/// A folder whose files a program may have sent in its place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SendFile {
    pub(crate) folder: PathBuf,
    pub(crate) beneath: Option<Box<str>>,
}

impl Cgi {
    pub(super) fn read(reader: &mut Reader<'_>, given: &Given<'_>) -> Self {
        let mut process = Process {
            user: given.maybe("user"),
            group: given.maybe("group"),
            directory: given.maybe("directory"),
            ..Process::default()
        };
        if process.group.is_some() && process.user.is_none() {
            reader.refuse(given.span("group"), "a group without a user", "name the user, too: user=");
        }
        let mut send_file = Vec::new();
        for (node, word) in reader.words(given.node.children(), Place::Cgi) {
            let Some(line) = reader.read(node, word) else { continue };
            match word.name {
                "env" => environment::add(&mut process.environment, reader, &line),
                "limits" => process.read_limits(&line),
                "together" => {
                    process.together = Together {
                        memory_bytes_max: line.maybe("memory"),
                        cpu_percent_max: line.maybe("cpu"),
                        processes_max: line.maybe("processes"),
                    };
                }
                _ => send_file.push(send_file_of(reader, &line)),
            }
        }
        Self {
            path: absolute(&given.one::<PathBuf>("path")),
            root: given.maybe("root").map(|root: PathBuf| absolute(&root)),
            authorization: given.one("authorization"),
            process,
            send_file,
            running_max: given.one("running"),
            waiting_max: given.one("waiting"),
            wait_time: given.one("wait-time"),
            reply_time: given.one("reply-time"),
            stall_time: given.one("stall-time"),
            time: given.one("time"),
            stop_time: given.one("stop-time"),
            gone_signal: given.one("gone-signal"),
            spool_bytes_max: given.one("spool"),
        }
    }
}

impl Process {
    fn read_limits(&mut self, line: &Given<'_>) {
        self.open_files_max = line.maybe("open-files");
        self.processes_max = line.maybe("processes");
        self.memory_bytes_max = line.maybe("memory");
        self.file_bytes_max = line.maybe("file-size");
        self.cpu_time_max = line.maybe("cpu-time");
    }
}

pub(super) fn send_file_of(reader: &mut Reader<'_>, line: &Given<'_>) -> SendFile {
    let beneath: Option<Box<str>> = line.maybe("beneath");
    if beneath.as_ref().is_some_and(|path| !path.starts_with('/')) {
        reader.refuse(
            line.span("beneath"),
            "this is no path of the site's",
            "write it from the slash on: \"/protected\"",
        );
    }
    SendFile { folder: absolute(&line.one::<PathBuf>("folder")), beneath }
}

/// Programs are told where they are, and start elsewhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
