//! What `server` says: what is for the whole process.

mod acme;
mod limits;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use unary_net::Address;
use unary_web::choose::Network;

pub(crate) use acme::{Acme, Challenge, Dns, Eab, email_of};
pub(crate) use limits::Limits;

use super::json;
use super::kdl::Node;
use super::read::{Given, Reader};
use super::source::At;
use super::value::Secret;
use super::words::Place;
use crate::access_log::Template;

/// The port that speaks TLS unless told otherwise.
const TLS_PORT: u16 = 443;

/// What is for the whole process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) listen: Vec<Listen>,
    /// One per core, unless told.
    pub(crate) threads: Option<u32>,
    /// What systemd says, or `/var/lib/unary`, unless told.
    pub(crate) state: Option<PathBuf>,
    pub(crate) admin: Admin,
    pub(crate) user: Option<User>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) error_log: ErrorLog,
    pub(crate) trusted_proxies: Option<TrustedProxies>,
    pub(crate) drain: Drain,
    pub(crate) limits: Limits,
    pub(crate) http2: Http2,
    pub(crate) acme: Acme,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) trace: Option<Trace>,
    pub(crate) watch: bool,
}

/// A socket to listen on.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listen {
    /// `None` if nobody said to.
    pub(crate) at: Option<At>,
    #[serde(serialize_with = "json::text")]
    pub(crate) address: Address,
    pub(crate) tls: bool,
}

/// Where the server is managed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Admin {
    /// A Unix socket in the folder that is for such sockets.
    UnlessTold,
    Off,
    At {
        #[serde(serialize_with = "json::text")]
        address: Address,
        /// There for all but a Unix socket.
        token: Option<Secret>,
    },
}

/// Who the server runs as.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    pub(crate) name: Box<str>,
    pub(crate) group: Option<Box<str>>,
}

/// A log of requests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccessLog {
    pub(crate) to: LogTo,
    pub(crate) format: LogFormat,
    /// What JSON lines say; empty for what they say unless told.
    pub(crate) fields: Vec<&'static str>,
    pub(crate) rotate_bytes: Option<u64>,
    pub(crate) keep: u32,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogTo {
    Nowhere,
    Output,
    File(PathBuf),
}

/// What a line of an access log looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    Json,
    Common,
    Combined,
    /// In words of somebody's own.
    Words(#[serde(serialize_with = "json::text")] Arc<Template>),
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ErrorLog {
    /// Standard error if there is none.
    pub(crate) file: Option<PathBuf>,
    pub(crate) level: &'static str,
    pub(crate) format: MessageFormat,
    pub(crate) rotate_bytes: Option<u64>,
    pub(crate) keep: u32,
}

/// What a message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageFormat {
    Text,
    Json,
}

/// How requests are traced.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trace {
    pub(crate) keep: bool,
    /// So many of a hundred.
    pub(crate) sample: Option<u32>,
    /// Where spans are sent; the server's alone says.
    pub(crate) otlp: Option<Otlp>,
}

/// Who collects traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Otlp {
    #[serde(serialize_with = "json::text")]
    pub(crate) url: http::Uri,
    pub(crate) service: Box<str>,
}

/// Whose word is taken for who a client is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TrustedProxies {
    #[serde(serialize_with = "json::texts")]
    pub(crate) networks: Vec<Network>,
    pub(crate) header: ProxyHeader,
    /// Whether the host counts that they name.
    pub(crate) host: bool,
}

/// The field in which a proxy says who a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProxyHeader {
    XForwardedFor,
    Forwarded,
}

/// How the server stops.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Drain {
    #[serde(serialize_with = "json::duration")]
    pub(crate) timeout: Duration,
    #[serde(serialize_with = "json::duration")]
    pub(crate) grace: Duration,
}

/// How HTTP/2 is spoken.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Http2 {
    /// Whether WebSockets may come by it (RFC 8441).
    pub(crate) websockets: bool,
}

/// Figures for Prometheus.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Metrics {
    pub(crate) per_route: bool,
}

impl Server {
    /// The port that speaks TLS, if none of those that do is the one everybody expects.
    pub(crate) fn unusual_tls_port(&self) -> Option<u16> {
        let port = |listen: &Listen| match listen.address {
            Address::Tcp { port, .. } if listen.tls && port != 0 => Some(port),
            _ => None,
        };
        let ports = || self.listen.iter().filter_map(port);
        ports().next().filter(|_| !ports().any(|port| port == TLS_PORT))
    }

    /// What this node says.
    pub(crate) fn read(&mut self, reader: &mut Reader<'_>, node: &Node, word: &'static super::words::Word) {
        reader.read(node, word);
        let mut listen = Vec::new();
        for (node, word) in reader.words(node.children(), Place::Server) {
            let Some(given) = reader.read(node, word) else { continue };
            match word.name {
                "listen" => listen_of(reader, &given, &mut listen),
                "threads" => self.threads = Some(given.one("count")),
                "state" => self.state = Some(given.one("folder")),
                "admin" => self.admin = admin_of(reader, &given).unwrap_or(Admin::Off),
                "user" => self.user = Some(User { name: given.one("name"), group: given.maybe("group") }),
                "access-log" => self.access_log = AccessLog::read(reader, &given),
                "error-log" => self.error_log = error_log_of(reader, &given),
                "trusted-proxies" => self.trusted_proxies = Some(proxies_of(&given)),
                "drain" => self.drain = drain_of(&given),
                "limits" => self.limits.read(reader, node),
                "http2" => self.http2 = Http2 { websockets: given.one("websockets") },
                "acme" => self.acme.read(reader, node),
                "trace" => self.trace = Trace::read_of_server(reader, &given),
                "metrics" => self.metrics = metrics_of(&given),
                "watch" => self.watch = given.one::<&str>("state") == "on",
                other => unreachable!("{other} is a word of `server` that nobody reads"),
            }
        }
        if !listen.is_empty() {
            self.listen = listen;
        }
    }

    /// Whether somebody can come by TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.listen.iter().any(|listen| listen.tls)
    }
}

/// What holds if nobody says anything, as the table of words has it.
impl Default for Server {
    fn default() -> Self {
        let listen = [(":80", false), (":443", true)];
        let listen =
            listen.map(|(address, tls)| Listen { at: None, address: address.parse().expect("it is one"), tls });
        let default = |word, param| Place::Server.default(word, param);
        Self {
            listen: listen.into(),
            threads: None,
            state: None,
            admin: Admin::UnlessTold,
            user: None,
            access_log: None,
            error_log: ErrorLog {
                file: None,
                level: default("error-log", "level").into(),
                format: MessageFormat::Text,
                rotate_bytes: None,
                keep: default("error-log", "keep").into(),
            },
            trusted_proxies: None,
            drain: Drain { timeout: default("drain", "timeout").into(), grace: default("drain", "grace").into() },
            limits: Limits::default(),
            http2: Http2 { websockets: default("http2", "websockets").into() },
            acme: Acme::default(),
            trace: None,
            metrics: Some(Metrics { per_route: default("metrics", "routes").into() }),
            watch: false,
        }
    }
}

fn listen_of(reader: &mut Reader<'_>, given: &Given<'_>, listen: &mut Vec<Listen>) {
    let tls: Option<bool> = given.maybe("tls");
    for (address, span) in given.with_spans::<Address>("address") {
        if listen.iter().any(|other| other.address == address) {
            reader.refuse(span, format!("the server listens on {address} already"), "remove one of them");
            continue;
        }
        let is_tls_port = matches!(address, Address::Tcp { port: TLS_PORT, .. });
        listen.push(Listen { at: Some(reader.at(span)), address, tls: tls.unwrap_or(is_tls_port) });
    }
}

fn admin_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Admin> {
    let (text, token): (Box<str>, Option<Secret>) = (given.one("address"), given.maybe("token"));
    let span = given.span("address");
    if &*text == "off" {
        return Some(Admin::Off);
    }
    let Ok(address) = text.parse::<Address>() else {
        reader.refuse(span, format!("`{text}` is nowhere to listen"), "write unix:/path, 127.0.0.1:port, or off");
        return None;
    };
    let is_here = |host: &str| host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    match &address {
        Address::Unix(_) => {}
        Address::Tcp { host, .. } if !host.as_deref().is_some_and(is_here) => {
            let help = "whoever reaches it manages the server: write 127.0.0.1:port, or unix:/path";
            reader.refuse(span, format!("{address} can be reached from other machines"), help);
        }
        Address::Tcp { .. } if token.is_none() => {
            let help = "add one, as in token=\"${ADMIN_TOKEN}\", or listen on unix:/path";
            reader.refuse(span, "every user of this machine could manage the server without a token", help);
        }
        Address::Tcp { .. } => {}
    }
    Some(Admin::At { address, token })
}

impl AccessLog {
    /// What `access-log` or `log` says.
    pub(crate) fn read(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Self> {
        let file: Box<str> = given.one("file");
        let to = match &*file {
            "off" => LogTo::Nowhere,
            "-" => LogTo::Output,
            file => LogTo::File(reader.folder(given.node.span).join(file)),
        };
        let format = given.one("format");
        let mut fields = Vec::new();
        for (node, word) in reader.words(given.node.children(), Place::AccessLog) {
            let Some(listed) = reader.read(node, word) else { continue };
            fields = listed.all("field");
            if format != LogFormat::Json {
                reader.refuse(node.name.span, "this format has its own fields", "choose them with format=json");
            }
        }
        Some(Self { to, format, fields, rotate_bytes: rotate_of(reader, given), keep: given.one("keep") })
    }
}

fn error_log_of(reader: &mut Reader<'_>, given: &Given<'_>) -> ErrorLog {
    let file: Box<str> = given.one("file");
    let file = (&*file != "-").then(|| reader.folder(given.node.span).join(Path::new(&*file)));
    let format = match given.one("format") {
        "json" => MessageFormat::Json,
        _ => MessageFormat::Text,
    };
    let rotate_bytes = rotate_of(reader, given);
    ErrorLog { file, level: given.one("level"), format, rotate_bytes, keep: given.one("keep") }
}

/// Beyond which size a file is put aside.
fn rotate_of(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<u64> {
    let bytes = given.maybe("rotate");
    if bytes == Some(0) {
        let help = "write a size, as in \"100MiB\"";
        reader.refuse(given.span("rotate"), "a file of no bytes cannot be rotated", help);
    }
    bytes
}

impl Trace {
    /// What `trace` says within `server`.
    fn read_of_server(reader: &mut Reader<'_>, given: &Given<'_>) -> Option<Self> {
        let url: Option<http::Uri> = given.maybe("otlp");
        if url.is_some() && !cfg!(feature = "otel") {
            let help = "build it with --features otel, or leave otlp out";
            reader.refuse(given.span("otlp"), "this program was built without OpenTelemetry", help);
        }
        let otlp = url.map(|url| Otlp { url, service: given.one("service") });
        Self::read(given).map(|trace| Self { otlp, ..trace })
    }

    /// What it says anywhere; `None` if it is off.
    pub(crate) fn read(given: &Given<'_>) -> Option<Self> {
        let is_on = given.one::<&str>("state") == "on";
        is_on.then(|| Self { keep: given.one("keep"), sample: given.maybe("sample"), otlp: None })
    }
}

fn proxies_of(given: &Given<'_>) -> TrustedProxies {
    let header = match given.one("header") {
        "forwarded" => ProxyHeader::Forwarded,
        _ => ProxyHeader::XForwardedFor,
    };
    TrustedProxies { networks: given.all("network"), header, host: given.one("host") }
}

fn drain_of(given: &Given<'_>) -> Drain {
    Drain { timeout: given.one("timeout"), grace: given.one("grace") }
}

fn metrics_of(given: &Given<'_>) -> Option<Metrics> {
    (given.one::<&str>("state") == "on").then(|| Metrics { per_route: given.one("routes") })
}
