//! HTTP messages, bodies, the HTTP/1.1 engine and HTTP/2.
#![forbid(unsafe_code)]

pub mod any;
pub mod body;
mod early_hints;
pub mod failed;
pub mod h1;
pub mod h2;
pub mod message;
pub mod source;
pub mod tower;

pub use any::{Http, LiveHttp, http};
pub use body::Body;
pub use early_hints::EarlyHints;
pub use message::{Request, Response};
pub use source::Source;
