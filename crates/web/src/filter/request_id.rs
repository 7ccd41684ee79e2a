//! A name for each request, by which it is found again in every log: [`RequestIds`].

use http::{HeaderName, HeaderValue};
use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use super::forwarded::Client;
use crate::networks::Trust;
use crate::random::random_u128;

/// The field, unless told otherwise.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest name that is taken over: a UUID and as much again.
const ID_BYTES_MAX: usize = 72;

/// Digits of a new name, five bits each: 100 bits.
const DIGITS: usize = 20;

/// Crockford's base 32: no letter that is mistaken for another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Gives each request a name, in the field `X-Request-ID` of the request, for what is further in,
/// and of the reply.
///
/// A name that a request brings is kept if it comes from a trusted peer, and replaced otherwise.
///
/// ```
/// use unary_web::{filter::RequestIds, networks::{Networks, Trust}};
///
/// let ids = RequestIds::new().trusting(Trust::Of(Networks::parse(["10.0.0.0/8"])?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestIds {
    field: HeaderName,
    trust: Trust,
}

impl RequestIds {
    /// Gives every request a new name.
    pub fn new() -> Self {
        Self { field: X_REQUEST_ID, trust: Trust::Nobody }
    }

    /// Keeps the names that these peers send.
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    /// The same in this field.
    pub fn in_field(self, field: HeaderName) -> Self {
        Self { field, ..self }
    }

    /// The name that the request brings, if it may.
    fn brought(&self, request: &Request) -> Option<HeaderValue> {
        let mut values = request.headers().get_all(&self.field).into_iter();
        let (Some(id), None) = (values.next(), values.next()) else { return None };
        (is_sound(id.as_bytes()) && self.trust.covers(Client::nearest(request))).then(|| id.clone())
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

/// What can stand in any log and any query.
fn is_sound(id: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:+/=@".contains(byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_part)
}

fn new_id() -> [u8; DIGITS] {
    let mut bits = random_u128();
    let mut digits = [0; DIGITS];
    for digit in &mut digits {
        *digit = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
    digits
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for RequestIds {
    type Reply = Response;

    fn apply(&self, mut request: Request, next: &Next) -> impl Future<Output = Result<Response, Error>> + Send {
        let [inward, outward] = self.brought(&request).map_or_else(
            // Two copies: one that is shared would cost as many allocations, and a count.
            || [new_id(); 2].map(|id| HeaderValue::from_bytes(&id).expect("the alphabet is visible ASCII")),
            |brought| [brought.clone(), brought],
        );
        request.headers_mut().insert(&self.field, inward);
        let answer = next.call(request);
        async move {
            let mut outcome = answer.await;
            if let Ok(reply) = &mut outcome {
                reply.headers_mut().insert(&self.field, outward);
            }
            outcome
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use unary_http::{Body, message};
    use unary_net::Peer;
    use unary_service::{Compose, Context, service_fn};

    use super::*;
    use crate::filter::Forwarded;
    use crate::networks::Networks;

    /// The name a request gets that comes from 10.0.0.1 and brings these.
    async fn named(ids: RequestIds, brought: &[&str]) -> String {
        let inside = ids.and_then(service_fn(async |request: Request| {
            Ok(message::text(request.headers()["x-request-id"].to_str().unwrap().to_owned()))
        }));
        // The peer is asked, and not the client it speaks for.
        let app = Forwarded::trusting(Networks::parse(["10.0.0.0/8"]).unwrap()).and_then(inside);
        let peer = Peer::new(Some(SocketAddr::from(([10, 0, 0, 1], 9))), None).remote();
        let context = Context { peer: Some(peer), ..Context::default() };
        let request = http::Request::get("/").header("x-forwarded-for", "203.0.113.9");
        let request = brought.iter().fold(request, |request, id| request.header("x-request-id", *id));
        let reply = app.call(request.body(Body::empty().with_context(context)).unwrap()).await.unwrap();
        let outside = reply.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(reply.headers().get_all("x-request-id").iter().count(), 1);
        assert_eq!(reply.into_body().collect(99).await.unwrap(), outside);
        outside
    }

    fn trusting() -> RequestIds {
        RequestIds::new().trusting(Trust::Of(Networks::parse(["10.0.0.0/8"]).unwrap()))
    }

    #[tokio::test]
    async fn each_request_has_another_name() {
        let (one, other) = (named(RequestIds::new(), &[]).await, named(RequestIds::new(), &[]).await);
        assert_ne!(one, other);
        assert!(one.len() == DIGITS && one.bytes().all(|byte| ALPHABET.contains(&byte)), "{one}");
    }

    #[tokio::test]
    async fn a_name_is_kept_if_its_peer_is_trusted() {
        assert_eq!(named(trusting(), &["a-1:B/c"]).await, "a-1:B/c");
        assert_ne!(named(RequestIds::new(), &["a-1:B/c"]).await, "a-1:B/c");
    }

    #[tokio::test]
    async fn what_is_no_name_is_not_kept() {
        let long = "x".repeat(ID_BYTES_MAX + 1);
        for brought in [&["a b"][..], &[""], &["a\"b"], &["a", "a"], &["{}"], &[&long]] {
            assert_eq!(named(trusting(), brought).await.len(), DIGITS, "{brought:?}");
        }
    }
}
