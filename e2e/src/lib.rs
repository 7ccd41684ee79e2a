//! The real binary against real programs: what the tests under `tests/` start, talk to and wait for.
//!
//! The server is the binary that `UNARY_BIN` names, or the one cargo builds. Everything listens on a
//! port the kernel chooses, every wait has an end, and what is started ends with the value that holds
//! it. A test whose program or device is missing says so by [`skip`](skip::skip) and returns.
#![forbid(unsafe_code)]

pub mod admin;
pub mod client;
pub mod clock;
pub mod others;
pub mod pebble;
pub mod program;
pub mod said;
pub mod server;
pub mod skip;
pub mod slow_disk;
pub mod systemd;
pub mod wait;

pub use client::{Client, Reply};
pub use clock::Clock;
pub use program::{Ran, run};
pub use server::{Server, Start, run_config, serve};
pub use skip::{has, may_open, skip};
pub use slow_disk::SlowDisk;
pub use systemd::Systemd;
pub use wait::{PATIENCE, alone, eventually, eventually_within};
