//! CGI (RFC 3875): what a program is told of a request, and how what it writes becomes a reply.
//!
//! FastCGI and SCGI carry the same variables and the same replies over other wires.

pub mod environment;
pub mod guest;
pub mod head;
pub mod reply;
