//! WebSockets over HTTP/2, by extended CONNECT (RFC 8441), made to look as they do by HTTP/1.1.
//!
//! A service sees a `GET` that offers to leave HTTP, and answers 101, as it would anyway; the client,
//! which has no such words (§5), sees 200. Beyond that the stream is the connection of both.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::h2::{RecvStream, SendStream};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use unary_net::{Connection, Transport};

use super::flood::FRAMES_PER_PIECE;
use super::sending::Piece;
use super::stream::Shared;
use super::wire::Gauge;
use crate::h1::connection::{Offer, offer};
use crate::{Body, Response};

/// What a server adds to a client's key before it hashes both (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is copied of a write at most: a stream's share of what waits for the socket.
const WRITE_BYTES_MAX: usize = 16 * 1024;

/// A request that asks for a WebSocket, until it is answered.
pub(super) struct Asking {
    offer: Option<Offer>,
    stream: RecvStream,
    accept: String,
}

/// The tunnel's end as its stream sees it: over when the other is dropped.
pub(super) type Open = oneshot::Receiver<Infallible>;

/// Makes of a head that was asked for by extended CONNECT one that asks for the same by HTTP/1.1.
pub(super) fn ask(head: &mut Parts, stream: RecvStream) -> Asking {
    let key = key();
    head.method = Method::GET;
    let headers = &mut head.headers;
    headers.remove(CONTENT_LENGTH);
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    let accept = accept_of(&key);
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    let (offer, extensions) = offer();
    head.extensions.extend(extensions);
    Asking { offer, stream, accept }
}

impl Asking {
    /// Whether this reply takes the offer as RFC 6455 §4.2.2 has it.
    pub(super) fn is_taken_by(&self, response: &Response) -> bool {
        let field = |name| response.headers().get(name).map(HeaderValue::as_bytes);
        let is_websocket = field(UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
        response.status() == StatusCode::SWITCHING_PROTOCOLS
            && is_websocket
            && field(SEC_WEBSOCKET_ACCEPT) == Some(self.accept.as_bytes())
    }

    /// Hands the stream over to whoever took the offer by a reply with this body.
    pub(super) fn open(self, send: SendStream<Piece>, reply: &mut Body, shared: &Shared) -> Open {
        let (alive, open) = oneshot::channel();
        let gauge = shared.gauge.clone();
        let tunnel = Tunnel { send, stream: self.stream, input: Bytes::new(), ended: false, gauge, _alive: alive };
        let mut connection = Connection::new(tunnel, shared.peer.clone());
        connection.watch = shared.drain.watch(shared.peer.number());
        if let Some(mut offer) = self.offer {
            offer.keep(reply);
            offer.accept(connection);
        }
        open
    }
}

/// Makes of the reply that took the offer what extended CONNECT is answered with.
pub(super) fn accepted(response: &mut Response) {
    *response.status_mut() = StatusCode::OK;
    let headers: &mut HeaderMap = response.headers_mut();
    for name in [SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
}

/// Sixteen bytes that nobody expects (RFC 6455 §4.1): not a secret, but another each time.
fn key() -> String {
    let random = || RandomState::new().hash_one(GUID).to_ne_bytes();
    BASE64_STANDARD.encode([random(), random()].concat())
}

fn accept_of(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// The bytes of a stream that is no longer HTTP's.
struct Tunnel {
    send: SendStream<Piece>,
    stream: RecvStream,
    /// What came and was not read yet: of one frame.
    input: Bytes,
    ended: bool,
    gauge: Arc<Gauge>,
    _alive: oneshot::Sender<Infallible>,
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.input.is_empty() {
            match ready!(this.stream.poll_data(task)) {
                Some(data) => this.input = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.input.len().min(into.remaining());
        into.put_slice(&this.input[..length]);
        this.input.advance(length);
        // It fails only where more is given back than came.
        let _ = this.stream.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wanted = bytes.len().min(WRITE_BYTES_MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        this.send.reserve_capacity(wanted);
        while this.send.capacity() == 0 {
            match ready!(this.send.poll_capacity(task)) {
                Some(room) => drop(room.map_err(broken)?),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = wanted.min(this.send.capacity());
        this.gauge.earn(FRAMES_PER_PIECE);
        this.send.send_data(Piece::amid(Bytes::copy_from_slice(&bytes[..length])), false).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // The connection's task sees to that.
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.ended, true) {
            this.send.send_data(Piece::amid(Bytes::new()), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Transport for Tunnel {}

fn broken(error: ::h2::Error) -> io::Error {
    match error.is_io() {
        true => error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
        false => io::Error::new(io::ErrorKind::ConnectionReset, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_answered_as_the_rfc_has_it() {
        // The example of RFC 6455 §1.3.
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let keys = [key(), key()];
        assert!(keys[0] != keys[1] && keys.iter().all(|key| key.len() == 24), "{keys:?}");
    }
}
