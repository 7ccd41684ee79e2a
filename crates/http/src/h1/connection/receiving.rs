//! The request body that is arriving, on its way from the socket to the service.

use std::task::Context;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;
use unary_service::Kind;

use crate::body::{Feed, Incoming, Wanted};
use crate::h1::body::{BodyDecoder, Piece};
use crate::h1::error::DecodeError;
use crate::h1::head::Framing;

/// What is read and thrown away of a body the service did not want, to save the connection.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Receiving {
    decoder: BodyDecoder,
    feed: Feed,
    interim: Interim,
    discarded: usize,
    /// Bytes that came since this was last asked.
    received: u64,
    /// How long the service has waited for them, and since when it does so again.
    waited: Duration,
    waiting_since: Option<Instant>,
}

/// Whether the peer waits for `100 Continue` (RFC 9110 §10.1.1).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Interim {
    Unasked,
    Awaited,
    Due,
}

/// What a body needs to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Bytes from the peer.
    Bytes,
    /// The service has to take what is there.
    Service,
    /// Nothing: it is whole.
    Nothing,
    /// Nothing can help: the rest is too long to throw away.
    Giving,
}

impl Receiving {
    /// A body framed so, and the service's end of it.
    pub(super) fn new(framing: Framing, expect_continue: bool) -> (Self, Incoming) {
        let length = if let Framing::Length(length) = framing { Some(length) } else { None };
        let (feed, incoming) = Incoming::new(length);
        let interim = if expect_continue { Interim::Awaited } else { Interim::Unasked };
        let receiving = Self {
            decoder: BodyDecoder::new(framing),
            feed,
            interim,
            discarded: 0,
            received: 0,
            waited: Duration::ZERO,
            waiting_since: None,
        };
        (receiving, incoming)
    }

    /// Hands over what has arrived, and says what is needed next.
    pub(super) fn poll(&mut self, task: &mut Context<'_>, input: &mut BytesMut) -> Result<Need, DecodeError> {
        loop {
            let wanted = self.feed.poll_wanted(task);
            if wanted == Wanted::Never && self.interim != Interim::Unasked {
                return Ok(Need::Giving); // It will not be sent, or will: nobody can tell.
            }
            if wanted != Wanted::Never && !self.feed.has_room() {
                return Ok(Need::Service);
            }
            match self.decoder.decode(input) {
                Ok(Some(Piece::Data(data))) if wanted == Wanted::Never => {
                    self.received += data.len() as u64;
                    self.discarded += data.len();
                    if self.discarded > DISCARDED_BYTES_MAX {
                        return Ok(Need::Giving);
                    }
                }
                Ok(Some(Piece::Data(data))) => {
                    self.interim = Interim::Unasked; // It did not wait for our word.
                    self.received += data.len() as u64;
                    self.feed.push(data);
                }
                Ok(Some(Piece::End(trailers))) => {
                    self.feed.complete((!trailers.is_empty()).then_some(trailers));
                    return Ok(Need::Nothing);
                }
                Ok(None) => return Ok(self.need(wanted)),
                Err(error) => {
                    self.feed.fail(Kind::Invalid, "reading a body: the peer's framing makes no sense");
                    return Err(error);
                }
            }
        }
    }

    fn need(&mut self, wanted: Wanted) -> Need {
        match wanted {
            Wanted::NotYet => Need::Service,
            Wanted::Now => {
                if self.interim == Interim::Awaited {
                    self.interim = Interim::Due;
                }
                Need::Bytes
            }
            Wanted::Never => Need::Bytes,
        }
    }

    /// Whether `100 Continue` is to be sent now; only once.
    pub(super) fn take_interim(&mut self) -> bool {
        let due = self.interim == Interim::Due;
        if due {
            self.interim = Interim::Unasked;
        }
        due
    }

    /// Whether the peer was not told to send the body, so that it may or may not come.
    pub(super) fn is_unasked_for(&self) -> bool {
        self.interim != Interim::Unasked
    }

    /// Whether nobody wants the rest, and it is known to be too long to throw away.
    pub(super) fn is_too_much(&self) -> bool {
        let too_much = |left: u64| left > (DISCARDED_BYTES_MAX - self.discarded.min(DISCARDED_BYTES_MAX)) as u64;
        self.decoder.left().is_some_and(too_much) && self.feed.is_unwanted()
    }

    /// Whether it was not; from now on it counts as told.
    pub(super) fn take_unasked_for(&mut self) -> bool {
        std::mem::replace(&mut self.interim, Interim::Unasked) != Interim::Unasked
    }

    /// How long the service has waited for bytes, now included, since they were last counted.
    pub(super) fn waited(&mut self) -> Duration {
        self.waited + self.waiting_since.get_or_insert_with(Instant::now).elapsed()
    }

    /// The service does not wait for bytes now.
    pub(super) fn pause(&mut self) {
        self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
    }

    /// How many bytes have come since the last time this was asked.
    pub(super) fn take_received(&mut self) -> u64 {
        self.waited = Duration::ZERO;
        self.waiting_since = None;
        std::mem::take(&mut self.received)
    }

    /// The peer has closed. Whether the body is whole all the same.
    pub(super) fn end_of_input(&mut self) -> bool {
        let whole = self.decoder.decode_eof().is_ok();
        if whole {
            self.feed.complete(None);
        } else {
            self.feed.fail(Kind::Closed, "reading a body: the peer closed inside it");
        }
        whole
    }

    /// The peer is too slow.
    pub(super) fn give_up(&mut self) {
        self.feed.fail(Kind::Timeout, "reading a body: the peer sends too slowly");
    }
}
