//! HTTP/1.1: messages to bytes and back, without sockets (RFC 9112).
//!
//! [`decode`] turns bytes into heads and [`encode`] heads into bytes; [`body`] and [`chunked`] do the
//! same for what follows a head. A server decodes requests and encodes responses, a client the other
//! way round, both with the same code. All of it is strict: what two readers could understand
//! differently is refused, with the status and the place ([`error`]).

pub mod body;
pub mod chunked;
pub mod client;
pub mod connection;
mod counters;
pub mod decode;
pub mod encode;
pub mod error;
pub mod head;
mod output;
pub mod pool;
pub(crate) mod token;
mod upgraded;

pub use counters::{Counters, Counts};
pub use upgraded::Upgraded;
