//! Filters: what stands around a site's handlers.

pub mod access_log;

pub use access_log::AccessLog;
