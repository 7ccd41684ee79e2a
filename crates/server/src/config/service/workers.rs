//! What is said of programs that are reached over a connection: by FastCGI, by SCGI, and PHP.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use unary_net::Address;
use unary_workers::program::{Program, Run};

use super::pooled::Pooled;
use crate::config::environment::{self, Variables};
use crate::config::json;
use crate::config::program::{SendFile, send_file_of};
use crate::config::read::{Given, Reader};
use crate::config::value::Kind;
use crate::config::words::Place;

/// Workers that speak FastCGI or SCGI.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workers {
    /// Where they listen, if they are there already.
    #[serde(serialize_with = "json::texts")]
    pub(crate) addresses: Vec<Address>,
    /// What is run, if they are ours.
    pub(crate) pooled: Option<Pooled>,
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
    /// The PHP that is run here, if it is.
    pub(crate) pooled: Option<Pooled>,
    /// The program for what is nothing else, from the folder on.
    pub(crate) front: Option<Box<str>>,
    pub(crate) terms: Terms,
}

/// Workers that say whether a request may go on: a filter.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Authorizers {
    /// At least one.
    #[serde(serialize_with = "json::texts")]
    pub(crate) addresses: Vec<Address>,
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
    let terms = terms_of(reader, given, Place::Worker);
    let (mut addresses, mut pooled) = (Vec::new(), None);
    if given.says("workers") {
        pooled = Some(Pooled::read(reader, given, given.all("worker"), terms.environment.clone()));
    } else {
        refuse_what_is_of_ours(reader, given);
        for (text, span) in given.with_spans::<Box<str>>("worker") {
            match Kind::Address.read(&text) {
                Ok(address) => addresses.push(address.into()),
                Err(bad) => {
                    let help = bad.help.to_string();
                    reader.refuse(span, bad.message, format!("{help}; workers= has a command run here"));
                }
            }
        }
    }
    let (script, root) = (given.maybe("script"), given.maybe("root"));
    Workers { addresses, pooled, prefix, script, root, terms }
}

/// What is said of workers that run here is of no use to others.
fn refuse_what_is_of_ours(reader: &mut Reader<'_>, given: &Given<'_>) {
    for name in Pooled::WORDS.into_iter().filter(|name| given.says(name)) {
        let help = "say how many there are, too: workers=\"0..4\"";
        reader.refuse(given.span(name), format!("`{name}` is about workers that run here"), help);
    }
}

/// Reads the word `php`.
pub(super) fn php_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Php {
    let front: Box<str> = given.one("front");
    let front = (&*front != "off").then_some(front);
    if let Some(front) = &front
        && !(front.starts_with('/') && front.ends_with(".php") && super::is_file(front))
    {
        let help = "write its path from the folder on, as in \"/index.php\", or \"off\" for none";
        reader.refuse(given.span("front"), format!("`{front}` names no program in the folder"), help);
    }
    let terms = terms_of(reader, given, Place::Worker);
    let socket: Option<Address> = given.maybe("socket");
    if given.says("socket") && given.says("workers") {
        reader.refuse(given.span("socket"), "PHP is run here, or asked there", "leave out this, or `workers`");
    }
    let pooled = if given.says("workers") {
        Some(php_pooled(reader, given))
    } else {
        refuse_what_is_of_ours(reader, given);
        None
    };
    Php { folder: given.one("folder"), socket, pooled, front, terms }
}

/// The PHP that is run here: which one that is is found out.
fn php_pooled(reader: &mut Reader<'_>, given: &Given<'_>) -> Pooled {
    let Program { run, environment, .. } = unary_workers::php::worker();
    let command = match run {
        Run::Command(words) => words.into_iter().map(Into::into).collect(),
        Run::File(_) | Run::Folder(_) => Vec::new(),
    };
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    Pooled::read(reader, given, command, environment)
}

/// Reads the word `fastcgi-auth`.
pub(in crate::config) fn authorizers_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Authorizers {
    Authorizers { addresses: given.all("worker"), terms: terms_of(reader, given, Place::App) }
}

fn terms_of(reader: &mut Reader<'_>, given: &Given<'_>, place: Place) -> Terms {
    let (mut environment, mut send_file) = (Variables::new(), Vec::new());
    for (node, word) in reader.words(given.node.children(), place) {
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
