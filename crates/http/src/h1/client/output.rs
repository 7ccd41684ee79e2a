//! Encoded bytes of a request on their way to the server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use unary_net::Transport;

use crate::h1::chunked::{CHUNK_END, encode_chunk_head};

/// A request gathers up to about here before it is written: the bound on what is held of it.
const OUTPUT_BYTES: usize = 64 * 1024;

/// Pieces up to here are copied behind what is there; longer ones are written from where they are.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// What a connection at rest may keep of its buffer: a long head's worth.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Bytes on their way out, in this order: `front` from `sent` on, `tail`, `end`.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) front: Vec<u8>,
    sent: usize,
    tail: Bytes,
    end: &'static [u8],
    /// Bytes the socket has taken so far.
    taken: u64,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.tail.is_empty() && self.end.is_empty()
    }

    /// Whether anything can be put behind what is there.
    pub(super) fn has_room(&self) -> bool {
        self.tail.is_empty() && self.end.is_empty() && self.front.len() < OUTPUT_BYTES
    }

    /// Puts data behind what is there. Only when there is room.
    pub(super) fn put(&mut self, data: &Bytes) {
        match data.len() <= COPIED_BYTES_MAX {
            true => self.front.extend_from_slice(data),
            false => self.tail = data.clone(),
        }
    }

    /// Puts a chunk behind what is there. Only when there is room.
    pub(super) fn put_chunk(&mut self, data: &Bytes) {
        encode_chunk_head(data.len(), &mut self.front);
        self.put(data);
        match self.tail.is_empty() {
            true => self.front.extend_from_slice(CHUNK_END),
            false => self.end = CHUNK_END,
        }
    }

    /// Bytes the server has taken so far; only the difference to an earlier figure means anything.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Writes all of it. Pending until the socket has taken everything.
    pub(super) fn poll_flush<S: Transport>(&mut self, task: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let front = &self.front[self.sent..];
            let stream = Pin::new(&mut *stream);
            let written = match self.tail.is_empty() && self.end.is_empty() {
                true => ready!(stream.poll_write(task, front))?,
                false => {
                    let slices = [IoSlice::new(front), IoSlice::new(&self.tail), IoSlice::new(self.end)];
                    ready!(stream.poll_write_vectored(task, &slices))?
                }
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, written: usize) {
        self.taken += written as u64;
        let from_front = written.min(self.front.len() - self.sent);
        self.sent += from_front;
        if self.sent == self.front.len() {
            self.front.clear();
            self.sent = 0;
        }
        let from_tail = (written - from_front).min(self.tail.len());
        match from_tail < self.tail.len() {
            true => self.tail.advance(from_tail),
            false => self.tail = Bytes::new(), // An empty rest would keep its memory.
        }
        self.end = &self.end[written - from_front - from_tail..];
    }

    /// Drops what nobody will take any more.
    pub(super) fn clear(&mut self) {
        *self = Self { taken: self.taken, ..Self::default() };
    }

    /// Gives up memory that a connection at rest has no use for.
    pub(super) fn rest(&mut self) {
        self.front.shrink_to(KEPT_BYTES_MAX);
    }
}
