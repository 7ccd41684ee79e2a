//! `listen >> connect >> process >> reply`: the server line over sockets.
//!
//! [`listen()`] produces connections, [`connect()`] turns each into exchanges, [`process`] is the
//! service, [`reply`] fills the slot. User stages fit in all three gaps.

mod calls;
pub mod connect;
pub mod drain;
mod exchange;
pub mod listen;

pub use calls::Calls;
pub use connect::{Connect, Protocol, connect};
pub use drain::{Drain, Watch};
pub use exchange::{Answer, Awaited, Exchange, Process, Reply, Slot, process, reply};
pub use listen::{Listen, listen};
