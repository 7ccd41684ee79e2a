//! A connection on its way through the line.

use bytes::BytesMut;

use crate::listener::Door;
use crate::pipeline::{Drain, Watch};
use crate::places::Place;
use crate::{Peer, Socket};

/// A connection on its way through the line: its bytes, and what is known of it.
#[derive(Debug)]
pub struct Connection<S> {
    /// The bytes.
    pub stream: S,
    /// Who is at the other end.
    pub peer: Peer,
    /// Bytes that an earlier stage read too many; whoever reads on takes these first.
    pub buffered: BytesMut,
    /// Says when the server wants to stop.
    pub watch: Watch,
    /// This connection's share of the connection cap.
    place: Option<Place>,
}

impl Connection<Socket> {
    /// A connection that a listener made.
    pub(crate) fn accepted(stream: Socket, drain: &Drain, place: Place) -> Self {
        let peer = stream.peer().clone();
        let drain = peer.door().and_then(Door::drain).unwrap_or(drain);
        let watch = drain.watch(peer.number());
        Self { stream, peer, buffered: BytesMut::new(), watch, place: Some(place) }
    }
}

impl<S> Connection<S> {
    /// A connection that no listener made: in memory, or of a protocol inside another.
    pub fn new(stream: S, peer: Peer) -> Self {
        let watch = Drain::new().watch(peer.number());
        Self { stream, peer, buffered: BytesMut::new(), watch, place: None }
    }

    /// The same connection over other bytes, as TLS makes it.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> Connection<T> {
        let Self { stream, peer, buffered, watch, place } = self;
        Connection { stream: change(stream), peer, buffered, watch, place }
    }
}
