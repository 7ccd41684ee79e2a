//! The idea: a server is a function from a request to a future of a reply.
//!
//! A [`Service`] answers, a [`Filter`] stands around it, [`Compose`] joins the two; a [`Codec`]
//! turns bytes into requests and replies into bytes; [`flow`] joins producers, transducers and
//! consumers with `>>`. Nothing here knows a socket or HTTP: those are the crates `unary-net`
//! and `unary-http`.
//!
//! ```
//! use unary_service::{Compose, Error, Service, service_fn, filter_fn, Next};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
//! let double = service_fn(async |n: u32| Ok(n * 2));
//! let plus_one = filter_fn(async |n: u32, next: Next<'_, u32, u32>| Ok(next.call(n).await? + 1));
//! let server = plus_one.and_then(double);
//! assert_eq!(server.call(20).await?, 41);
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod actor;
pub mod codec;
pub mod compose;
pub mod context;
pub mod error;
pub mod filter;
pub mod flow;
pub mod joins;
pub mod offload;
pub mod pool;
pub mod service;
pub mod stack;

pub use actor::{Actor, Address, Ask, Behaviour};
pub use codec::Codec;
pub use compose::{AndThen, Compose};
pub use context::{Context, HasContext, Lasting, Remote};
pub use error::{Error, Kind};
pub use filter::{Filter, Next, filter_fn, in_flight::InFlight, timeout::Timeout};
pub use offload::offload;
pub use pool::Pool;
pub use service::{Available, BoxService, Service, Status, service_fn};
pub use stack::Stack;
