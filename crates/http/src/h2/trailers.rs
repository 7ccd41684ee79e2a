//! Trailer fields, both ways.

use http::HeaderMap;

use crate::h1::decode::may_trail;

/// Leaves out those that may not trail (RFC 9110 §6.5.1), as HTTP/1.1 does here.
pub(super) fn only_allowed(mut trailers: HeaderMap) -> HeaderMap {
    let forbidden = trailers.keys().filter(|name| !may_trail(name)).cloned().collect::<Vec<_>>();
    for name in forbidden {
        trailers.remove(name);
    }
    trailers
}
