//! Processes that work for a server.
//!
//! - The [`keeper`] holds privileges and listening sockets, and starts, replaces and upgrades the process that serves.
//! - [`program`] says what else it may run, as the config names it, and the [`spawner`] is how a server asks for that.
//! - A [`pool`] has workers of such a program while they are asked for, and sends requests to them.
//! - [`cgi`] has a program run for each request.
//! - Others answer for a route: programs that speak [`fastcgi`] or [`scgi`].

pub mod asked;
pub mod cgi;
pub mod fastcgi;
pub mod host;
pub mod keeper;
pub mod local_redirect;
pub mod php;
pub mod pool;
mod process;
pub mod program;
pub mod scgi;
pub mod send_file;
pub mod service_manager;
pub mod spawner;
mod spool;
mod user;
mod voice;
