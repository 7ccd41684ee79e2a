//! What is said of a program that listens for HTTP: `app`.

use std::time::Duration;

use serde::Serialize;

use super::pooled::Pooled;
use crate::config::environment::variables_of;
use crate::config::json;
use crate::config::read::{Given, Reader};

/// A program that listens, and is there while it is asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct App {
    #[serde(flatten)]
    pub(crate) pooled: Pooled,
    pub(crate) listens: Listens,
    pub(crate) ready: Ready,
    pub(crate) health: Option<Box<str>>,
    #[serde(serialize_with = "json::duration")]
    pub(crate) reply_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) stall_time: Duration,
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

/// When an app is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ready {
    /// Once it listens.
    Listens,
    /// Once it says so to `$NOTIFY_SOCKET`.
    Notifies,
}

/// Reads the word `app`.
pub(super) fn app_of(reader: &mut Reader<'_>, given: &Given<'_>) -> App {
    let health: Option<Box<str>> = given.maybe("health");
    if let Some(path) = &health
        && !(path.starts_with('/') && path.parse::<http::Uri>().is_ok())
    {
        reader.refuse(given.span("health"), format!("`{path}` is no path"), "it begins with /, as in \"/healthz\"");
    }
    for word in ["each", "each-before-next", "requests"] {
        if given.one("one-shot") && given.says(word) {
            let help = "leave it out, or have workers serve more than one request";
            reader.refuse(given.span(word), format!("`{word}` of workers that serve one request each"), help);
        }
    }
    if given.says("spares") && !given.one::<bool>("one-shot") {
        reader.refuse(given.span("spares"), "`spares` of workers that serve many requests", "say one-shot=#true, too");
    }
    let environment = variables_of(reader, given);
    App {
        pooled: Pooled::read(reader, given, given.all("command"), environment),
        listens: if given.one::<&str>("listens") == "socket" { Listens::Socket } else { Listens::Port },
        ready: if given.one::<&str>("ready") == "notifies" { Ready::Notifies } else { Ready::Listens },
        health,
        reply_time: given.one("reply-time"),
        stall_time: given.one("stall-time"),
    }
}
