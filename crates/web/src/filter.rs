//! Filters: what stands around a site's handlers.

pub mod access_log;
pub mod admit;
pub mod basic_auth;
pub mod body_limit;
pub mod compress;
pub mod cors;
pub mod error_page;
pub mod forwarded;
pub mod headers;
pub mod hsts;
pub mod metrics;
pub mod rate_limit;
pub mod redirect;
pub mod request_id;
pub mod rewrite;
pub mod trace;

pub use access_log::AccessLog;
pub use admit::Admit;
pub use basic_auth::BasicAuth;
pub use body_limit::BodyLimit;
pub use compress::Compress;
pub use cors::Cors;
pub use error_page::ErrorPage;
pub use forwarded::Forwarded;
pub use headers::Headers;
pub use hsts::Hsts;
pub use metrics::Metrics;
pub use rate_limit::RateLimit;
pub use redirect::Redirect;
pub use request_id::RequestIds;
pub use rewrite::Rewrite;
pub use trace::Trace;
