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

/// Reads the word `app`.
pub(super) fn app_of(reader: &mut Reader<'_>, given: &Given<'_>) -> App {
    if given.says("health") {
        let help = "a program is taken to be ready when it listens: leave this out";
        reader.refuse(given.span("health"), "`health` of `app` is not built yet", help);
    }
    let environment = variables_of(reader, given);
    App {
        pooled: Pooled::read(reader, given, given.all("command"), environment),
        listens: if given.one::<&str>("listens") == "socket" { Listens::Socket } else { Listens::Port },
        reply_time: given.one("reply-time"),
        stall_time: given.one("stall-time"),
    }
}
