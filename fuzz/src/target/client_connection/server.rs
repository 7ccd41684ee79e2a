//! The server: the same answer on every connection, whatever is asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use unary_http::Body;
use unary_net::{Address, Connection, Peer};
use unary_service::{Available, Error, Service};

use super::Ask;
use crate::target::connection::script::{Script, Transcript};

/// Pieces of a body that is sent, and their length.
const PIECES: usize = 3;
const PIECE: &[u8] = &[b'p'; 3000];

/// Answers on every connection with the same pieces, and keeps what it was asked there. Clones are one.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    pieces: Vec<Bytes>,
    pause: Duration,
    asked: Mutex<Vec<Arc<Transcript>>>,
}

impl Server {
    pub(super) fn new(pieces: &[&[u8]], pause: Duration) -> Self {
        let pieces = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
        Self(Arc::new(Inner { pieces, pause, asked: Mutex::default() }))
    }

    /// Checks that each connection was asked whole requests, the last one aside: its answer may have come
    /// before it was sent.
    pub(super) fn check_asked(&self, ask: Ask) {
        let fields = match ask {
            Ask::Get => "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            Ask::Head => "HEAD / HTTP/1.1\r\nhost: a\r\n\r\n",
            Ask::Upgrade => "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            Ask::Upload => "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n",
        };
        let mut whole = fields.as_bytes().to_vec();
        if ask == Ask::Upload {
            for _ in 0..PIECES {
                whole.extend_from_slice(format!("{:x}\r\n", PIECE.len()).as_bytes());
                whole.extend_from_slice(&[PIECE, b"\r\n"].concat());
            }
            whole.extend_from_slice(b"0\r\n\r\n");
        }
        for transcript in self.0.asked.lock().expect("no panic while the lock is held").iter() {
            let written = transcript.written();
            let mut requests = written.chunks(whole.len());
            assert!(requests.all(|request| whole.starts_with(request)), "{}", written.escape_ascii());
        }
    }
}

impl Available for Server {}

impl Service<Address> for Server {
    type Reply = Connection<Script>;

    async fn call(&self, _: Address) -> Result<Connection<Script>, Error> {
        let transcript = Arc::new(Transcript::default());
        self.0.asked.lock().expect("no panic while the lock is held").push(transcript.clone());
        let pieces: Vec<&[u8]> = self.0.pieces.iter().map(|piece| &**piece).collect();
        Ok(Connection::new(Script::new(&pieces, self.0.pause, transcript), Peer::new(None, None)))
    }
}

/// A body whose length is not known before it ends.
pub(super) fn upload() -> Body {
    Body::stream(Pieces(PIECES))
}

struct Pieces(usize);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
    }
}
