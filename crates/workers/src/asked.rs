//! Who asks, and how: what is known of a request beside what it says, and told to programs.
//!
//! Filters of a site know more than the connection does: which client a trusted proxy speaks for, who has given a
//! password. They are further out than this crate; hence whoever builds a site says how to [find it out](Ask).

use unary_gateway::cgi::environment::{Client, Facts, Scheme};
use unary_http::Request;
use unary_net::Peer;
use unary_service::HasContext;

/// Finds out who asks.
pub type Ask = fn(&Request) -> Asked;

/// What is known of a request beside what it says.
#[derive(Debug, Default)]
pub struct Asked {
    /// Who asks, and how.
    pub facts: Facts,
    /// The connection that it came over, of which it is to be seen whether somebody is still there.
    pub peer: Option<Peer>,
}

impl Asked {
    /// What the request's connection says.
    pub fn directly(request: &Request) -> Self {
        let Some(context) = request.context() else { return Self::default() };
        let client = context.peer.as_ref().and_then(|peer| peer.address()).map_or(Client::Local, Client::Address);
        let peer = Peer::of(context);
        let is_tls = peer.as_ref().is_some_and(|peer| peer.tls().is_some());
        let scheme = if is_tls { Scheme::Https } else { Scheme::Http };
        let server = peer.as_ref().and_then(Peer::local);
        Self { facts: Facts { client, server, scheme, ..Facts::default() }, peer }
    }
}
