//! The machine: event loops, listeners, the pipeline, peers, and files that never block a loop.
//!
//! A server is one line, and any [`Codec`](unary_service::Codec) can be its protocol:
//! `listen("127.0.0.1:7000") >> connect(Lines) >> process(service) >> reply()`.

pub mod activation;
pub mod actor;
pub mod address;
mod clients;
pub mod connection;
pub mod conversation;
pub mod descriptors;
pub mod dial;
pub mod event_loop;
pub mod file;
pub mod listener;
pub mod network;
pub mod peer;
pub mod pipeline;
mod places;
pub mod proxy_protocol;
pub mod pulse;
pub mod socket;
pub mod stdio;
pub mod timer;
pub mod tls;
pub mod udp;

pub use actor::{Event, Link, converse};
pub use address::Address;
pub use connection::Connection;
pub use dial::Dial;
pub use event_loop::Run;
pub use listener::{Door, Listener, Opened};
pub use network::Network;
pub use peer::{Peer, WhileThere};
pub use pipeline::{Answer, Drain, Exchange, Listen, Protocol, Slot, connect, listen, process, reply};
pub use places::Waits;
pub use proxy_protocol::proxy_protocol;
pub use pulse::Pulse;
pub use socket::{Socket, Transport};
pub use stdio::Stdio;
pub use udp::{Datagram, ListenUdp, UdpListener, listen_udp};
