//! A connection that is no longer HTTP's (RFC 9110 §7.8): what is left of it, as a stream of bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use unary_net::pipeline::Watch;
use unary_net::{Connection, Peer, Transport};
use unary_service::Error;

use crate::Body;

/// A connection that both ends took out of HTTP: a server's, which got it from its client by
/// [`Upgrade`](super::connection::Upgrade), or a client's, by a reply of its server. It still counts as
/// one of the server's, or as one of the pool's tunnels.
///
/// A server's is the rest of the call that led to it, and ends it: what the reply held (permits, the line
/// in the log) is kept until this is dropped, bytes that are written count as the reply's, and reading and
/// writing fail once the call's deadline has passed.
pub struct Upgraded {
    connection: Connection<Box<dyn Transport>>,
    /// What came behind the head, before the connection changed hands.
    left_over: BytesMut,
    /// The call it is part of, a server's.
    call: Body,
    /// Its place among a pool's tunnels, a client's.
    _tunnel: Option<OwnedSemaphorePermit>,
}

impl Upgraded {
    /// A server's, whose reply's body is this.
    pub(super) fn of_server<S: Transport>(connection: Connection<S>, reply: Body) -> Self {
        Self::new(connection, reply.into_call(), None)
    }

    /// A client's, with its place among the tunnels.
    pub(super) fn of_client<S: Transport>(connection: Connection<S>, tunnel: Option<OwnedSemaphorePermit>) -> Self {
        Self::new(connection, Body::empty(), tunnel)
    }

    fn new<S: Transport>(connection: Connection<S>, call: Body, tunnel: Option<OwnedSemaphorePermit>) -> Self {
        let mut connection = connection.map(|stream| Box::new(stream) as Box<dyn Transport>);
        let left_over = std::mem::take(&mut connection.buffered);
        Self { connection, left_over, call, _tunnel: tunnel }
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

    /// When its call has to be over; `None` if there is no such time. Whoever neither reads nor writes
    /// sees to that.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }
}

impl AsyncRead for Upgraded {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.call.poll_deadline(task).map_err(late)?;
        if self.left_over.has_remaining() {
            let length = self.left_over.len().min(buffer.remaining());
            buffer.put_slice(&self.left_over.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.connection.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.call.poll_deadline(task).map_err(late)?;
        let written = ready!(Pin::new(&mut self.connection.stream).poll_write(task, bytes))?;
        self.call.took(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection.stream).poll_shutdown(task)
    }
}

fn late(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, error)
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(self.peer()).finish()
    }
}
