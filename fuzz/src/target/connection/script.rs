//! The wire: gives out pieces one by one, and writes down what it takes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};
use unary_net::Transport;

/// Takes at most so much at once, and nothing every third time.
const TAKEN_BYTES_MAX: usize = 4000;

/// A client that follows a script.
#[derive(Debug)]
pub(in crate::target) struct Script {
    pieces: VecDeque<Bytes>,
    pause: Duration,
    /// Until when there is nothing to read; `None` if that is yet to begin.
    rest: Option<Pin<Box<Sleep>>>,
    writes: usize,
    transcript: Arc<Transcript>,
}

/// What the server said.
#[derive(Debug, Default)]
pub(in crate::target) struct Transcript {
    written: Mutex<BytesMut>,
    closed: Notify,
}

impl Transcript {
    /// Waits until the server has let go of the wire.
    pub(in crate::target) async fn closed(&self) {
        self.closed.notified().await;
    }

    /// All of it.
    pub(in crate::target) fn written(&self) -> Bytes {
        self.lock().clone().freeze()
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.written.lock().expect("no panic while the lock is held")
    }
}

impl Script {
    /// Sends these pieces, pausing before each, then no more.
    pub(in crate::target) fn new(pieces: &[&[u8]], pause: Duration, transcript: Arc<Transcript>) -> Self {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty());
        let pieces = pieces.map(|piece| Bytes::copy_from_slice(piece)).collect();
        Self { pieces, pause, rest: None, writes: 0, transcript }
    }
}

impl Transport for Script {}

impl AsyncRead for Script {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let pause = self.pause;
        let begins = self.rest.is_none();
        let rest = self.rest.get_or_insert_with(|| Box::pin(sleep(pause)));
        if begins && pause.is_zero() {
            task.waker().wake_by_ref(); // Nothing is there, for a moment.
            return Poll::Pending;
        }
        ready!(rest.as_mut().poll(task));
        if let Some(piece) = self.pieces.front_mut() {
            let length = piece.len().min(buffer.remaining());
            buffer.put_slice(&piece.split_to(length));
            if piece.is_empty() {
                self.pieces.pop_front();
                self.rest = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        if self.writes.is_multiple_of(3) {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let taken = bytes.len().min(TAKEN_BYTES_MAX);
        self.transcript.lock().extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.transcript.closed.notify_one();
    }
}
