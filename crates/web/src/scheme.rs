//! Whether a request came over TLS: [`Scheme`].

use unary_http::Request;

/// How a request came: what `http` or `https` would say of it.
///
/// The target's own scheme is no proof, as any client writes `GET https://…` over a plain
/// connection. What counts is this value among the request's extensions, put there by whoever
/// knows: what ends TLS, or what believes a trusted proxy. Without it a request came in the clear.
///
/// ```
/// use unary_http::{Body, Request};
/// use unary_web::scheme::Scheme;
///
/// let mut request = Request::new(Body::empty());
/// assert_eq!(Scheme::of(&request), Scheme::Http);
/// request.extensions_mut().insert(Scheme::Https);
/// assert_eq!(Scheme::of(&request), Scheme::Https);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// How this request came.
    pub fn of(request: &Request) -> Self {
        request.extensions().get().copied().unwrap_or(Self::Http)
    }
}
