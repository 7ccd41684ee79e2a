//! Handlers: services at the end of a route.

pub mod files;
pub mod proxy;
pub mod redirect;
pub mod respond;

pub use files::Files;
pub use proxy::Proxy;
pub use redirect::Redirect;
pub use respond::Respond;
