//! Processes that work for a server.
//!
//! Today that is the server process itself: the [`keeper`] holds privileges and listening sockets, and
//! starts, replaces and upgrades the process that serves.

pub mod keeper;
pub mod service_manager;
