//! What is measured, and the bars: this file is the table of promises as data.

use super::{IdleWork, LimitWork, LoadWork, Shape, SitesWork, StartWork, Work};
use crate::servers::{Config, Http2, Role, Server};
use crate::verdict::Bar;

const NGINX: Server = Server::Nginx(Role::Plain);

/// How many are many.
const SITES: u32 = 1_000;

pub(crate) const ALL: &[Work] = &[
    Work::Load(LoadWork {
        name: "tiny",
        title: "tiny reply, keep-alive, 64 connections",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 13,
        ours: Server::Hello,
        rivals: &[
            (NGINX, Bar::with_aim(1.0, 0.9)),
            (Server::Hyper, Bar::at_most(1.0)),
            (Server::Floor, Bar::with_aim(1.20, 1.10)),
        ],
    }),
    Work::Load(LoadWork {
        name: "pipelined",
        title: "tiny reply, 16 pipelined, 64 connections",
        shape: Shape::Pipelined,
        path: "/",
        body_bytes: 13,
        ours: Server::Hello,
        rivals: &[
            (NGINX, Bar::at_most(0.10)),
            (Server::Hyper, Bar::with_aim(0.9, 0.75)),
            (Server::Floor, Bar::only_an_aim(1.25)),
        ],
    }),
    file("file-1k", "1 KiB file, keep-alive", "/1k.html", 1 << 10, &[(NGINX, Bar::with_aim(0.85, 0.7))]),
    file("file-100k", "100 KiB file", "/100k.bin", 100 << 10, &[(NGINX, Bar::with_aim(1.0, 0.9))]),
    file("file-10m", "10 MiB file", "/10m.bin", 10 << 20, &[(NGINX, Bar::with_aim(1.0, 0.9))]),
    Work::Load(LoadWork {
        name: "fresh",
        title: "tiny reply, a new connection for each request",
        shape: Shape::Fresh,
        path: "/",
        body_bytes: 13,
        ours: Server::Hello,
        rivals: &[(NGINX, Bar::with_aim(1.1, 0.9)), (Server::Hyper, Bar::none())],
    }),
    Work::Load(LoadWork {
        name: "fresh-file",
        title: "1 KiB file, a new connection for each request",
        shape: Shape::Fresh,
        path: "/1k.html",
        body_bytes: 1 << 10,
        ours: Server::Serve,
        rivals: &[(NGINX, Bar::with_aim(1.1, 0.9))],
    }),
    Work::Load(LoadWork {
        name: "proxy",
        title: "tiny reply by `proxy` to one endpoint, keep-alive on both sides",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Proxy),
        rivals: &[(Server::Nginx(Role::Proxy), Bar::with_aim(1.15, 0.9))],
    }),
    Work::Load(LoadWork {
        name: "php",
        title: "tiny reply by PHP, php-fpm with 4 workers, 4 connections that stay on both sides",
        shape: Shape::Few,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Php),
        rivals: &[(Server::Nginx(Role::Php), Bar::with_aim(0.8, 0.6))],
    }),
    Work::Load(LoadWork {
        name: "h2",
        title: "tiny reply, HTTP/2 over TLS, 32 connections x 32 streams",
        shape: Shape::Http2,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Tls),
        rivals: &[
            (Server::Nginx(Role::Tls), Bar::with_aim(1.2, 1.0)),
            (Server::Http2(Http2::Hyper), Bar::none()),
            (Server::Http2(Http2::H2), Bar::none()),
        ],
    }),
    Work::Load(LoadWork {
        name: "handshake",
        title: "a full TLS 1.3 handshake and one tiny reply",
        shape: Shape::Handshakes,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Tls),
        // Handshakes for a second of CPU: as many as nginx, better 1.2 times as many.
        rivals: &[(Server::Nginx(Role::Tls), Bar::with_aim(1.0, 1.0 / 1.2))],
    }),
    Work::Load(LoadWork {
        name: "filters",
        title: "tiny reply behind log, request-id, headers, in-flight and timeout",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Filters),
        rivals: &[(Server::Run(Config::Respond), Bar::with_aim(1.15, 1.08))],
    }),
    Work::Load(LoadWork {
        name: "many-sites",
        title: "tiny reply, one of 1,000 sites of 10 routes",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 13,
        ours: Server::Run(Config::Sites(SITES)),
        rivals: &[(Server::Run(Config::Sites(1)), Bar::with_aim(1.05, 1.01))],
    }),
    Work::Sites(SitesWork {
        name: "reload",
        title: "1,000 sites of 10 routes: check and reload",
        sites: SITES,
        times: 9,
        check: "1,000 sites of 10 routes: check",
        reload: "1,000 sites of 10 routes: reload",
        seconds: Bar::with_aim(1.0, 0.3),
        wait: "the longest request during a reload, asked each millisecond",
        milliseconds: Bar::at_most(20.0),
    }),
    Work::Limit(LimitWork {
        name: "rate-limit",
        title: "rate-limit, a million clients",
        times: 5,
        memory: "rate-limit, a million clients: memory",
        mebibytes: Bar::with_aim(64.0, 32.0),
        new_client: "rate-limit, a million clients: added to a request of a new one",
        known_client: "rate-limit, a million clients: added to a request of one of them",
        microseconds: Bar::at_most(0.3),
    }),
    Work::Idle(IdleWork {
        name: "idle",
        title: "memory of an idle keep-alive connection (PSS, 4,000 open, one request served on each)",
        connections: 4_000,
        bar: Bar::with_aim(2.0, 1.0),
        ours: &[Server::Hello, Server::Serve],
        rivals: &[Server::Hyper, NGINX],
    }),
    Work::Start(StartWork {
        name: "start",
        title: "from start to the first connection accepted",
        times: 15,
        ours: Server::Serve,
        milliseconds: Bar::with_aim(30.0, 10.0),
        mebibytes: Bar::with_aim(12.0, 6.0),
    }),
];

const fn file(
    name: &'static str,
    title: &'static str,
    path: &'static str,
    body_bytes: usize,
    rivals: &'static [(Server, Bar)],
) -> Work {
    Work::Load(LoadWork { name, title, shape: Shape::KeepAlive, path, body_bytes, ours: Server::Serve, rivals })
}
