//! A connection that is no longer HTTP's (RFC 9110 §7.8): what is left of it, as a stream of bytes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use unary_net::pipeline::Watch;
use unary_net::{Connection, Peer, Transport};

use super::client::Place;

/// A connection that both ends took out of HTTP: a server's, which got it from its client by
/// [`Upgrade`](super::connection::Upgrade), or a client's, by a reply of its server. It still counts as
/// one of the server's, or of the pool's.
pub struct Upgraded {
    connection: Connection<Box<dyn Transport>>,
    /// What came behind the head, before the connection changed hands.
    left_over: BytesMut,
    _place: Option<Place>,
}

impl Upgraded {
    pub(super) fn new<S: Transport>(connection: Connection<S>, place: Option<Place>) -> Self {
        let mut connection = connection.map(|stream| Box::new(stream) as Box<dyn Transport>);
        let left_over = std::mem::take(&mut connection.buffered);
        Self { connection, left_over, _place: place }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.connection.peer
    }

    /// Says when the server wants to stop. HTTP's way of saying so does not reach this connection
    /// any more, and the server waits for it until the deadline.
    pub fn watch(&self) -> Watch {
        self.connection.watch.drain.watch(self.peer().number())
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
