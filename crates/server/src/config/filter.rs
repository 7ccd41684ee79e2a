//! What the filters of a route say, checked.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde::{Serialize, Serializer};
use unary_web::choose::{Network, Pattern};
use unary_web::filter::headers::Edit as WebEdit;
use unary_web::filter::{Hsts as WebHsts, Rewrite as WebRewrite, hsts};

use super::json;
use super::kdl::Node;
use super::read::{Given, Reader};
use super::server::{AccessLog, Trace};
use super::service::{Authorizers, Redirect, authorizers_of};
use super::value::{Kind, Rate, Read, Statuses};
use super::words::Place;

/// A filter, with its settings.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Filter {
    /// Refuses clients that are not in these.
    Allow(#[serde(serialize_with = "json::texts")] Vec<Network>),
    /// Refuses clients that are in these.
    Deny(#[serde(serialize_with = "json::texts")] Vec<Network>),
    BasicAuth {
        users: PathBuf,
        #[serde(serialize_with = "json::value")]
        realm: HeaderValue,
    },
    BodyLimit {
        bytes_max: u64,
    },
    #[serde(rename = "fastcgi-auth")]
    FastCgiAuth(Box<Authorizers>),
    Compress {
        /// The first choice first.
        encodings: Vec<&'static str>,
        bytes_min: u64,
        /// Empty: what is text in effect.
        types: Vec<Box<str>>,
    },
    Cors(Cors),
    ErrorPage {
        statuses: Vec<Statuses>,
        file: PathBuf,
    },
    Headers {
        request: Vec<Edit>,
        reply: Vec<Edit>,
    },
    Hsts {
        #[serde(serialize_with = "json::duration")]
        max_age: Duration,
        subdomains: bool,
        preload: bool,
    },
    InFlight {
        max: u32,
        /// 0: whoever finds no place is refused at once.
        waiting_max: u32,
        #[serde(serialize_with = "json::duration")]
        wait: Duration,
    },
    Log(AccessLog),
    RateLimit {
        rate: Rate,
        burst: NonZeroU32,
        by: By,
        keys_max: u32,
    },
    Redirect {
        #[serde(serialize_with = "json::text")]
        from: Pattern,
        #[serde(flatten)]
        redirect: Redirect,
    },
    RequestId {
        #[serde(serialize_with = "json::text")]
        header: HeaderName,
        keep: bool,
    },
    Rewrite(Rewrite),
    /// Nothing if requests are not traced.
    Trace(Option<Trace>),
    Timeout {
        #[serde(serialize_with = "json::duration")]
        time: Duration,
    },
}

/// Which other sites may use this one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cors {
    /// `*`, or a scheme, a host and maybe a port.
    pub(crate) origins: Vec<Box<str>>,
    pub(crate) credentials: bool,
    #[serde(serialize_with = "json::duration")]
    pub(crate) max_age: Duration,
    #[serde(serialize_with = "json::texts")]
    pub(crate) methods: Vec<Method>,
    #[serde(serialize_with = "json::texts")]
    pub(crate) headers: Vec<HeaderName>,
    #[serde(serialize_with = "json::texts")]
    pub(crate) expose: Vec<HeaderName>,
}

/// A change to the header fields of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
}

/// What requests are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    Client,
    Header(#[serde(serialize_with = "json::text")] HeaderName),
    Cookie(Box<str>),
    /// Every pattern of the route has it.
    Param(Box<str>),
}

/// Another path for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Rewrite {
    To(Box<str>),
    Strip(Box<str>),
    Add(Box<str>),
}

impl Filter {
    /// What this line and its block say.
    pub(super) fn read(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Self> {
        let before = reader.mistakes.count();
        let filter = match given.word.name {
            "allow" => Self::Allow(given.all("network")),
            "deny" => Self::Deny(given.all("network")),
            "basic-auth" => Self::BasicAuth { users: given.one("users"), realm: given.one("realm") },
            "body-limit" => Self::BodyLimit { bytes_max: given.one("size") },
            "compress" => compress_of(reader, given),
            "cors" => Self::Cors(cors_of(reader, given)),
            "error-page" => Self::ErrorPage { statuses: given.all("status"), file: given.one("file") },
            "fastcgi-auth" => Self::FastCgiAuth(Box::new(authorizers_of(reader, given))),
            "headers" => headers_of(reader, given),
            "hsts" => hsts_of(reader, given),
            "in-flight" => {
                Self::InFlight { max: given.one("count"), waiting_max: given.one("queue"), wait: given.one("wait") }
            }
            "log" => Self::Log(AccessLog::read(reader, given)?),
            "rate-limit" => rate_limit_of(reader, given)?,
            "request-id" => Self::RequestId { header: given.one("header"), keep: given.one("keep") },
            "rewrite" => Self::Rewrite(rewrite_of(reader, given)?),
            "trace" => Self::Trace(Trace::read(given)),
            "timeout" => Self::Timeout { time: given.one("time") },
            other => unreachable!("{other} is a filter that nobody reads"),
        };
        (reader.mistakes.count() == before).then_some(filter)
    }
}

const ENCODINGS: [&str; 3] = ["zstd", "br", "gzip"];

fn compress_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Filter {
    let mut encodings: Vec<&'static str> = given.all("encoding");
    for (at, (encoding, span)) in given.with_spans::<&str>("encoding").into_iter().enumerate() {
        if encodings[..at].contains(&encoding) {
            reader.refuse(span, format!("`{encoding}` is there twice"), "say it once");
        }
    }
    if encodings.is_empty() {
        encodings = ENCODINGS.into();
    }
    let mut types = Vec::new();
    for (node, word) in reader.words(given.node.children(), Place::Compress) {
        let Some(listed) = reader.read(node, word) else { continue };
        for (media, span) in listed.with_spans::<Box<str>>("type") {
            let is_media =
                media.split_once('/').is_some_and(|(kind, name)| is_token(kind) && (is_token(name) || name == "*"));
            if !is_media {
                reader.refuse(span, format!("`{media}` is no media type"), "write it as in \"text/css\" or \"text/*\"");
            }
            types.push(media);
        }
    }
    Filter::Compress { encodings, bytes_min: given.one("min"), types }
}

/// What names are made of in HTTP (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text != "*" && text.bytes().all(is_legal)
}

fn cors_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Cors {
    let credentials = given.one("credentials");
    for (origin, span) in given.with_spans::<Box<str>>("origin") {
        if &*origin == "*" && credentials {
            let help = "name the sites, or leave credentials=#true out";
            reader.refuse(span, "not every site may come with the cookies of users", help);
        } else if &*origin != "*" && !is_origin(&origin) {
            reader.refuse(
                span,
                format!("`{origin}` is no origin"),
                "write scheme and host, as in \"https://app.example.com\"",
            );
        }
    }
    let mut cors = Cors {
        origins: given.all("origin"),
        credentials,
        max_age: given.one("max-age"),
        methods: vec![Method::GET, Method::HEAD, Method::POST],
        headers: Vec::new(),
        expose: Vec::new(),
    };
    for (node, word) in reader.words(given.node.children(), Place::Cors) {
        let Some(listed) = reader.read(node, word) else { continue };
        match word.name {
            "methods" => cors.methods = listed.all("method"),
            "headers" => cors.headers = listed.all("name"),
            _ => cors.expose = listed.all("name"),
        }
    }
    cors
}

/// A scheme and a host, maybe a port, and nothing else (RFC 6454 §7).
fn is_origin(text: &str) -> bool {
    let parts = text.split_once("://");
    let is_scheme = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    parts.is_some_and(|(scheme, authority)| {
        !scheme.is_empty()
            && is_scheme(scheme)
            && !authority.contains(['@', '*'])
            && authority == authority.to_lowercase()
            && authority.parse::<http::uri::Authority>().is_ok()
    })
}

fn headers_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Filter {
    let (mut request, mut reply) = (Vec::new(), Vec::new());
    let before = reader.mistakes.count();
    for (node, word) in reader.words(given.node.children(), Place::Headers) {
        match word.name {
            "request" => {
                reader.read(node, word);
                for (node, word) in reader.words(node.children(), Place::RequestHeaders) {
                    edits_of(reader, node, word, &mut request);
                }
            }
            _ => edits_of(reader, node, word, &mut reply),
        }
    }
    if request.is_empty() && reply.is_empty() && reader.mistakes.count() == before {
        reader.refuse(given.node.span, "`headers` changes nothing", "write set, add or remove between braces");
    }
    Filter::Headers { request, reply }
}

fn edits_of(reader: &mut Reader<'_>, node: &Node, word: &'static super::words::Word, edits: &mut Vec<Edit>) {
    let Some(given) = reader.read(node, word) else { return };
    let mut add = |reader: &mut Reader<'_>, span, edit: Edit| match edit.check() {
        Ok(()) => edits.push(edit),
        Err(problem) => reader.refuse(span, problem, "leave it to the server"),
    };
    for (name, span) in given.with_spans("name") {
        add(reader, span, Edit::Remove(name));
    }
    for (name, value) in given.fields::<HeaderValue>() {
        match Kind::HeaderName.read(&name.text) {
            Ok(Read::HeaderName(header)) => {
                let edit = if word.name == "set" { Edit::Set(header, value) } else { Edit::Add(header, value) };
                add(reader, name.span, edit);
            }
            Ok(_) => {}
            Err(bad) => reader.refuse(name.span, bad.message, bad.help),
        }
    }
    if given.node.entries.is_empty() {
        let help = format!("name a field and its value, as in: {} X-Frame-Options=\"DENY\"", word.name);
        reader.refuse(node.span, format!("`{}` names no field", word.name), help);
    }
}

impl Edit {
    /// Whether it may be made: some fields are the connection's.
    fn check(&self) -> Result<(), String> {
        self.edit().map(drop).map_err(|bad| bad.to_string())
    }

    /// The edit of messages that it is; it was made once when the config was checked.
    pub(crate) fn edit(&self) -> Result<WebEdit, unary_web::setting::BadSetting> {
        let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match self {
            Self::Set(name, to) => WebEdit::set(name.as_str(), &value(to)),
            Self::Add(name, to) => WebEdit::add(name.as_str(), &value(to)),
            Self::Remove(name) => WebEdit::remove(name.as_str()),
        }
    }
}

impl Serialize for Edit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match self {
            Self::Set(name, to) => ("set", name.as_str(), value(to)).serialize(serializer),
            Self::Add(name, to) => ("add", name.as_str(), value(to)).serialize(serializer),
            Self::Remove(name) => ("remove", name.as_str()).serialize(serializer),
        }
    }
}

fn hsts_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Filter {
    let promise = hsts::Promise {
        max_age: given.one("max-age"),
        subdomains: given.one("subdomains"),
        preload: given.one("preload"),
    };
    if let Err(bad) = WebHsts::new(promise) {
        let help = "say max-age=\"365d\" or more and subdomains=#true, or leave preload out";
        reader.refuse(given.span("preload"), bad.to_string(), help);
    }
    let hsts::Promise { max_age, subdomains, preload } = promise;
    Filter::Hsts { max_age, subdomains, preload }
}

fn rate_limit_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Filter> {
    let (rate, text): (Rate, Box<str>) = (given.one("rate"), given.one("by"));
    let by = match text.split_once(':') {
        None if &*text == "client" => Some(By::Client),
        Some(("header", name)) => name.parse().ok().map(By::Header),
        Some(("cookie", name)) if is_token(name) => Some(By::Cookie(name.into())),
        Some(("param", name)) if !name.is_empty() => Some(By::Param(name.into())),
        _ => None,
    };
    let Some(by) = by else {
        let help = "write client, header:NAME, cookie:NAME or param:NAME";
        reader.refuse(given.span("by"), format!("requests are not counted by `{text}`"), help);
        return None;
    };
    let burst = given.maybe::<u32>("burst").and_then(NonZeroU32::new).unwrap_or(rate.count);
    Some(Filter::RateLimit { rate, burst, by, keys_max: given.one("keys") })
}

fn rewrite_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Rewrite> {
    let said = |name: &str| given.maybe::<Box<str>>(name);
    let all = [
        said("path").map(|text| (Rewrite::To(text), "path")),
        said("strip").map(|text| (Rewrite::Strip(text), "strip")),
        said("add").map(|text| (Rewrite::Add(text), "add")),
    ];
    let mut all = all.into_iter().flatten();
    let (Some((rewrite, name)), None) = (all.next(), all.next()) else {
        let help = "write one of: rewrite \"/index.html\", rewrite strip=\"/api\", rewrite add=\"/v1\"";
        reader.refuse(given.node.span, "`rewrite` takes one of a path, strip= and add=", help);
        return None;
    };
    if let Err(bad) = rewrite.filter() {
        reader.refuse(given.span(name), bad.to_string(), "a path is written as in \"/index.html\"");
        return None;
    }
    Some(rewrite)
}

impl Rewrite {
    /// The filter that does it; it was made once when the config was checked.
    pub(crate) fn filter(&self) -> Result<WebRewrite, unary_web::setting::BadSetting> {
        match self {
            Self::To(path) => WebRewrite::to(path),
            Self::Strip(prefix) => WebRewrite::strip_prefix(prefix),
            Self::Add(prefix) => WebRewrite::add_prefix(prefix),
        }
    }
}
