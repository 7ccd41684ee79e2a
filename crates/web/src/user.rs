//! Who a request was found to come from: [`User`].

use std::fmt;
use std::sync::Arc;

use http::Extensions;

/// The name of a user who proved to be that user.
///
/// The filter that let them in puts it among the request's extensions, for what is further in, and
/// among the reply's, for what is further out and saw the request before: the access log.
///
/// ```
/// use unary_http::{Request, Response, message};
/// use unary_service::Error;
/// use unary_web::user::User;
///
/// async fn greet(request: Request) -> Result<Response, Error> {
///     let name = User::of(request.extensions()).map_or("nobody", User::name);
///     Ok(message::text(format!("Hello, {name}")))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User(Arc<str>);

impl User {
    /// The user of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The user of a request or a reply.
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
