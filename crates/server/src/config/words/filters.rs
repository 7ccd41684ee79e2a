//! Words of a route that are filters.

use super::server::{ACCESS_LOG_SETTINGS, TRACE_SETTINGS};
use super::{Place, Word, may, must, or};
use crate::config::value::Kind;

pub(super) static FILTERS: &[Word] = &[
    Word::new("use", "The filters of a `stack`, in its place.").many().takes(&[must(
        "name",
        Kind::Text,
        "which stack",
    )]),
    Word::new("allow", "Refuses clients that are not in these networks, with 403.").many().takes(&[must(
        "network",
        Kind::Network,
        "who may come",
    )
    .many()]),
    Word::new("deny", "Refuses clients that are in these networks, with 403.").many().takes(&[must(
        "network",
        Kind::Network,
        "who may not come",
    )
    .many()]),
    Word::new("basic-auth", "Asks for a name and a password.").with(&[
        must("users", Kind::File, "names and hashes, a line each, as `unary hash-password` writes them"),
        or("realm", Kind::HeaderValue, "Restricted", "what browsers show when they ask"),
    ]),
    Word::new("body-limit", "Refuses requests with a longer body, with 413.").takes(&[must(
        "size",
        Kind::Size,
        "how long it may be",
    )]),
    Word::new("compress", "Compresses replies for clients that understand it.")
        .takes(
            &[may("encoding", Kind::One(&["zstd", "br", "gzip"]), "the first choice first. Unless told: all").many()],
        )
        .with(&[or("min", Kind::Size, "1KiB", "shorter replies stay as they are")])
        .holds(Place::Compress),
    Word::new("cors", "Tells browsers which other sites may use this one.")
        .takes(&[must("origin", Kind::Text, "as in `https://app.example.com`; `*` for all").many()])
        .with(&[
            or("credentials", Kind::Switch, "false", "whether with cookies and passwords"),
            or("max-age", Kind::Duration, "10m", "how long browsers may remember it"),
        ])
        .holds(Place::Cors),
    Word::new("error-page", "Replaces what replies with these statuses say.")
        .many()
        .takes(&[must("status", Kind::Statuses, "as in 404, or \"5xx\"").many()])
        .with(&[must("file", Kind::File, "what they say instead")]),
    super::programs::FASTCGI_AUTH,
    Word::new("headers", "Sets, adds and removes header fields of replies, and of requests.")
        .many()
        .holds(Place::Headers),
    Word::new("hsts", "Tells browsers to come by TLS only, from now on.").with(&[
        or("max-age", Kind::Duration, "730d", "how long they remember it"),
        or("subdomains", Kind::Switch, "false", "whether for all hosts below this one, too"),
        or("preload", Kind::Switch, "false", "whether they may be shipped with it"),
    ]),
    Word::new("in-flight", "How many requests are under way at once; the rest is refused, with 503.")
        .takes(&[must("count", Kind::Count(1, 1_000_000), "how many")])
        .with(&[
            or("queue", Kind::Count(0, 1_000_000), "0", "so many others wait for their turn"),
            or("wait", Kind::Duration, "5s", "and so long"),
        ]),
    Word::new("log", "An access log of its own for what comes here, in place of the server's.")
        .takes(&[must("file", Kind::Text, "the file; `-` for standard output, `off` for none")])
        .with(ACCESS_LOG_SETTINGS)
        .holds(Place::AccessLog),
    Word::new("rate-limit", "How often somebody may come; beyond it they are refused, with 429.")
        .many()
        .takes(&[must("rate", Kind::Rate, "how often")])
        .with(&[
            or(
                "by",
                Kind::Text,
                "client",
                "who is counted: `client`, `header:NAME`, `cookie:NAME`, `param:NAME` of the path",
            ),
            may("burst", Kind::Count(1, 1_000_000), "how many may come at once. Unless told: the rate's number"),
            or("keys", Kind::Count(1, 100_000_000), "1000000", "how many are remembered"),
        ]),
    Word::new("request-id", "Gives every request an identifier, and the reply, too.").with(&[
        or("header", Kind::HeaderName, "x-request-id", "the field that has it"),
        or("keep", Kind::Switch, "false", "whether one that came with the request stays"),
    ]),
    Word::new("rewrite", "Gives requests another path. One of these:")
        .many()
        .takes(&[may("path", Kind::Text, "this one, with `{path}`, `{query}` and `{host}` in it")])
        .with(&[
            may("strip", Kind::Text, "without these first segments: `/api`"),
            may("add", Kind::Text, "with this before it: `/v1`"),
        ]),
    Word::new(
        "trace",
        "Traces what comes here in a way of its own, in place of the server's: see `trace` of `server`.",
    )
    .takes(&[or("state", Kind::One(&["on", "off"]), "on", "whether to")])
    .with(TRACE_SETTINGS),
    Word::new("timeout", "How long a reply may take, to its last byte; 504 beyond it.").takes(&[must(
        "time",
        Kind::Duration,
        "how long",
    )]),
    Word::planned("auth", "Asks somebody else who a client is."),
    Word::planned("cache", "Keeps replies, and gives them again."),
    Word::planned("retry", "Tries again what failed."),
];

pub(super) static COMPRESS: &[Word] = &[Word::new(
    "types",
    "What is compressed. Unless told: all that is text, in effect.",
)
.takes(&[must("type", Kind::Text, "a media type, or `text/*`").many()])];

pub(super) static HEADERS: &[Word] =
    &[Word::new("request", "The same for requests; what stands beside it is for replies.")
        .holds(Place::RequestHeaders)];

pub(super) static EDITS: &[Word] = &[
    Word::new("set", "These fields have these values, and no other: `set Server=\"mine\"`.").many().fields(must(
        "value",
        Kind::HeaderValue,
        "of the field with this name",
    )),
    Word::new("add", "These fields have these values, too.").many().fields(must(
        "value",
        Kind::HeaderValue,
        "of the field with this name",
    )),
    Word::new("remove", "These fields are not there.")
        .many()
        .takes(&[must("name", Kind::HeaderName, "of a field").many()]),
];

pub(super) static CORS: &[Word] = &[
    Word::new("methods", "What may be done. Unless told: `GET`, `HEAD` and `POST`.").takes(&[must(
        "method",
        Kind::Method,
        "one of them",
    )
    .many()]),
    Word::new("headers", "Which fields requests may have.")
        .takes(&[must("name", Kind::HeaderName, "of a field").many()]),
    Word::new("expose", "Which fields of replies may be looked at.").takes(&[must(
        "name",
        Kind::HeaderName,
        "of a field",
    )
    .many()]),
];
