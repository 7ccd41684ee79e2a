//! A server is a function, `Request -> Future<Reply>`.
//!
//! ```no_run
//! use unary::prelude::*;
//!
//! fn main() -> std::process::ExitCode {
//!     unary::main(service_fn(async |request: Request| {
//!         Ok(unary::text(format!("You asked for {}\n", request.uri().path())))
//!     }))
//! }
//! ```
//!
//! [`main`] is the short way. The same server as a line, with room for stages of your own:
//!
//! ```no_run
//! use unary::prelude::*;
//!
//! # fn main() -> Result<(), Error> {
//! let app = service_fn(async |_: Request| Ok(unary::text("Hello, World!")));
//! let server = listen("127.0.0.1:8080") >> connect(http()) >> process(app) >> reply();
//! server.run()
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod guest;
mod host;

pub use host::{Daemon, main};
pub use unary_http::message::{content, html, status, text};
pub use unary_http::{self as http, Body, Request, Response};
pub use unary_net as net;
pub use unary_service as service;
pub use unary_web as web;

/// What most servers need, in one line.
pub mod prelude {
    pub use unary_http::{Body, Request, Response, http};
    pub use unary_net::{Run, connect, listen, process, reply};
    pub use unary_service::{Available, Compose, Context, Error, Filter, HasContext, Next, Service};
    pub use unary_service::{filter_fn, service_fn};
}

/// What the pages show compiles.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/library.md")]
    struct Library;

    #[doc = include_str!("../../../docs/filters.md")]
    struct Filters;
}
