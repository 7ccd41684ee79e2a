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
    Word::new(
        "cgi",
        "Runs a program for each request: one, or those of a folder by their names. See `docs/programs.md`.",
    )
    .takes(&[must("path", Kind::File, "the program, or the folder; what is behind it in a URL is for the program")])
    .with(&[
        may("root", Kind::File, "its `DOCUMENT_ROOT`. Unless told: the folder that it is in, or that it is"),
        or("authorization", Kind::Switch, "false", "whether it is told `Authorization`, passwords included"),
        may("user", Kind::Text, "who it runs as. Unless told: whoever the server does"),
        may("group", Kind::Text, "the group, if it is not the user's own"),
        may("directory", Kind::File, "where it starts. Unless told: in the folder that it is in"),
        or("running", Kind::Count(1, 4096), "64", "how many run at once"),
        or("waiting", Kind::Count(0, 1_000_000), "1024", "how many requests wait beside them; 503 beyond it"),
        or("wait-time", Kind::Duration, "10s", "and how long; 503 beyond it"),
        or("reply-time", Kind::Duration, "60s", "until its header block is there; 504 beyond it"),
        or("stall-time", Kind::Duration, "60s", "in which it may be silent amid its reply"),
        or("time", Kind::Duration, "1h", "for all of it"),
        or("stop-time", Kind::Duration, "5s", "from SIGTERM to SIGKILL, where it is to end"),
        or(
            "gone-signal",
            Kind::One(&["TERM", "HUP", "INT", "KILL"]),
            "TERM",
            "how it is told that the client has gone",
        ),
        or("spool", Kind::Size, "1GiB", "the longest body without a length that is kept for it; 413 beyond it"),
    ])
    .holds(Place::Cgi),
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

pub(super) static CGI: &[Word] =
    &[
        Word::new("env", "Variables for the program. Those that tell of a request are the server's.")
            .many()
            .fields(must("value", Kind::Text, "this variable, as in `GIT_PROJECT_ROOT=\"/srv/git\"`")),
        Word::new("limits", "What one process of the program may take.").with(&[
            may("open-files", Kind::Count(8, 1_000_000), "descriptors. Unless told: 1024"),
            may("processes", Kind::Count(1, 1_000_000), "processes and threads of its user"),
            may("memory", Kind::Size, "address space"),
            may("file-size", Kind::Size, "the longest file that it writes"),
            may("cpu-time", Kind::Duration, "time on a processor, in whole seconds"),
        ]),
        Word::new(
            "together",
            "What all processes of the program may take together, where the machine lets the keeper make cgroups.",
        )
        .with(&[
            may("memory", Kind::Size, "memory. Beyond it, what takes the most of it is ended"),
            may("cpu", Kind::Count(1, 100_000), "per cent of one core"),
            may("processes", Kind::Count(1, 1_000_000), "processes and threads"),
        ]),
    ];

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
