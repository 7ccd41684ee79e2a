//! Whether a request came over TLS: [`Scheme`].

use unary_http::Request;

use crate::filter::forwarded;

/// How a request came: what `http` or `https` would say of it.
///
/// The target's own scheme is no proof, as any client writes `GET https://…` over a plain
/// connection. What counts is this value among the request's extensions, put there by what believes
/// a trusted proxy; and without it, whether the connection itself speaks TLS.
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
        request.extensions().get().copied().unwrap_or_else(|| Self::of_connection(request))
    }

    fn of_connection(request: &Request) -> Self {
        let speaks_tls = forwarded::connection(request).is_some_and(|peer| peer.tls().is_some());
        if speaks_tls { Self::Https } else { Self::Http }
    }
}

#[cfg(test)]
mod tests {
    use unary_http::Body;
    use unary_net::Peer;
    use unary_net::tls::{Alpn, TlsFacts, TlsVersion};
    use unary_service::Context;

    use super::*;

    #[track_caller]
    fn check(said: Option<Scheme>, over_tls: bool, expected: Scheme) {
        let peer = Peer::new(None, None);
        if over_tls {
            let (version, alpn) = (TlsVersion::Tls13, Alpn::Http1);
            peer.secured(TlsFacts {
                version,
                cipher: "",
                server_name: None,
                alpn,
                resumed: false,
                client: None,
                client_ca: None,
            });
        }
        let context = Context { peer: Some(peer.remote()), ..Context::default() };
        let mut request = Request::new(Body::empty().with_context(context));
        *request.uri_mut() = "https://example.com/".parse().unwrap();
        said.map(|scheme| request.extensions_mut().insert(scheme));
        assert_eq!(Scheme::of(&request), expected);
    }

    #[test]
    fn is_the_connections_unless_told() {
        check(None, false, Scheme::Http);
        check(None, true, Scheme::Https);
        check(Some(Scheme::Https), false, Scheme::Https);
        check(Some(Scheme::Http), true, Scheme::Http);
    }
}
