//! Words of the file itself, of `server` and of `site`.

use super::{Param, Place, Word, may, must, or};
use crate::access_log::Field;
use crate::config::value::Kind;

const HTTPS: Kind = Kind::Url(&["https"]);
const WEB: Kind = Kind::Url(&["http", "https"]);
const ON_OFF: Kind = Kind::One(&["on", "off"]);

pub(super) static TOP: &[Word] = &[
    Word::new("import", "Reads other files here, as if they stood in this one.").many().takes(&[must(
        "pattern",
        Kind::Text,
        "which files, from this file's folder on; `*` and `?` stand for parts of names",
    )
    .many()]),
    Word::new("server", "What is for the whole process.").holds(Place::Server),
    Word::new("stack", "Filters under a name, for `use`.")
        .many()
        .takes(&[must("name", Kind::Text, "what `use` calls it")])
        .holds(Place::Stack),
    Word::new("site", "What is served under some names.")
        .many()
        .takes(&[must("name", Kind::Host, "a host, `*.` and a host for all below it, or `*` for any").many()])
        .holds(Place::Site),
];

pub(super) static SERVER: &[Word] = &[
    Word::new("listen", "Where to listen. Port 443 speaks TLS. Unless told: `:80` and `:443`.")
        .many()
        .takes(&[must("address", Kind::Address, "`host:port`, `:port` or `unix:/path`").many()])
        .with(&[may("tls", Kind::Switch, "whether it speaks TLS; unless told, if its port is 443")]),
    Word::new("threads", "How many event loops. Unless told: one per core.").takes(&[must(
        "count",
        Kind::Count(1, 1024),
        "how many",
    )]),
    Word::new("state", "Where certificates and all else are kept that outlives the process.").takes(&[must(
        "folder",
        Kind::File,
        "the folder. Unless told: what systemd says, or `/var/lib/unary`",
    )]),
    Word::new("admin", "Where `unary reload` and the like reach the server.")
        .takes(&[must(
            "address",
            Kind::Text,
            "a Unix socket, `off`, or an address of this machine alone. Unless told: a socket in `/run`",
        )])
        .with(&[may("token", Kind::Secret, "what clients have to say; an address needs one")]),
    Word::new("user", "Who the server runs as. The keeper, which spawns it, keeps its privileges.")
        .takes(&[must("name", Kind::Text, "the user")])
        .with(&[may("group", Kind::Text, "the group, if it is not the user's own")]),
    Word::new("access-log", "A line for each request, but for those of routes with a `log` of their own.")
        .takes(&[must("file", Kind::Text, "the file; `-` for standard output, `off` for none")])
        .with(ACCESS_LOG_SETTINGS)
        .holds(Place::AccessLog),
    Word::new("error-log", "Where messages go. Unless told: standard error, from warnings up.")
        .takes(&[must("file", Kind::Text, "the file; `-` for standard error")])
        .with(&[
            or("level", Kind::One(&["error", "warn", "info", "debug"]), "warn", "from which level up"),
            or("format", Kind::One(&["text", "json"]), "text", "what a line looks like"),
            ROTATE,
            KEEP,
        ]),
    Word::new("trusted-proxies", "Whose word is taken for who a client is. Unless told: nobody's.")
        .takes(&[must("network", Kind::Network, "where the proxies in front are").many()])
        .with(&[
            or("header", Kind::One(&["x-forwarded-for", "forwarded"]), "x-forwarded-for", "how they say it"),
            or("host", Kind::Switch, "false", "whether the host they name counts, in place of the request's"),
        ]),
    Word::new("drain", "How the server stops.").with(&[
        or("timeout", Kind::Duration, "30s", "after this what is left is cut"),
        or("grace", Kind::Duration, "1s", "so long idle connections stay, lest a request on its way be lost"),
    ]),
    Word::new("limits", "What a client may do, and how long it may take. What is beyond it is in limits.md.")
        .holds(Place::Limits),
    Word::new("http2", "How HTTP/2 is spoken.").with(&[or(
        "websockets",
        Kind::Switch,
        "false",
        "whether WebSockets may come by it, by extended CONNECT (RFC 8441)",
    )]),
    Word::new("acme", "How certificates are obtained, for `tls auto`.").holds(Place::Acme),
    Word::new("trace", "Continues the trace that a request is part of, or begins one (W3C Trace Context).")
        .takes(&[or("state", ON_OFF, "on", "whether to")])
        .with(&[
            KEEP_TRACE,
            SAMPLE,
            may("otlp", WEB, "where spans are sent, by OTLP over HTTP: `http://127.0.0.1:4318`, say"),
            or("service", Kind::Text, "unary", "what this server is called there"),
        ]),
    Word::new("metrics", "Figures for Prometheus, where `admin` is.")
        .takes(&[or("state", ON_OFF, "on", "whether there are any")])
        .with(&[or("routes", Kind::Switch, "true", "whether each route has figures of its own")]),
    Word::new(
        "watch",
        "Reads the config again when it changes, or what is in the folders where its imports look for files.",
    )
    .takes(&[or("state", ON_OFF, "on", "whether to")]),
];

/// Shared by the server's traces and those of a route.
pub(super) const TRACE_SETTINGS: &[Param] = &[KEEP_TRACE, SAMPLE];

const KEEP_TRACE: Param = or("keep", Kind::Switch, "true", "whether a trace that came with the request is continued");
const SAMPLE: Param = may(
    "sample",
    Kind::Count(0, 100),
    "so many of a hundred that begin here are to be kept by whoever collects them. Unless told: all if they are sent somewhere, else none",
);

/// Shared by the server's log and that of a route.
pub(super) const ACCESS_LOG_SETTINGS: &[Param] =
    &[or("format", Kind::LogLine, "json", "what a line looks like"), ROTATE, KEEP];

const ROTATE: Param = may("rotate", Kind::Size, "a file that is larger is put aside, and a new one begun");
const KEEP: Param = or("keep", Kind::Count(1, 1000), "5", "how many files put aside are kept");

pub(super) static ACCESS_LOG: &[Word] =
    &[Word::new("fields", "What JSON lines say. Unless told: all but the headers, and of TLS the version alone.")
        .takes(&[must("field", Kind::One(LOG_FIELDS), "what of a request").many()])];

const LOG_FIELDS: &[&str] = &Field::NAMES;

pub(super) static LIMITS: &[Word] = &[
    Word::new("connections", "Connections at once. Unless told: half of the files the process may open.")
        .takes(&[must("count", Kind::Count(1, 1_000_000), "how many")]),
    Word::new(
        "client-connections",
        "The same of one client: an address of IPv4, or a /64 of IPv6. Unless told: half of `connections`, or all with `trusted-proxies`.",
    )
    .takes(&[must("count", Kind::Count(1, 1_000_000), "behind one balancer, as many as `connections`")]),
    Word::new("handshakes", "Handshakes of TLS at once.").takes(&[or(
        "count",
        Kind::Count(1, 1_000_000),
        "2048",
        "each may hold 20 KiB",
    )]),
    Word::new(
        "client-handshakes",
        "The same of one client, while half of all are under way. Unless told: a 64th, or all with `trusted-proxies`.",
    )
    .takes(&[must("count", Kind::Count(1, 1_000_000), "behind one balancer, as many as `handshakes`")]),
    Word::new("handshake-time", "From accepting a connection to the end of its handshake, of TLS and of HTTP/2.")
        .takes(&[time("10s")]),
    Word::new("head-bytes", "A request's head. By HTTP/2 each field counts 32 bytes more.").takes(&[or(
        "size",
        Kind::Size,
        "16KiB",
        "up to 1MiB",
    )]),
    Word::new("target-bytes", "A request's target: path and query.").takes(&[or(
        "size",
        Kind::Size,
        "8KiB",
        "no more than the head",
    )]),
    Word::new("headers", "Header lines of a request.").takes(&[or("count", Kind::Count(1, 10_000), "100", "how many")]),
    Word::new("head-time", "For a head to arrive, from its first byte.").takes(&[time("10s")]),
    Word::new("idle-time", "Without a request, on a connection.").takes(&[time("60s")]),
    Word::new("stall-time", "Without a client taking a byte of its reply.").takes(&[time("30s")]),
    Word::new("body-rate", "How fast a body arrives at least, while it is waited for.").takes(&[or(
        "rate",
        Kind::Pace,
        "500B/s",
        "over ten seconds",
    )]),
    Word::new("pipelined", "Requests under way on a connection of HTTP/1.").takes(&[or(
        "count",
        Kind::Count(1, 1000),
        "16",
        "how many",
    )]),
    Word::new("streams", "Requests under way on a connection of HTTP/2.").takes(&[or(
        "count",
        Kind::Count(1, 10_000),
        "100",
        "browsers expect 100",
    )]),
    Word::new("stream-window", "Of a body by HTTP/2, bytes that come before the service takes any.").takes(&[or(
        "size",
        Kind::Size,
        "256KiB",
        "from 1KiB, no more than the connection's",
    )]),
    Word::new("connection-window", "The same of all bodies of a connection together.").takes(&[or(
        "size",
        Kind::Size,
        "1MiB",
        "from 64KiB to 1GiB",
    )]),
    Word::new("unpaid-frames", "Resets, settings, pings, empty frames and the like in a row, that lead to no reply.")
        .takes(&[or("count", Kind::Count(100, 1_000_000), "2000", "replies and time pay for some")]),
    Word::new("unseen-resets", "Requests of HTTP/2 taken back before they were looked at, at once.").takes(&[or(
        "count",
        Kind::Count(1, 10_000),
        "20",
        "how many",
    )]),
    Word::new("stream-errors", "Requests of HTTP/2 that make no sense, in a connection's life.").takes(&[or(
        "count",
        Kind::Count(1, 1_000_000),
        "1024",
        "how many",
    )]),
    Word::new("ping-time", "How often a silent client of HTTP/2 is asked whether it is there. Unless told: never.")
        .takes(&[must("time", Kind::Duration, "one that does not answer before the next time is gone")]),
];

/// A time of a connection.
const fn time(default: &'static str) -> Param {
    or("time", Kind::Duration, default, "from 1s to 7d")
}

pub(super) static ACME: &[Word] = &[
    Word::new("email", "Whom to tell of trouble with a certificate.").takes(&[must(
        "address",
        Kind::Text,
        "the address",
    )]),
    Word::new("ca", "Who issues certificates. Where there are several, the next one if one fails.")
        .many()
        .takes(&[or("url", HTTPS, "https://acme-v02.api.letsencrypt.org/directory", "the directory").many()]),
    Word::new("root", "A CA's own certificate, for one that is not public.").takes(&[must(
        "file",
        Kind::File,
        "the certificate",
    )]),
    Word::new("eab", "An account that exists with the CA already (external account binding).")
        .with(&[must("key-id", Kind::Text, "which account"), must("hmac-key", Kind::Secret, "its key, in base64url")]),
    Word::new("challenge", "How to prove that a name is ours, the first choice first.").takes(&[must(
        "kind",
        Kind::One(&["http", "tls-alpn", "dns"]),
        "wildcards need `dns`. Unless told: `dns` if there is a way to it, else `http`",
    )
    .many()]),
    Word::new("dns-exec", "A program that puts a TXT record into the DNS, and takes it out.")
        .takes(&[
            must("program", Kind::File, "called with `set` or `unset`, the record's name, and its value"),
            may("argument", Kind::Text, "what else to call it with, before these").many(),
        ])
        .with(&[or("wait", Kind::Duration, "30s", "until the record is seen everywhere")]),
    Word::new("dns-rfc2136", "A name server that takes updates (RFC 2136), signed (RFC 8945).").with(&[
        must("server", Kind::Text, "`host:port`"),
        must("zone", Kind::Host, "the zone that is changed"),
        must("key", Kind::Text, "the key's name"),
        must("secret", Kind::Secret, "the key, in base64"),
        or("algorithm", Kind::One(&["hmac-sha256", "hmac-sha512"]), "hmac-sha256", "how it signs"),
        or("ttl", Kind::Duration, "60s", "how long others may keep the record"),
        or("wait", Kind::Duration, "30s", "until the record is seen everywhere"),
    ]),
    Word::new("orders", "How many certificates are asked for at most.").takes(&[or(
        "rate",
        Kind::Rate,
        "50/h",
        "how often",
    )]),
    Word::new("on-demand", "Who says whether a name gets a certificate when somebody comes with it.")
        .takes(&[must("ask", WEB, "it is asked with `?domain=NAME`, and 200 is a yes; `http:` on this machine alone")])
        .with(&[or("rate", Kind::Rate, "10/m", "how many new names at most")]),
];

pub(super) static SITE: &[Word] = &[
    Word::new("tls", "Where the certificate comes from.")
        .takes(&[may(
            "source",
            Kind::One(&["auto", "off"]),
            "`auto`: obtained and renewed. `off`: no TLS. Unless told: `auto` for public names, else `off`",
        )])
        .with(&[
            may("cert", Kind::File, "the certificate, and those above it, in PEM; read again when it changes"),
            may("key", Kind::File, "its key, in PEM"),
            may("client-ca", Kind::File, "who has to vouch for clients: only those come in then"),
            may("email", Kind::Text, "for `auto`: in place of that of `acme`"),
            may("ca", HTTPS, "for `auto`: in place of those of `acme`"),
            or("on-demand", Kind::Switch, "false", "for `auto`: only when somebody comes, and `on-demand` agrees"),
            or("redirect", Kind::Switch, "true", "whether plain HTTP leads here"),
            or("min", Kind::One(&["1.2", "1.3"]), "1.2", "the oldest version of TLS that is spoken"),
        ]),
    Word::new("route", "What becomes of requests that match. The first that matches serves.")
        .many()
        .takes(&[may("path", Kind::Pattern, "which paths; one of several is enough. Unless told: all").many()])
        .with(&[
            may("method", Kind::Method, "as `method` within `match`"),
            may("host", Kind::Host, "as `host` within `match`"),
            may("client", Kind::Network, "as `client` within `match`"),
        ])
        .holds(Place::Route),
];
