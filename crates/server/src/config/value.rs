//! Values: what kinds there are, and how each is read from text. Parsed once, trusted from then on.

mod amount;
mod variable;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use unary_net::Address;
use unary_web::choose::{HostName, Network, Pattern};

pub(crate) use amount::{Rate, show_duration, show_size};
pub(crate) use variable::expand;

use super::mistake::nearest;
use super::server::LogFormat;
use crate::access_log::{BadTemplate, Template};

/// What kind of value stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A text that is shown to nobody.
    Secret,
    Switch,
    /// A whole number from the first to the second.
    Count(u32, u32),
    Duration,
    Size,
    Rate,
    /// Bytes a second.
    Pace,
    Network,
    Address,
    /// With one of these schemes.
    Url(&'static [&'static str]),
    /// A path; a relative one starts from the folder of the config file.
    File,
    HeaderName,
    HeaderValue,
    Method,
    Status,
    /// A status, or a class of them: `5xx`.
    Statuses,
    Pattern,
    Host,
    /// What a line of an access log looks like.
    LogLine,
    /// One of these words.
    One(&'static [&'static str]),
}

/// A value that was read.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Text(Box<str>),
    Secret(Secret),
    Switch(bool),
    Count(u32),
    Duration(Duration),
    Bytes(u64),
    Rate(Rate),
    Network(Network),
    Address(Address),
    Url(Uri),
    File(PathBuf),
    HeaderName(HeaderName),
    HeaderValue(HeaderValue),
    Method(Method),
    Status(StatusCode),
    Statuses(Statuses),
    Pattern(Pattern),
    Host(HostName),
    LogLine(LogFormat),
    One(&'static str),
}

/// A text that is shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) Box<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Statuses that something is for, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Statuses {
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// Why a text is not what it should be.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Kind {
    /// Reads a text as this kind of value.
    pub(crate) fn read(self, text: &str) -> Result<Read, Bad> {
        let no = |help: &str| Bad { message: format!("`{text}` is not {}", self.name()), help: help.to_owned() };
        Ok(match self {
            Self::Text => Read::Text(text.into()),
            Self::Secret => Read::Secret(Secret(text.into())),
            Self::Switch => Read::Switch(match text {
                "true" => true,
                "false" => false,
                _ => return Err(no("write #true or #false")),
            }),
            Self::Count(first, last) => match text.parse() {
                Ok(count) if (first..=last).contains(&count) => Read::Count(count),
                _ => return Err(no(&format!("write a whole number from {first} to {last}, without quotes"))),
            },
            Self::Duration => Read::Duration(amount::duration(text).ok_or_else(|| no(amount::DURATIONS))?),
            Self::Size => Read::Bytes(amount::size(text).ok_or_else(|| no(amount::SIZES))?),
            Self::Rate => Read::Rate(amount::rate(text).ok_or_else(|| no(amount::RATES))?),
            Self::Pace => Read::Bytes(amount::pace(text).ok_or_else(|| no("write bytes a second, as in \"500B/s\""))?),
            Self::Network => Read::Network(text.parse().map_err(|bad| {
                let Bad { message, .. } = no("");
                Bad { message, help: format!("{bad}") }
            })?),
            Self::Address => Read::Address(
                text.parse().map_err(|_| no("write host:port, :port or unix:/path, as in \"127.0.0.1:8080\""))?,
            ),
            Self::Url(schemes) => match text.parse::<Uri>() {
                Ok(url) if url.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && url.host().is_some() => {
                    Read::Url(url)
                }
                _ => return Err(no(&format!("write it whole, as in \"{}://example.com/\"", schemes[0]))),
            },
            Self::File if text.is_empty() || text.contains('\0') => return Err(no("name a file or a folder")),
            Self::File => Read::File(text.into()),
            Self::HeaderName => {
                Read::HeaderName(text.parse().map_err(|_| no("names are made of letters, digits and `-`"))?)
            }
            Self::HeaderValue => Read::HeaderValue(
                text.parse().map_err(|_| no("a header's value is one line, without control characters"))?,
            ),
            Self::Method => match text.parse::<Method>() {
                Ok(method) if !text.contains(|c: char| c.is_ascii_lowercase()) => Read::Method(method),
                _ => return Err(no("methods are in capitals, as in GET")),
            },
            Self::Status => Read::Status(status(text).ok_or_else(|| no("write a number from 200 to 599, as in 404"))?),
            Self::Statuses => {
                Read::Statuses(statuses(text).ok_or_else(|| no("write it as in 404, or \"5xx\" for a class"))?)
            }
            Self::Pattern => Read::Pattern(Pattern::parse(text).map_err(|bad| Bad {
                message: format!("the pattern `{text}` makes no sense at byte {}", bad.at),
                help: bad.problem.to_owned(),
            })?),
            Self::Host => Read::Host(HostName::parse(text).map_err(no)?),
            Self::LogLine => Read::LogLine(log_line(text)?),
            Self::One(words) => match words.iter().find(|word| **word == text) {
                Some(word) => Read::One(word),
                None => return Err(no(&one_of(text, words))),
            },
        })
    }

    /// What it is, with an article.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text | Self::Secret => "a text",
            Self::Switch => "a switch",
            Self::Count(..) => "a number that fits here",
            Self::Duration => "a duration",
            Self::Size => "a size",
            Self::Rate => "a rate",
            Self::Pace => "a number of bytes a second",
            Self::Network => "a network",
            Self::Address => "an address to listen on",
            Self::Url(_) => "a URL that fits here",
            Self::File => "a path",
            Self::HeaderName => "the name of a header",
            Self::HeaderValue => "the value of a header",
            Self::Method => "a method",
            Self::Status => "the status of a reply",
            Self::Statuses => "a status, nor a class of them",
            Self::Pattern => "a pattern of paths",
            Self::Host => "a host",
            Self::LogLine => "a line of a log",
            Self::One(_) => "one of the words that fit here",
        }
    }

    /// What the documentation says may be written.
    pub(crate) fn manual(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Secret => "text, never shown".to_owned(),
            Self::Switch => "`#true`, `#false`".to_owned(),
            Self::Count(first, last) => format!("number, {first} to {last}"),
            Self::Duration => "duration".to_owned(),
            Self::Size => "size".to_owned(),
            Self::Rate => "rate".to_owned(),
            Self::Pace => "bytes a second".to_owned(),
            Self::Network => "network".to_owned(),
            Self::Address => "address".to_owned(),
            Self::Url(schemes) => {
                format!("URL, {}", schemes.iter().map(|scheme| format!("`{scheme}:`")).collect::<Vec<_>>().join(" or "))
            }
            Self::File => "path".to_owned(),
            Self::HeaderName => "header name".to_owned(),
            Self::HeaderValue => "header value".to_owned(),
            Self::Method => "method".to_owned(),
            Self::Status => "status".to_owned(),
            Self::Statuses => "status or class".to_owned(),
            Self::Pattern => "path pattern".to_owned(),
            Self::Host => "host".to_owned(),
            Self::LogLine => format!("{}, or text with fields", quoted(LOG_FORMATS)),
            Self::One(words) => quoted(words),
        }
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// What a line of an access log may look like, but for what people make of it themselves.
const LOG_FORMATS: &[&str] = &["json", "common", "combined"];

fn log_line(text: &str) -> Result<LogFormat, Bad> {
    Ok(match text {
        "json" => LogFormat::Json,
        "common" => LogFormat::Common,
        "combined" => LogFormat::Combined,
        text if text.contains(['{', '}']) => {
            let template: Template =
                text.parse().map_err(|bad: BadTemplate| Bad { message: bad.problem, help: bad.help })?;
            LogFormat::Words(Arc::new(template))
        }
        _ => {
            let help = match nearest(text, LOG_FORMATS.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => "write json, common, combined, or a text with fields, as in \"{path} {status}\"".to_owned(),
            };
            return Err(Bad { message: format!("`{text}` says nothing of a request"), help });
        }
    })
}

fn one_of(text: &str, words: &[&'static str]) -> String {
    match nearest(text, words.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write one of {}", words.join(", ")),
    }
}

fn status(text: &str) -> Option<StatusCode> {
    let status: u16 = text.parse().ok().filter(|status| (200..600).contains(status))?;
    StatusCode::from_u16(status).ok()
}

fn statuses(text: &str) -> Option<Statuses> {
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (2..=5).contains(class))?;
        return Some(Statuses { first: class * 100, last: class * 100 + 99 });
    }
    let status = status(text)?.as_u16();
    Some(Statuses { first: status, last: status })
}

/// Lets a value be taken as the type that the table of words says it has.
macro_rules! take {
    ($($variant:ident => $type:ty),* $(,)?) => {$(
        impl From<Read> for $type {
            fn from(read: Read) -> Self {
                match read {
                    Read::$variant(value) => value,
                    // A mistake in the table of words or in what reads it; every default and every
                    // documented example goes through here in the tests.
                    other => unreachable!("the table of words says {}, and it is {other:?}", stringify!($variant)),
                }
            }
        }
    )*};
}

take! {
    Text => Box<str>, Secret => Secret, Switch => bool, Count => u32, Duration => Duration, Bytes => u64,
    Rate => Rate, Network => Network, Address => Address, Url => Uri, File => PathBuf, HeaderName => HeaderName,
    HeaderValue => HeaderValue, Method => Method, Status => StatusCode, Statuses => Statuses, Pattern => Pattern,
    Host => HostName, LogLine => LogFormat, One => &'static str,
}
