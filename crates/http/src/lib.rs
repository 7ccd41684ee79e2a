//! HTTP messages, bodies and the HTTP/1.1 engine.
#![forbid(unsafe_code)]

pub mod body;
pub mod failed;
pub mod h1;
pub mod message;
pub mod tower;

pub use body::Body;
pub use message::{Request, Response};
