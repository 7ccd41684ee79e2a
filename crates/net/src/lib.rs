//! The machine: event loops, listeners, the pipeline, peers, and files that never block a loop.
//!
//! A server is one line, and any [`Codec`](unary_service::Codec) can be its protocol:
//! `listen("127.0.0.1:7000") >> connect(Lines) >> process(service) >> reply()`.

pub mod file;
