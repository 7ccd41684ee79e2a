//! The line over real loopback sockets, and the wires beneath it.

mod actor;
mod connections;
mod draining;
mod lines;
mod listener;
mod pipeline;
mod proxy_protocol;
mod server;
mod udp;
mod unix;
