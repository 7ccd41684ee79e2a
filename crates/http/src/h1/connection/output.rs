//! What is on its way to the peer: encoded bytes, a large body behind them, and the reply being
//! streamed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body as _;
use unary_net::Transport;
use unary_net::file::{FileRange, READ_BYTES_MAX};
use unary_service::Error;

use crate::Body;
use crate::body::Kind;
use crate::h1::chunked::{CHUNK_END, encode_chunk_head, encode_end};
use crate::h1::head::Framing;

/// Replies gather up to about here before they are written, so that those ready together share a
/// system call and no peer makes us hold more.
pub(super) const OUTPUT_BYTES: usize = 64 * 1024;

/// Bodies up to here are copied behind their head; longer ones are written from where they are.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// A file leaves in pieces of this size at most.
const FILE_BYTES: u64 = 1024 * 1024;

/// After so much of a file others get their turn, lest one fast reader hold the loop.
const TURN_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes on their way out, in this order: `front` from `sent` on, `tail`, `end`.
#[derive(Default)]
pub(super) struct Output {
    pub(super) front: Vec<u8>,
    sent: usize,
    tail: Bytes,
    end: &'static [u8],
    /// Bytes the socket has taken so far.
    taken: u64,
    /// Bodies that are encoded but not yet written: a call ends when its last byte has left.
    unsent: Vec<Body>,
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.tail.is_empty() && self.end.is_empty()
    }

    /// Whether anything can be put behind what is there.
    pub(super) fn has_room(&self) -> bool {
        self.tail.is_empty() && self.end.is_empty() && self.front.len() < OUTPUT_BYTES
    }

    /// Keeps what a body holds until all that is here now has been written.
    pub(super) fn keep(&mut self, body: &mut Body) {
        if !body.is_plain() && !self.is_empty() {
            self.unsent.push(std::mem::take(body));
        }
    }

    /// Puts data behind what is there. Only when there is room.
    pub(super) fn put(&mut self, data: &Bytes) {
        match data.len() <= COPIED_BYTES_MAX {
            true => self.front.extend_from_slice(data),
            false => self.tail = data.clone(),
        }
    }

    /// Puts a chunk behind what is there. Only when there is room.
    fn put_chunk(&mut self, data: &Bytes) {
        encode_chunk_head(data.len(), &mut self.front);
        self.put(data);
        match self.tail.is_empty() {
            true => self.front.extend_from_slice(CHUNK_END),
            false => self.end = CHUNK_END,
        }
    }

    /// Writes all of it. Pending until the socket has taken everything.
    pub(super) fn poll_flush<S: Transport>(
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
    pub(super) fn taken(&self) -> u64 {
        self.taken
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
pub(super) enum Then {
    /// Nothing that is known of.
    Nothing,
    /// A file, from the next system call.
    File,
}

/// The reply whose body is being sent piece by piece.
pub(super) struct Sending {
    body: Body,
    framing: Framing,
    /// The socket took nothing of a file when it was last tried.
    blocked: bool,
}

/// How sending went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// As far as it goes now: the body has no more, or the output no room.
    Waiting,
    /// The socket takes no more now.
    Blocked,
    /// The reply is complete.
    Complete,
}

impl Sending {
    /// A body of which [`Framing`] says how it is to end.
    pub(super) fn new(body: Body, framing: Framing) -> Self {
        Self { body, framing, blocked: false }
    }

    /// Moves the body on. An error means that the reply cannot be completed: the connection has to
    /// be cut for the peer to notice.
    pub(super) fn poll<S: Transport>(
        &mut self,
        task: &mut Context<'_>,
        stream: &mut S,
        output: &mut Output,
    ) -> Result<Sent, Error> {
        let mut turn = 0;
        loop {
            self.blocked = false;
            if turn >= TURN_BYTES {
                task.waker().wake_by_ref();
                return Ok(Sent::Blocked);
            }
            self.body.poll_deadline(task)?; // Whether or not the peer lets us get to its next bytes.
            if let Some(range) = self.warm_file(stream) {
                // The head first, and in the same packet.
                self.blocked = output.poll_flush(task, stream, Then::File)?.is_pending();
                if self.blocked {
                    return Ok(Sent::Blocked);
                }
                let Poll::Ready(sent) = stream.poll_send_file(task, &range)? else {
                    self.blocked = true;
                    return Ok(Sent::Blocked);
                };
                output.taken += sent as u64;
                turn += sent as u64;
                self.sent_of_file(sent as u64)?;
            } else if !output.has_room() {
                return Ok(Sent::Waiting);
            } else {
                let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(task)? else { return Ok(Sent::Waiting) };
                match frame.map(http_body::Frame::into_data) {
                    Some(Ok(data)) => self.data(data, output)?,
                    Some(Err(frame)) => return self.end(frame.into_trailers().ok(), output),
                    None => return self.end(None, output),
                }
            }
            if self.framing == Framing::Empty {
                output.keep(&mut self.body);
                return Ok(Sent::Complete);
            }
        }
    }

    /// Whether it waits for the peer to take bytes.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The next piece to send straight from a file, if that will not wait for a disk.
    fn warm_file<S: Transport>(&self, stream: &S) -> Option<FileRange> {
        let Kind::File(range) = &self.body.kind else { return None };
        let Framing::Length(left) = self.framing else { return None };
        let length = range.length.min(left).min(FILE_BYTES);
        let piece = usize::try_from(length).unwrap_or(READ_BYTES_MAX);
        (stream.sends_files() && !self.body.is_reading() && range.file.is_resident(range.offset, piece))
            .then(|| FileRange { file: range.file.clone(), offset: range.offset, length })
    }

    fn sent_of_file(&mut self, sent: u64) -> Result<(), Error> {
        if sent == 0 {
            return Err(Error::internal("sending a file: it is shorter than it was"));
        }
        if let Kind::File(range) = &mut self.body.kind {
            range.offset += sent;
            range.length -= sent;
            if range.length == 0 {
                self.body.kind = Kind::Empty;
            }
        }
        self.body.took(sent);
        self.count(sent)
    }

    fn data(&mut self, data: Bytes, output: &mut Output) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        if self.framing == Framing::Chunked {
            output.put_chunk(&data);
            return Ok(());
        }
        self.count(data.len() as u64)?;
        output.put(&data);
        Ok(())
    }

    /// Counts bytes of a body whose length was announced.
    fn count(&mut self, sent: u64) -> Result<(), Error> {
        if let Framing::Length(left) = self.framing {
            let left = left.checked_sub(sent);
            let left = left.ok_or_else(|| Error::internal("sending a body: it is longer than announced"))?;
            self.framing = if left == 0 { Framing::Empty } else { Framing::Length(left) };
        }
        Ok(())
    }

    fn end(&mut self, trailers: Option<http::HeaderMap>, output: &mut Output) -> Result<Sent, Error> {
        match self.framing {
            Framing::Length(_) => return Err(Error::internal("sending a body: it is shorter than announced")),
            Framing::Chunked => encode_end(&trailers.unwrap_or_default(), &mut output.front),
            Framing::UntilClose | Framing::Empty => {}
        }
        output.keep(&mut self.body);
        Ok(Sent::Complete)
    }
}
