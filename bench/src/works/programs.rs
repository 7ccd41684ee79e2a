//! What is measured of programs that are run, and the bars: the rest of the table of promises.

use super::{AppsWork, LoadWork, RestWork, Shape, Work};
use crate::servers::{CgiHost, Config, Door, Resident, Role, Server};
use crate::verdict::Bar;

/// How many apps are many.
const APPS: u32 = 200;

/// One that has nothing but its name to say is small, and one that has to hold this much is not.
const LIGHT: Server = Server::Run(Config::Cgi(Resident::Little));
const HEAVY: Server = Server::Run(Config::Cgi(Resident::Gibibyte));

pub(crate) const ALL: &[Work] = &[
    Work::Load(LoadWork {
        name: "cgi",
        title: "CGI: a static program in C, 16 connections",
        shape: Shape::Programs,
        path: "/",
        body_bytes: 13,
        ours: LIGHT,
        rivals: &[
            (Server::Cgi(CgiHost::Lighttpd), Bar::with_aim(1.1, 1.25)),
            (Server::Cgi(CgiHost::Apache), Bar::at_most(1.5)),
            (Server::Cgi(CgiHost::Fcgiwrap), Bar::at_most(1.3)),
        ],
    }),
    Work::Load(LoadWork {
        name: "cgi-heavy",
        title: "the same with 1 GiB resident in the server and in its keeper",
        shape: Shape::Programs,
        path: "/",
        body_bytes: 13,
        ours: HEAVY,
        rivals: &[(LIGHT, Bar::at_most(1.0))],
    }),
    Work::Load(LoadWork {
        name: "php-rate",
        title: "tiny reply by PHP, php-fpm with 4 workers, 16 connections",
        shape: Shape::Programs,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Php),
        rivals: &[(Server::Nginx(Role::PhpAnew), Bar::with_aim(1.05, 1.2))],
    }),
    Work::Load(LoadWork {
        name: "app",
        title: "an app's reply of 1 KiB, over a Unix socket that stays",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 1 << 10,
        ours: Server::Run(Config::App),
        rivals: &[(Server::Nginx(Role::App), Bar::with_aim(1.1, 0.9))],
    }),
    rest("app-rest-port", "an app at rest, asked: added to its own start, at `$PORT`", Door::Port),
    rest("app-rest-socket", "an app at rest, asked: added to its own start, at a socket it is given", Door::Socket),
    Work::Apps(AppsWork {
        name: "apps",
        title: "200 apps at rest",
        apps: APPS,
        memory: "200 apps at rest: added memory (PSS)",
        mebibytes: Bar::at_most(1.0),
        wakes: "200 apps at rest: added wake-ups of server and keeper in a minute",
        per_minute: Bar::at_most(10.0),
    }),
];

const fn rest(name: &'static str, title: &'static str, door: Door) -> Work {
    Work::Rest(RestWork { name, title, times: 15, door, milliseconds: Bar::with_aim(10.0, 3.0) })
}
