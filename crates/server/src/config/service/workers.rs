//! What is said of programs that are reached over a connection: by FastCGI, by SCGI, and PHP.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use unary_net::Address;

use crate::config::environment::{self, Variables};
use crate::config::json;
use crate::config::program::{SendFile, send_file_of};
use crate::config::read::{Given, Reader};
use crate::config::words::Place;

/// Workers that speak FastCGI or SCGI.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workers {
    /// At least one.
    #[serde(serialize_with = "json::texts")]
    pub(crate) addresses: Vec<Address>,
    /// What the paths begin with that are theirs, without a slash at its end.
    pub(crate) prefix: Box<str>,
    pub(crate) script: Option<PathBuf>,
    pub(crate) root: Option<PathBuf>,
    pub(crate) terms: Terms,
}

/// A folder of PHP programs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Php {
    pub(crate) folder: PathBuf,
    /// Where PHP is; found where it usually is, unless told.
    #[serde(serialize_with = "json::maybe_text")]
    pub(crate) socket: Option<Address>,
    /// The program for what is nothing else, from the folder on.
    pub(crate) front: Option<Box<str>>,
    pub(crate) terms: Terms,
}

/// What holds of all of them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Terms {
    /// Variables besides.
    pub(crate) environment: Variables,
    /// Folders whose files they may have sent in their place.
    pub(crate) send_file: Vec<SendFile>,
    /// Whether they are told what clients say in `Authorization`.
    pub(crate) authorization: bool,
    #[serde(serialize_with = "json::duration")]
    pub(crate) connect_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) reply_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stall_time: Duration,
    /// How long a connection rests; SCGI keeps none.
    #[serde(serialize_with = "json::maybe_duration")]
    pub(crate) idle_time: Option<Duration>,
    pub(crate) connections_max: u32,
}

/// Reads the word `fastcgi` or `scgi`.
pub(super) fn workers_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Workers {
    let prefix: Box<str> = given.maybe("mount").unwrap_or_default();
    if !prefix.is_empty() && (!prefix.starts_with('/') || prefix.ends_with('/')) {
        let help = "write it as in \"/app\", and leave it out for all paths";
        reader.refuse(given.span("mount"), format!("`{prefix}` is not what paths begin with"), help);
    }
    Workers {
        addresses: given.all("worker"),
        prefix,
        script: given.maybe("script"),
        root: given.maybe("root"),
        terms: terms_of(reader, given),
    }
}

/// Reads the word `php`.
pub(super) fn php_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Php {
    for word in ["workers", "idle"] {
        if given.says(word) {
            let help = "let php-fpm run them, and leave this out";
            reader.refuse(given.span(word), format!("`{word}` of `php` is not built yet"), help);
        }
    }
    let front: Box<str> = given.one("front");
    let front = (&*front != "off").then_some(front);
    if let Some(front) = &front
        && !(front.starts_with('/') && front.ends_with(".php") && super::is_file(front))
    {
        let help = "write its path from the folder on, as in \"/index.php\", or \"off\" for none";
        reader.refuse(given.span("front"), format!("`{front}` names no program in the folder"), help);
    }
    Php { folder: given.one("folder"), socket: given.maybe("socket"), front, terms: terms_of(reader, given) }
}

fn terms_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Terms {
    let (mut environment, mut send_file) = (Variables::new(), Vec::new());
    for (node, word) in reader.words(given.node.children(), Place::Worker) {
        let Some(line) = reader.read(node, word) else { continue };
        match word.name {
            "env" => environment::add(&mut environment, reader, &line),
            _ => send_file.push(send_file_of(reader, &line)),
        }
    }
    Terms {
        environment,
        send_file,
        authorization: given.one("authorization"),
        connect_time: given.one("connect-time"),
        reply_time: given.one("reply-time"),
        stall_time: given.one("stall-time"),
        idle_time: given.maybe("idle-time"),
        connections_max: given.one("connections"),
    }
}
