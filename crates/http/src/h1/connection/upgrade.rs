//! Handing a connection over to another protocol (RFC 9110 §7.8), WebSocket above all.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use http::Extensions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use unary_net::pipeline::Watch;
use unary_net::{Connection, Peer, Transport};
use unary_service::Error;

/// The offer to take a request's connection over. A service that answers 101 (or 2xx to
/// `CONNECT`) awaits it, outside the call, to get the bytes that follow.
///
/// ```no_run
/// # use unary_http::{Request, Response, h1::connection::Upgrade};
/// # async fn serve(mut request: Request) -> Result<Response, unary_service::Error> {
/// if let Some(upgrade) = Upgrade::of(&mut request) {
///     tokio::spawn(async move {
///         let connection = upgrade.taken().await;
///         // Speak the other protocol.
///     });
/// }
/// # Ok(Response::default()) }
/// ```
pub struct Upgrade(oneshot::Receiver<Upgraded>);

/// The connection's end of an offer.
pub(super) struct Offer(oneshot::Sender<Upgraded>);

/// Request extensions have to be `Clone`; an offer can be taken once.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Upgrade>>>);

impl Upgrade {
    /// Takes the offer out of a request that made one. `None` the second time.
    pub fn of<B>(request: &mut http::Request<B>) -> Option<Self> {
        let shared = request.extensions_mut().remove::<Shared>()?;
        shared.0.lock().ok()?.take()
    }

    /// Waits until the reply that accepts has been sent. Fails if another reply was sent instead,
    /// or the connection was lost.
    pub async fn taken(self) -> Result<Upgraded, Error> {
        self.0.await.map_err(|_| Error::closed("upgrading a connection: it was not handed over"))
    }
}

/// An offer, and the extensions by which a request makes it.
#[cold]
pub(super) fn offer() -> (Option<Offer>, Extensions) {
    let (sender, receiver) = oneshot::channel();
    let mut extensions = Extensions::new();
    extensions.insert(Shared(Arc::new(Mutex::new(Some(Upgrade(receiver))))));
    (Some(Offer(sender)), extensions)
}

impl Offer {
    /// Hands the connection over. If nobody waits for it any more, it closes.
    pub(super) fn accept<S: Transport>(self, connection: Connection<S>) {
        let mut connection = connection.map(|stream| Box::new(stream) as Box<dyn Transport>);
        let left_over = std::mem::take(&mut connection.buffered);
        let _ = self.0.send(Upgraded { connection, left_over });
    }
}

/// A connection that was handed over. It still counts as one of the server's.
pub struct Upgraded {
    connection: Connection<Box<dyn Transport>>,
    /// What came after the request's head, before the connection changed hands.
    left_over: BytesMut,
}

impl Upgraded {
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
        ready!(Pin::new(&mut self.connection.stream).poll_read(task, buffer))?;
        Poll::Ready(Ok(()))
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

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgraded").field(self.peer()).finish()
    }
}
