//! The reply that is being streamed: from its body to the output, or from a file to the socket.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use unary_net::Transport;
use unary_net::file::{FileRange, READ_BYTES_MAX};
use unary_service::Error;

use crate::Body;
use crate::body::Kind;
use crate::h1::chunked::encode_end;
use crate::h1::head::Framing;
use crate::h1::output::{Output, Then};

/// A file leaves in pieces of this size at most: a socket seldom takes more at once.
const FILE_BYTES: u64 = 2 * 1024 * 1024;

/// After so much of a file others get their turn, lest one fast reader hold the loop.
const TURN_BYTES: u64 = 2 * 1024 * 1024;

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

    /// The body, or what is left of it.
    pub(super) fn body(&self) -> &Body {
        &self.body
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
                output.count(sent as u64);
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

    /// Whether the end of the connection is what ends it: then an orderly one says that it was complete
    /// (RFC 9112 §8).
    pub(super) fn lasts_until_close(&self) -> bool {
        self.framing == Framing::UntilClose
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
