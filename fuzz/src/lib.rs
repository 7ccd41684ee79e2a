//! Fuzz targets for every decoder, and a driver for stable Rust.
//!
//! A target takes any bytes and panics if one of its laws does not hold: the same result however
//! the bytes are cut, limits kept, what is encoded decodes to the same, nothing hangs. The
//! [`driver`] makes up the bytes; `fuzz/libfuzzer` lets `cargo fuzz` do so instead.
#![forbid(unsafe_code)]

pub mod driver;
pub mod target;

pub use target::cgi_reply::cgi_reply;
pub use target::chunked::chunked;
pub use target::client_connection::client_connection;
pub use target::connection::connection;
pub use target::fastcgi::fastcgi;
pub use target::guest::guest;
pub use target::h2_connection::h2_connection;
pub use target::head::head;
pub use target::proxy_protocol::proxy_protocol;
pub use target::response_head::response_head;
