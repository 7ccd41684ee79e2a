//! What a site needs: a router, filters and handlers.
#![forbid(unsafe_code)]

pub mod choose;
pub mod encoding;
pub mod filter;
pub mod handler;
pub mod networks;
mod random;
pub mod router;
pub mod scheme;
pub mod setting;
mod template;
pub mod user;
