//! What is on its way to the peer, a server's or a client's: encoded bytes, and a large body behind
//! them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use unary_net::Transport;

use crate::Body;
use crate::h1::chunked::{CHUNK_END, encode_chunk_head};

/// Messages gather up to about here before they are written, so that those ready together share a
/// system call and no peer makes us hold more.
pub(in crate::h1) const OUTPUT_BYTES: usize = 64 * 1024;

/// Bodies up to here are copied behind their head; longer ones are written from where they are.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// What a client's connection at rest may keep of its buffer: a long head's worth.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Bytes on their way out, in this order: `front` from `sent` on, `tail`, `end`.
#[derive(Debug, Default)]
pub(in crate::h1) struct Output {
    pub(in crate::h1) front: Vec<u8>,
    sent: usize,
    tail: Bytes,
    end: &'static [u8],
    /// Bytes the socket has taken so far.
    taken: u64,
    /// Bodies that are encoded but not yet written: a call ends when its last byte has left.
    unsent: Vec<Body>,
}

impl Output {
    pub(in crate::h1) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.tail.is_empty() && self.end.is_empty()
    }

    /// Whether anything can be put behind what is there.
    pub(in crate::h1) fn has_room(&self) -> bool {
        self.tail.is_empty() && self.end.is_empty() && self.front.len() < OUTPUT_BYTES
    }

    /// Keeps what a body holds until all that is here now has been written.
    pub(in crate::h1) fn keep(&mut self, body: &mut Body) {
        if !body.is_plain() && !self.is_empty() {
            self.unsent.push(std::mem::take(body));
        }
    }

    /// Puts data behind what is there. Only when there is room.
    pub(in crate::h1) fn put(&mut self, data: &Bytes) {
        match data.len() <= COPIED_BYTES_MAX {
            true => self.front.extend_from_slice(data),
            false => self.tail = data.clone(),
        }
    }

    /// Puts a chunk behind what is there. Only when there is room.
    pub(in crate::h1) fn put_chunk(&mut self, data: &Bytes) {
        encode_chunk_head(data.len(), &mut self.front);
        self.put(data);
        match self.tail.is_empty() {
            true => self.front.extend_from_slice(CHUNK_END),
            false => self.end = CHUNK_END,
        }
    }

    /// Writes all of it. Pending until the socket has taken everything.
    pub(in crate::h1) fn poll_flush<S: Transport>(
        &mut self,
        task: &mut Context<'_>,
        stream: &mut S,
        then: Then,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let front = &self.front[self.sent..];
            let stream = Pin::new(&mut *stream);
            let written = if self.tail.is_empty() && self.end.is_empty() {
                match then {
                    Then::Nothing => ready!(stream.poll_write(task, front))?,
                    Then::File => ready!(stream.poll_write_more(task, front))?,
                }
            } else {
                let slices = [IoSlice::new(front), IoSlice::new(&self.tail), IoSlice::new(self.end)];
                ready!(stream.poll_write_vectored(task, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        self.unsent.clear();
        Poll::Ready(Ok(()))
    }

    /// Bytes the peer has taken so far; only the difference to an earlier figure means anything.
    pub(in crate::h1) fn taken(&self) -> u64 {
        self.taken
    }

    /// So many bytes of a file were taken behind what was here.
    pub(in crate::h1) fn count(&mut self, sent: u64) {
        self.taken += sent;
    }

    /// Drops what nobody will take any more.
    pub(in crate::h1) fn clear(&mut self) {
        *self = Self { taken: self.taken, ..Self::default() };
    }

    /// What is here will never leave: the body it is of has counted it as taken. That is `sending`, or the
    /// last one that is complete.
    pub(in crate::h1) fn give_up(&self, sending: Option<&Body>) {
        if let Some(body) = sending.or(self.unsent.last()) {
            body.gave_back((self.front.len() - self.sent + self.tail.len()) as u64);
        }
    }

    /// Gives up memory that a connection at rest has no use for.
    pub(in crate::h1) fn rest(&mut self) {
        self.front.shrink_to(KEPT_BYTES_MAX);
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
}

/// What follows the bytes being written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::h1) enum Then {
    /// Nothing that is known of.
    Nothing,
    /// A file, from the next system call.
    File,
}
