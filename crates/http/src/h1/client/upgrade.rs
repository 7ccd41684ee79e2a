//! A connection that both ends have taken out of HTTP (RFC 9110 §7.8): the client's end of
//! [`super::super::connection::Upgrade`].

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use unary_net::{Connection, Peer, Transport};

use super::wire::{Place, Wire};
use crate::Response;

/// A connection that a server has agreed to take out of HTTP, by `101 Switching Protocols` or 2xx to
/// `CONNECT`. It still counts as one of its pool's.
pub struct Upgraded {
    connection: Connection<Box<dyn Transport>>,
    /// What came after the reply's head.
    left_over: BytesMut,
    _place: Place,
}

/// Extensions have to be `Clone`; a connection can be taken once.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Upgraded>>>);

impl Upgraded {
    /// Takes the connection out of the reply that agreed. `None` if it did not, and the second time.
    /// Not taken, it closes with the reply.
    pub fn of<B>(response: &mut http::Response<B>) -> Option<Self> {
        let shared = response.extensions_mut().remove::<Shared>()?;
        shared.0.lock().ok()?.take()
    }

    pub(super) fn new<S: Transport>(wire: Wire<S>) -> Self {
        let (connection, place) = wire.into_parts();
        let mut connection = connection.map(|stream| Box::new(stream) as Box<dyn Transport>);
        let left_over = std::mem::take(&mut connection.buffered);
        Self { connection, left_over, _place: place }
    }

    pub(super) fn put(self, response: &mut Response) {
        response.extensions_mut().insert(Shared(Arc::new(Mutex::new(Some(self)))));
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.connection.peer
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.left_over.has_remaining() {
            let length = self.left_over.len().min(buffer.remaining());
            buffer.put_slice(&self.left_over.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.connection.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.connection.stream).poll_write(task, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.connection.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.connection.stream).poll_shutdown(task)
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(self.peer()).finish()
    }
}
