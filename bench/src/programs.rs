//! What cargo built for a run, and where it put it.

use std::path::{Path, PathBuf};

/// A program of this workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// The binary.
    Unary,
    /// The example `hello`: our engine and a function.
    Hello,
    /// The example `echo`: a WebSocket to hold on to.
    Echo,
    Hyper,
    /// HTTP/2 by hyper, or by the `h2` crate alone.
    Http2,
    Floor,
    /// The load of TLS handshakes.
    Handshakes,
    /// A rate limit and a million clients.
    Limiter,
    /// A kibibyte of text, wherever its host wants it.
    App,
}

impl Program {
    pub(crate) const FOR_BENCH: &[Program] = &[
        Program::Unary,
        Program::Hello,
        Program::Limiter,
        Program::App,
        Program::Hyper,
        Program::Http2,
        Program::Floor,
        Program::Handshakes,
    ];
    pub(crate) const FOR_SOAK: &[Program] = &[Program::Unary, Program::Echo];

    pub(crate) fn path(self, target: &Path) -> PathBuf {
        target.join(match self {
            Program::Unary => "release/unary",
            Program::Hello => "release/examples/hello",
            Program::Limiter => "rival/limiter",
            Program::App => "rival/app",
            Program::Echo => "release/examples/echo",
            Program::Hyper => "rival/hyper1",
            Program::Http2 => "rival/http2",
            Program::Floor => "rival/floor",
            Program::Handshakes => "rival/handshakes",
        })
    }

    /// Those that have not been built, and where they would be.
    pub(crate) fn missing(wanted: &[Program], target: &Path) -> Vec<PathBuf> {
        wanted.iter().map(|program| program.path(target)).filter(|path| !path.is_file()).collect()
    }
}
