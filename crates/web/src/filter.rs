//! Filters: what stands around a site's handlers.

pub mod access_log;
pub mod basic_auth;
pub mod body_limit;
pub mod compress;
pub mod error_page;
pub mod forwarded;
pub mod headers;
pub mod hsts;
pub mod rate_limit;
pub mod redirect;
pub mod rewrite;

pub use access_log::AccessLog;
pub use basic_auth::BasicAuth;
pub use body_limit::BodyLimit;
pub use compress::Compress;
pub use error_page::ErrorPage;
pub use forwarded::Forwarded;
pub use headers::Headers;
pub use hsts::Hsts;
pub use rate_limit::RateLimit;
pub use redirect::Redirect;
pub use rewrite::Rewrite;
