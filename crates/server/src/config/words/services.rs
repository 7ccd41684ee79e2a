//! Words of a route that are no filters: when it matches, and the service at its end.

use super::{Place, Word, may, must, or};
use crate::config::value::Kind;

const ANY_VALUE: &str = "with this value, in which `*` stands for anything";

pub(super) static ROUTE: &[Word] =
    &[Word::new("match", "What of a request has to be so besides its path. It stands first.").holds(Place::Match)];

pub(super) static MATCH: &[Word] = &[
    Word::new("not", "Stands before any of the others: it is not to be so. `not client \"10.0.0.0/8\"`.")
        .many()
        .takes(&[must("condition", Kind::Text, "one of the words below, and what belongs to it").many()])
        .fields(may("value", Kind::Text, ANY_VALUE)),
    Word::new("path", "The path.").many().takes(&[must("pattern", Kind::Pattern, "one of these takes it").many()]),
    Word::new("method", "The method. `GET` stands for `HEAD`, too.").many().takes(&[must(
        "method",
        Kind::Method,
        "it is one of these",
    )
    .many()]),
    Word::new("host", "The host, in a site with several.").many().takes(&[must(
        "host",
        Kind::Host,
        "it is one of these",
    )
    .many()]),
    Word::new("header", "A header field: with any value, or as in `Accept=\"*json*\"`.")
        .many()
        .takes(&[may("name", Kind::HeaderName, "it is there").many()])
        .fields(may("value", Kind::Text, ANY_VALUE)),
    Word::new("query", "A parameter of the query: with any value, or as in `version=\"2\"`.")
        .many()
        .takes(&[may("name", Kind::Text, "it is there").many()])
        .fields(may("value", Kind::Text, ANY_VALUE)),
    Word::new("client", "The client's address, or what trusted proxies say of it.").many().takes(&[must(
        "network",
        Kind::Network,
        "it is in one of these",
    )
    .many()]),
];

pub(super) static SERVICES: &[Word] = &[
    Word::new("files", "Serves the files of a folder.")
        .takes(&[must("folder", Kind::File, "the folder; it may be a symlink that is switched")])
        .with(&[
            or(
                "listing",
                Kind::One(&["auto", "on", "off"]),
                "auto",
                "whether folders are shown; `auto`: if the folder has no index itself",
            ),
            or(
                "hidden",
                Kind::Switch,
                "false",
                "whether files are served whose names begin with a dot; `.well-known` is either way",
            ),
            may("spa", Kind::Text, "this file stands for pages that an application draws in the browser"),
            may("not-found", Kind::Text, "this file is what replies with 404 say"),
            or("precompressed", Kind::Switch, "true", "whether `app.js.br`, `.zst` or `.gz` is sent for `app.js`"),
            or("cache-control", Kind::Text, "no-cache", "what caches are told of files; `off` for nothing"),
            or("open-files", Kind::Count(16, 1_000_000), "512", "how many files are kept open"),
            or("memory", Kind::Size, "64MiB", "how much of small files is kept in memory"),
        ])
        .holds(Place::Files),
    Word::new("proxy", "Sends requests on to another server, WebSockets among them.")
        .takes(&[must("endpoint", Kind::Text, "`http://host:port`, or `unix:/path`").many()])
        .with(&[
            or(
                "host",
                Kind::One(&["keep", "endpoint"]),
                "keep",
                "the host that it is asked for: the client's, or its own",
            ),
            or("connect-time", Kind::Duration, "5s", "until it accepts a connection"),
            or("reply-time", Kind::Duration, "60s", "until its reply begins; 504 beyond it"),
            or(
                "stall-time",
                Kind::Duration,
                "60s",
                "in which it takes nothing of a request, or sends nothing of a reply that has begun",
            ),
            or(
                "idle-time",
                Kind::Duration,
                "4s",
                "so long an idle connection to it is kept; less than it keeps one itself",
            ),
            or("connections", Kind::Count(1, 100_000), "256", "how many there are to it at once"),
            or(
                "tunnels",
                Kind::Count(0, 1_000_000),
                "4096",
                "how many WebSockets and the like, besides; 503 beyond it",
            ),
        ]),
    Word::new("respond", "Answers every request alike.")
        .takes(&[
            or("status", Kind::Status, "200", "its status"),
            may("text", Kind::Text, "what the reply says; unless told, the status by its name"),
        ])
        .with(&[or("type", Kind::HeaderValue, "text/plain; charset=utf-8", "what the text is")]),
    Word::planned("cgi", "Runs a program for each request."),
    Word::planned("app", "Runs a program that listens, and sends requests on to it."),
    Word::planned("wasm", "Runs a WebAssembly component."),
    Word::planned("function", "Runs a serverless function."),
];

/// A service, and a filter for stacks and routes where it has `from`.
pub(super) static REDIRECTS: &[Word] =
    &[Word::new("redirect", "Leads elsewhere; with `from` it is a filter, and other requests go on.")
        .takes(&[
            or("status", Kind::Status, "302", "301, 302, 303, 307 or 308"),
            must("target", Kind::Text, "a path or URL, with `{path}`, `{query}`, `{uri}` and `{host}` in it"),
        ])
        .with(&[may("from", Kind::Pattern, "only requests for these paths, of all that come here")])];

pub(super) static FILES: &[Word] = &[
    Word::new("index", "What stands for a folder. Unless told: `index.html`.").takes(&[must(
        "name",
        Kind::Text,
        "the first of these that is there",
    )
    .many()]),
    Word::new("cache", "What caches are told of some files. The first that matches decides.").many().takes(&[
        must("pattern", Kind::Text, "which files: `*.css`, `/assets/**`"),
        must("value", Kind::HeaderValue, "the reply's `Cache-Control`"),
    ]),
];
