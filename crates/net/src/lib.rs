//! The machine: event loops, listeners, the pipeline, peers, and files that never block a loop.
//!
//! A server is one line, and any [`Codec`](unary_service::Codec) can be its protocol:
//! `listen("127.0.0.1:7000") >> connect(Lines) >> process(service) >> reply()`.

pub mod address;
pub mod event_loop;
pub mod file;
pub mod peer;
pub mod pipeline;
pub mod socket;
pub mod timer;

pub use address::Address;
pub use event_loop::Run;
pub use peer::Peer;
pub use pipeline::{
    Answer, Connection, Drain, Exchange, Listen, Listener, Protocol, Slot, connect, listen, process, reply,
};
pub use socket::{Socket, Transport};
