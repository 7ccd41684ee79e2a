//! SCGI: a request is one netstring of variables and the body behind it, a reply what a CGI program writes.

pub mod guest;
pub mod head;
