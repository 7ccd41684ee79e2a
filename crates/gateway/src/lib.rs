//! CGI, FastCGI and SCGI: how a server and a program speak.
//!
//! Codecs are bytes in, messages out, and both ends share them: `host` is us running a program, `guest` is a program of
//! ours run by somebody else. Starting programs is for `unary-workers`.
#![forbid(unsafe_code)]

pub mod cgi;
pub mod fastcgi;
pub mod guest;
pub mod scgi;

pub use guest::Guest;
