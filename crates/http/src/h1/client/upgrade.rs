//! A connection that a server agrees to take out of HTTP (RFC 9110 §7.8): the client's end of
//! [`super::super::connection::Upgrade`].

use std::sync::{Arc, Mutex};

use tokio::sync::OwnedSemaphorePermit;
use unary_net::Transport;

use super::wire::Wire;
use crate::Response;
use crate::h1::Upgraded;

/// Extensions have to be `Clone`; a connection can be taken once.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Upgraded>>>);

impl Upgraded {
    /// Takes a client's connection out of the reply that agreed, by `101 Switching Protocols` or 2xx to
    /// `CONNECT`. `None` if it did not, and the second time. Not taken, it closes with the reply.
    pub fn of<B>(response: &mut http::Response<B>) -> Option<Self> {
        let shared = response.extensions_mut().remove::<Shared>()?;
        shared.0.lock().ok()?.take()
    }
}

/// Puts the connection into the reply that agreed. It has left its pool; among the tunnels this is its place.
pub(super) fn put<S: Transport>(wire: Wire<S>, tunnel: Option<OwnedSemaphorePermit>, response: &mut Response) {
    let upgraded = Upgraded::of_client(wire.into_connection(), tunnel);
    response.extensions_mut().insert(Shared(Arc::new(Mutex::new(Some(upgraded)))));
}
