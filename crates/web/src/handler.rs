//! Handlers: services at the end of a route.

pub mod files;

pub use files::Files;
