//! The crate as its users see it: filters around services, put together both ways.

mod in_flight;
mod message;
mod timeout;
mod together;
