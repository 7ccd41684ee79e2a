//! Words for programs that answer: those that are reached over a connection.

use super::{Param, Place, Word, may, must, or};
use crate::config::value::Kind;

const CONNECT_TIME: Param = or("connect-time", Kind::Duration, "5s", "until a worker accepts a connection");
const REPLY_TIME: Param = or("reply-time", Kind::Duration, "60s", "until its reply begins, from the request's end on");
const STALL_TIME: Param =
    or("stall-time", Kind::Duration, "60s", "how long it may take nothing of a request, or be silent amid its reply");
const IDLE_TIME: Param = or("idle-time", Kind::Duration, "4s", "so long an idle connection to it is kept");
const CONNECTIONS: Param = or(
    "connections",
    Kind::Count(1, 100_000),
    "256",
    "how many there are to one worker at once; how many it holds is found out",
);

const MOUNT: Param = may("mount", Kind::Text, "what the paths begin with that are the workers' own: `SCRIPT_NAME`");
const SCRIPT: Param = may("script", Kind::File, "`SCRIPT_FILENAME`, for workers that run a file");
const ROOT: Param = may("root", Kind::File, "`DOCUMENT_ROOT`, for workers that look there");
const WITHHELD: Param =
    or("authorization", Kind::Switch, "false", "whether they are told what clients say in `Authorization`");

const WORKERS_HERE: Param =
    may("workers", Kind::Text, "they run here, so many: at least, once one was asked for, and at most");
const IDLE: Param = or("idle", Kind::Duration, "5m", "how long one may have nothing to do before it is stopped");
const REQUESTS: Param =
    may("requests", Kind::Count(1, 1_000_000_000), "after how many, give or take a tenth, one is replaced");
const AGE: Param = may("age", Kind::Duration, "after how long, give or take a tenth, one is replaced");
const MEMORY: Param = may("memory", Kind::Size, "with how much of it, all that it started included, one is replaced");
const EACH: Param = or("each", Kind::Count(1, 100_000), "1", "how many requests one has at once");
const BEFORE_NEXT: Param =
    or("each-before-next", Kind::Count(1, 100_000), "1", "how many before another is started, if one may be");
const STOP_TIME: Param = or("stop-time", Kind::Duration, "5s", "from SIGTERM to SIGKILL, where one is to end");
const WAITING: Param =
    or("waiting", Kind::Count(0, 1_000_000), "1024", "how many requests wait for room; 503 beyond it");
const WAIT_TIME: Param = or("wait-time", Kind::Duration, "30s", "and how long; 503 beyond it");
const USER: Param = may("user", Kind::Text, "who they run as. Unless told: whoever the server does");
const GROUP: Param = may("group", Kind::Text, "the group, if it is not the user's own");
const DIRECTORY: Param =
    may("directory", Kind::File, "where they start. Unless told: in the folder of the config file");

const WORKER: Param = must(
    "worker",
    Kind::Text,
    "where one listens, of several the least busy is asked; or, with `workers=`, the command that is run",
)
.many();

/// What is said of workers that speak FastCGI; all but the first of those that speak SCGI, too.
const ASKED: &[Param] = &[
    IDLE_TIME,
    MOUNT,
    SCRIPT,
    ROOT,
    WITHHELD,
    CONNECT_TIME,
    REPLY_TIME,
    STALL_TIME,
    CONNECTIONS,
    WORKERS_HERE,
    IDLE,
    EACH,
    BEFORE_NEXT,
    REQUESTS,
    AGE,
    MEMORY,
    STOP_TIME,
    WAITING,
    WAIT_TIME,
    USER,
    GROUP,
    DIRECTORY,
];

/// A filter.
pub(super) const FASTCGI_AUTH: Word =
    Word::new("fastcgi-auth", "Asks a program that speaks FastCGI, as an authorizer, whether a request may go on.")
        .takes(&[must("worker", Kind::Address, "where one listens; of several, the least busy is asked").many()])
        .with(&[
            or("authorization", Kind::Switch, "true", "whether they are told what clients say in `Authorization`"),
            CONNECT_TIME,
            REPLY_TIME,
            STALL_TIME,
            IDLE_TIME,
            CONNECTIONS,
        ])
        .holds(Place::App);

pub(super) static WORKERS: &[Word] = &[
    Word::new("fastcgi", "Has requests answered by programs that speak FastCGI.")
        .takes(&[WORKER])
        .with(ASKED)
        .holds(Place::Worker),
    Word::new("scgi", "Has requests answered by programs that speak SCGI.")
        .takes(&[WORKER])
        .with(ASKED.split_at(1).1) // A connection is for one request: none is idle.
        .holds(Place::Worker),
    Word::new("php", "Runs the PHP programs of a folder, and serves its other files.")
        .takes(&[must("folder", Kind::File, "the folder; it may be a symlink that is switched")])
        .with(&[
            may(
                "socket",
                Kind::Address,
                "where PHP listens for FastCGI; unless told, where php-fpm does on this machine",
            ),
            or("front", Kind::Text, "/index.php", "the program for paths that are no file, or `off`"),
            or("authorization", Kind::Switch, "true", "whether programs are told what clients say in `Authorization`"),
            CONNECT_TIME,
            REPLY_TIME,
            STALL_TIME,
            IDLE_TIME,
            CONNECTIONS,
            WORKERS_HERE,
            IDLE,
            REQUESTS,
            AGE,
            MEMORY,
            STOP_TIME,
            WAITING,
            WAIT_TIME,
            USER,
            GROUP,
            DIRECTORY,
        ])
        .holds(Place::Worker),
    Word::new("app", "Runs a program that listens, while it is asked for, and sends requests on to it.")
        .takes(&[must("command", Kind::Text, "the program, by a path or as found in `PATH`, and its arguments").many()])
        .with(&[
            or("workers", Kind::Text, "0..1", "how many run of it: at least, once one was asked for, and at most"),
            or(
                "listens",
                Kind::One(&["port", "socket"]),
                "port",
                "where: at `$PORT` of 127.0.0.1, or at a socket that it is given, with `LISTEN_FDS`",
            ),
            or("each", Kind::Count(1, 100_000), "1024", "how many requests one has at once"),
            or("each-before-next", Kind::Count(1, 100_000), "8", "how many before another is started, if one may be"),
            REQUESTS,
            AGE,
            MEMORY,
            IDLE,
            or("one-shot", Kind::Switch, "false", "whether one serves one request and is replaced"),
            or("spares", Kind::Count(0, 1024), "1", "how many of those are ready beside those that serve"),
            or(
                "ready",
                Kind::One(&["listens", "notifies"]),
                "listens",
                "when it is: once it listens, or once it says `READY=1` to `$NOTIFY_SOCKET`, as sd_notify(3) does",
            ),
            may("health", Kind::Text, "a path that has to be answered with a status below 400 before one is ready"),
            or("start-time", Kind::Duration, "30s", "until it is ready; 502 beyond it"),
            STOP_TIME,
            WAITING,
            WAIT_TIME,
            or("reply-time", Kind::Duration, "60s", "until its reply begins; 504 beyond it"),
            STALL_TIME,
            USER,
            GROUP,
            DIRECTORY,
        ])
        .holds(Place::App),
];

pub(super) static VARIABLES: &[Word] = &[Word::new("env", "Variables that programs are told besides.")
    .many()
    .fields(must("value", Kind::Text, "of the variable"))];

/// Of programs that answer as CGI has it.
pub(super) static SEND_FILE: &[Word] = &[Word::new(
    "send-file",
    "A folder whose files it may have sent in its place, by `X-Sendfile` or `X-Accel-Redirect`.",
)
.many()
.takes(&[must("folder", Kind::File, "the folder")])
.with(&[may("beneath", Kind::Text, "the path that stands for it in `X-Accel-Redirect`")])];
