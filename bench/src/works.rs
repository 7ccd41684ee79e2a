//! What is measured, and the bars: this file is the table of promises as data.

use crate::servers::Server;
use crate::verdict::Bar;

/// One row of work; its name is what `--only` takes.
pub(crate) enum Work {
    Load(LoadWork),
    Idle(IdleWork),
    Start(StartWork),
}

impl Work {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Work::Load(work) => work.name,
            Work::Idle(work) => work.name,
            Work::Start(work) => work.name,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Work::Load(work) => work.title,
            Work::Idle(work) => work.title,
            Work::Start(work) => work.title,
        }
    }
}

/// Requests as fast as the load generator can send them.
pub(crate) struct LoadWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
    pub(crate) path: &'static str,
    /// How long each reply's body is: a contestant that sends anything else is not doing the same work.
    pub(crate) body_bytes: usize,
    pub(crate) ours: Server,
    /// Each rival, and how our CPU time for a request may compare with its own.
    pub(crate) rivals: &'static [(Server, Bar)],
}

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One after the other on connections that stay.
    KeepAlive,
    /// Sixteen at a time on connections that stay.
    Pipelined,
    /// Each on a connection of its own.
    Fresh,
}

/// Memory held by connections that have nothing to say.
pub(crate) struct IdleWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) connections: usize,
    /// KiB a connection.
    pub(crate) bar: Bar,
    pub(crate) ours: &'static [Server],
    /// Shown for orientation.
    pub(crate) rivals: &'static [Server],
}

/// From nothing to the first connection.
pub(crate) struct StartWork {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) times: usize,
    pub(crate) ours: Server,
    pub(crate) milliseconds: Bar,
    /// Resident memory right then.
    pub(crate) mebibytes: Bar,
}

pub(crate) const ALL: &[Work] = &[
    Work::Load(LoadWork {
        name: "tiny",
        title: "tiny reply, keep-alive, 64 connections",
        shape: Shape::KeepAlive,
        path: "/",
        body_bytes: 13,
        ours: Server::Hello,
        rivals: &[
            (Server::Nginx, Bar::with_aim(1.0, 0.9)),
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
            (Server::Nginx, Bar::at_most(0.10)),
            (Server::Hyper, Bar::with_aim(0.9, 0.75)),
            (Server::Floor, Bar::only_an_aim(1.25)),
        ],
    }),
    file("file-1k", "1 KiB file, keep-alive", "/1k.html", 1 << 10, &[(Server::Nginx, Bar::with_aim(0.85, 0.7))]),
    file("file-100k", "100 KiB file", "/100k.bin", 100 << 10, &[(Server::Nginx, Bar::with_aim(1.0, 0.9))]),
    file("file-10m", "10 MiB file", "/10m.bin", 10 << 20, &[(Server::Nginx, Bar::with_aim(1.0, 0.9))]),
    Work::Load(LoadWork {
        name: "fresh",
        title: "tiny reply, a new connection for each request",
        shape: Shape::Fresh,
        path: "/",
        body_bytes: 13,
        ours: Server::Hello,
        rivals: &[(Server::Nginx, Bar::with_aim(1.1, 0.9)), (Server::Hyper, Bar::none())],
    }),
    Work::Load(LoadWork {
        name: "fresh-file",
        title: "1 KiB file, a new connection for each request",
        shape: Shape::Fresh,
        path: "/1k.html",
        body_bytes: 1 << 10,
        ours: Server::Serve,
        rivals: &[(Server::Nginx, Bar::with_aim(1.1, 0.9))],
    }),
    Work::Idle(IdleWork {
        name: "idle",
        title: "memory of an idle keep-alive connection (PSS, 4,000 open, one request served on each)",
        connections: 4_000,
        bar: Bar::with_aim(2.0, 1.0),
        ours: &[Server::Hello, Server::Serve],
        rivals: &[Server::Hyper, Server::Nginx],
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
