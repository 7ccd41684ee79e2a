//! Who may come at all, by address: [`Admit`].

use unary_http::{Request, Response};
use unary_service::{Error, Filter, Kind, Service};

use super::forwarded::Client;
use crate::networks::Networks;

/// Lets in the clients of some networks, or all but those. The others' requests fail as
/// [forbidden](Kind::Forbidden).
///
/// The client is who [`Forwarded`](super::Forwarded) says it is. One of whom nothing is known, since
/// a trusted proxy wrote what makes no sense, is never let in. One that comes over a Unix socket, or
/// from within this process, is of no network, and of a list that says so (`unix`).
///
/// ```
/// use unary_web::{filter::Admit, networks::Networks};
///
/// let office = Admit::only(Networks::parse(["192.0.2.0/24", "2001:db8::/32"])?);
/// let rude = Admit::except(Networks::parse(["198.51.100.7"])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Admit {
    networks: Networks,
    sense: Sense,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Only,
    Except,
}

impl Admit {
    /// Lets in these and nobody else.
    pub fn only(networks: Networks) -> Self {
        Self { networks, sense: Sense::Only }
    }

    /// Lets in all but these.
    pub fn except(networks: Networks) -> Self {
        Self { networks, sense: Sense::Except }
    }

    fn admits(&self, client: Client) -> bool {
        match self.sense {
            Sense::Only => self.networks.contains(client),
            Sense::Except => client != Client::Unknown && !self.networks.contains(client),
        }
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Admit {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        let client = Client::of(&request);
        if !self.admits(client) {
            return Err(Error::new(Kind::Forbidden, "admitting a client").because(format!("{client:?} may not come")));
        }
        next.call(request).await
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

    fn at(address: &str) -> Client {
        Client::Address(address.parse().unwrap())
    }

    #[track_caller]
    fn check(networks: &[&str], client: Client, only: bool, except: bool) {
        let networks = Networks::parse(networks.iter().copied()).unwrap();
        let found = (Admit::only(networks.clone()).admits(client), Admit::except(networks).admits(client));
        assert_eq!(found, (only, except), "{client:?}");
    }

    #[test]
    fn networks_are_let_in_or_kept_out() {
        let networks = ["10.0.0.0/8", "2001:db8::/32"];
        check(&networks, at("10.1.2.3"), true, false);
        check(&networks, at("::ffff:10.1.2.3"), true, false);
        check(&networks, at("2001:db8::1"), true, false);
        check(&networks, at("11.1.2.3"), false, true);
        check(&networks, Client::Local, false, true);
        check(&["unix"], Client::Local, true, false);
    }

    #[test]
    fn somebody_unknown_is_never_let_in() {
        check(&["0.0.0.0/0", "::/0", "unix"], Client::Unknown, false, false);
        check(&[], Client::Unknown, false, false);
    }

    #[tokio::test]
    async fn it_is_the_client_that_counts_and_not_its_proxy() {
        let proxies = || Networks::parse(["10.0.0.0/8"]).unwrap();
        let inside = Admit::only(proxies()).and_then(service_fn(async |_: Request| Ok(message::text("secret"))));
        let app = Forwarded::trusting(proxies()).and_then(inside);
        for (said, expected) in
            [("203.0.113.9", Err(Kind::Forbidden)), ("10.9.9.9", Ok(200)), ("x", Err(Kind::Forbidden))]
        {
            let peer = Peer::new(Some(SocketAddr::from(([10, 0, 0, 1], 9))), None).remote();
            let context = Context { peer: Some(peer), ..Context::default() };
            let request = http::Request::get("/").header("x-forwarded-for", said);
            let request = request.body(Body::empty().with_context(context)).unwrap();
            let outcome = app.call(request).await;
            assert_eq!(outcome.map(|reply| reply.status().as_u16()).map_err(|error| error.kind()), expected, "{said}");
        }
    }
}
