//! What the services of a route say, checked.

mod app;
mod pooled;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Serialize;
use unary_net::Address;
use unary_web::handler::files::{Hidden, Listing};
use unary_web::handler::{Redirect as WebRedirect, Respond as WebRespond};
use unary_web::setting::BadSetting;

use super::json;
use super::program::Cgi;
use super::read::{Given, Reader};
use super::source::Span;
use super::value::{Kind, Read};
use super::words::Place;

pub(crate) use app::{App, Listens, Ready};
pub(crate) use pooled::Pooled;
pub(super) use workers::authorizers_of;
pub(crate) use workers::{Authorizers, Php, Terms, Workers};

/// A service, with its settings.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Service {
    Files(Box<Files>),
    Proxy(Box<Proxy>),
    #[serde(rename = "fastcgi")]
    FastCgi(Box<Workers>),
    Scgi(Box<Workers>),
    Php(Box<Php>),
    App(Box<App>),
    Respond(Respond),
    Redirect(Redirect),
    Cgi(Box<Cgi>),
}

/// The files of a folder.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    pub(crate) index: Vec<Box<str>>,
    #[serde(serialize_with = "listing")]
    pub(crate) listing: Listing,
    #[serde(serialize_with = "hidden")]
    pub(crate) hidden: Hidden,
    pub(crate) single_page: Option<Box<str>>,
    pub(crate) not_found: Option<Box<str>>,
    pub(crate) precompressed: bool,
    /// What caches are told of files that no pattern is for.
    #[serde(serialize_with = "json::maybe_value")]
    pub(crate) cache_control: Option<HeaderValue>,
    pub(crate) cache: Vec<Cache>,
    pub(crate) open_files_max: u32,
    pub(crate) memory_bytes_max: u64,
}

/// What caches are told of some files.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cache {
    pub(crate) pattern: Box<str>,
    #[serde(serialize_with = "json::value")]
    pub(crate) value: HeaderValue,
}

/// Another server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Proxy {
    /// At least one.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) host: ProxyHost,
    #[serde(serialize_with = "json::duration")]
    pub(crate) connect_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) reply_time: Duration,
    pub(crate) stall_time: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) idle_time: Duration,
    pub(crate) connections_max: u32,
    pub(crate) tunnels_max: u32,
}

/// Where another server listens.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Endpoint {
    #[serde(serialize_with = "json::text")]
    pub(crate) address: Address,
    /// What it is called in `Host`.
    pub(crate) authority: Box<str>,
}

/// Which host an endpoint is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProxyHost {
    /// The one that the client asked for.
    Keep,
    /// Its own.
    Endpoint,
}

/// The same reply to every request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Respond {
    #[serde(serialize_with = "json::status")]
    pub(crate) status: StatusCode,
    /// What it says; the status by its name, unless told.
    pub(crate) text: Option<Box<str>>,
    #[serde(serialize_with = "json::value")]
    pub(crate) media_type: HeaderValue,
}

/// Where requests are led.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Redirect {
    #[serde(serialize_with = "json::status")]
    pub(crate) status: StatusCode,
    pub(crate) target: Box<str>,
}

fn listing<S: serde::Serializer>(listing: &Listing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match listing {
        Listing::Off => "off",
        Listing::Auto => "auto",
        Listing::On => "on",
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn hidden<S: serde::Serializer>(hidden: &Hidden, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(*hidden == Hidden::Served)
}

impl Service {
    /// What this line and its block say.
    pub(super) fn read(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Self> {
        let before = reader.mistakes.count();
        let service = match given.word.name {
            "files" => Self::Files(Box::new(files_of(reader, given))),
            "proxy" => Self::Proxy(Box::new(proxy_of(reader, given))),
            "fastcgi" => Self::FastCgi(Box::new(workers::workers_of(reader, given))),
            "scgi" => Self::Scgi(Box::new(workers::workers_of(reader, given))),
            "php" => Self::Php(Box::new(workers::php_of(reader, given))),
            "cgi" => Self::Cgi(Box::new(Cgi::read(reader, given))),
            "app" => Self::App(Box::new(app::app_of(reader, given))),
            "respond" => Self::Respond(respond_of(reader, given)),
            "redirect" => Self::Redirect(Redirect::read(reader, given)?),
            other => unreachable!("{other} is a service that nobody reads"),
        };
        (reader.mistakes.count() == before).then_some(service)
    }
}

fn files_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Files {
    let listing = match given.one("listing") {
        "on" => Listing::On,
        "off" => Listing::Off,
        _ => Listing::Auto,
    };
    let text: Box<str> = given.one("cache-control");
    let cache_control = match Kind::HeaderValue.read(&text) {
        _ if &*text == "off" => None,
        Ok(read) => Some(read.into()),
        Err(bad) => {
            reader.refuse(given.span("cache-control"), bad.message, bad.help);
            None
        }
    };
    let mut files = Files {
        folder: given.one("folder"),
        index: vec!["index.html".into()],
        listing,
        hidden: if given.one("hidden") { Hidden::Served } else { Hidden::Refused },
        single_page: file_beneath(reader, given, "spa"),
        not_found: file_beneath(reader, given, "not-found"),
        precompressed: given.one("precompressed"),
        cache_control,
        cache: Vec::new(),
        open_files_max: given.one("open-files"),
        memory_bytes_max: given.one("memory"),
    };
    for (node, word) in reader.words(given.node.children(), Place::Files) {
        let Some(listed) = reader.read(node, word) else { continue };
        match word.name {
            "index" => {
                for (name, span) in listed.with_spans::<Box<str>>("name") {
                    if name.contains('/') || !is_file(&name) {
                        reader.refuse(span, format!("`{name}` is no name of a file"), "write it as in \"index.html\"");
                    }
                }
                files.index = listed.all("name");
            }
            _ => files.cache.push(Cache { pattern: listed.one("pattern"), value: listed.one("value") }),
        }
    }
    files
}

/// A file of the folder that is served.
fn file_beneath(reader: &mut Reader<'_>, given: &Given<'_>, name: &str) -> Option<Box<str>> {
    let file: Box<str> = given.maybe(name)?;
    if !is_file(&file) {
        let help = "write its path from the folder on, as in \"errors/404.html\"";
        reader.refuse(given.span(name), format!("`{file}` names no file in the folder"), help);
    }
    Some(file)
}

fn is_file(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split('/').all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'))
}

fn proxy_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Proxy {
    let mut endpoints = Vec::new();
    for (number, (text, span)) in given.with_spans::<Box<str>>("endpoint").into_iter().enumerate() {
        if number == 1 {
            reader.refuse(span, "to balance between several endpoints is not built yet", "name one");
        }
        endpoints.extend(endpoint(reader, &text, span));
    }
    let host = match given.one("host") {
        "endpoint" => ProxyHost::Endpoint,
        _ => ProxyHost::Keep,
    };
    Proxy {
        endpoints,
        host,
        connect_time: given.one("connect-time"),
        reply_time: given.one("reply-time"),
        stall_time: given.one("stall-time"),
        idle_time: given.one("idle-time"),
        connections_max: given.one("connections"),
        tunnels_max: given.one("tunnels"),
    }
}

fn endpoint(reader: &mut Reader<'_>, text: &str, span: Span) -> Option<Endpoint> {
    const HELP: &str = "write it as in \"http://127.0.0.1:3000\" or \"unix:/run/app.sock\"";
    if text.starts_with("unix:") {
        return match text.parse() {
            Ok(address) => Some(Endpoint { address, authority: "localhost".into() }),
            Err(_) => {
                reader.refuse(span, format!("`{text}` names no socket"), HELP);
                None
            }
        };
    }
    let url = match Kind::Url(&["http", "https"]).read(text) {
        Ok(Read::Url(url)) => url,
        _ => {
            reader.refuse(span, format!("`{text}` is no endpoint"), HELP);
            return None;
        }
    };
    if url.scheme_str() == Some("https") {
        reader.refuse(span, "TLS to endpoints is not built yet", "reach it by http: over a network of yours");
        return None;
    }
    if !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || url.authority().is_some_and(|a| a.as_str().contains('@'))
    {
        reader.refuse(span, "an endpoint is a host and a port", "leave out the rest; `rewrite add=` adds to paths");
        return None;
    }
    let authority: Box<str> = url.authority()?.as_str().into();
    let host = url.host()?.trim_matches(['[', ']']).to_owned();
    let address = Address::Tcp { host: Some(host), port: url.port_u16().unwrap_or(80) };
    Some(Endpoint { address, authority })
}

fn respond_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Respond {
    let respond = Respond { status: given.one("status"), text: given.maybe("text"), media_type: given.one("type") };
    if let Err(bad) = respond.service() {
        let place = if respond.text.is_some() { "text" } else { "status" };
        reader.refuse(given.span(place), bad.to_string(), "write another status, or no text");
    }
    respond
}

impl Endpoint {
    /// What it is called in the config.
    pub(crate) fn text(&self) -> String {
        match &self.address {
            Address::Unix(_) => self.address.to_string(),
            Address::Tcp { .. } => format!("http://{}", self.authority),
        }
    }
}

impl Respond {
    /// The service that does it; it was made once when the config was checked.
    pub(crate) fn service(&self) -> Result<WebRespond, BadSetting> {
        let respond = WebRespond::new(self.status)?;
        match &self.text {
            Some(text) => {
                let media_type = String::from_utf8_lossy(self.media_type.as_bytes()).into_owned();
                respond.body(&media_type, text.to_string())
            }
            None => Ok(respond),
        }
    }
}

impl Redirect {
    pub(super) fn read(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Self> {
        let redirect = Self { status: given.one("status"), target: given.one("target") };
        let status = redirect.status.as_u16();
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            let help = "write 301 or 308 for good, 302 or 307 for now, 303 for a page to be got";
            reader.refuse(given.span("status"), format!("{status} redirects nobody"), help);
            return None;
        }
        if let Err(bad) = redirect.service() {
            let help = "write a path or a URL; places are {path}, {query}, {uri} and {host}";
            reader.refuse(given.span("target"), bad.to_string(), help);
            return None;
        }
        Some(redirect)
    }

    /// The service that does it; it was made once when the config was checked.
    pub(crate) fn service(&self) -> Result<WebRedirect, BadSetting> {
        WebRedirect::new(self.status, &self.target)
    }
}
