//! Processes that work for a server.
//!
//! The server process itself is one: the [`keeper`] holds privileges and listening sockets, and starts, replaces and
//! upgrades the process that serves. Others answer for a route: programs that speak [`fastcgi`] or [`scgi`].

pub mod asked;
pub mod fastcgi;
pub mod host;
pub mod keeper;
pub mod scgi;
pub mod service_manager;
