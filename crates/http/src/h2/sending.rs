//! A reply's body on its way to the peer, no faster than the peer's windows let it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::h2::{Reason, SendStream};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use unary_net::file::FileRange;
use unary_net::timer::{Ticks, Timer};
use unary_service::Error;

use super::flood::FRAMES_PER_PIECE;
use super::trailers::only_allowed;
use super::wire::Gauge;
use crate::Body;
use crate::body::Kind;
use crate::h1::head::Framing;

/// What one stream may have on its way out, besides the piece in hand.
pub(super) const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// A file is read in pieces of this size at most: what a peer that opens all its streams and then takes
/// nothing can make us hold of each.
const FILE_BYTES: u64 = 64 * 1024;

/// Bytes of a body, and after the last of them what is to be kept until they have left.
pub(super) struct Piece {
    bytes: Bytes,
    until_sent: Option<Box<Body>>,
}

impl Piece {
    /// Bytes that are not a body's last.
    pub(super) fn amid(bytes: Bytes) -> Self {
        Self { bytes, until_sent: None }
    }

    /// A body's last bytes. A call ends when they have left, or never will.
    pub(super) fn last(bytes: Bytes, body: &mut Body) -> Self {
        let until_sent = (!body.is_plain()).then(|| Box::new(std::mem::take(body)));
        Self { bytes, until_sent }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(body) = self.until_sent.as_ref().filter(|_| !self.bytes.is_empty()) {
            body.gave_back(self.bytes.len() as u64);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// The reply whose body is being sent piece by piece.
pub(super) struct Sending {
    stream: SendStream<Piece>,
    body: Body,
    framing: Framing,
    /// What the body gave and the windows have no room for yet.
    piece: Bytes,
    /// The rest of the file of which the body is a piece.
    rest: Option<FileRange>,
    stall: Ticks,
    timer: Timer,
    stalls: bool,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.piece.is_empty() {
            self.body.gave_back(self.piece.len() as u64);
        }
    }
}

/// Why a body was not sent to its end.
pub(super) enum Cut {
    /// The peer reset the stream.
    Reset,
    /// The peer takes nothing of it.
    Stalled,
    /// It is none of the peer's doing.
    Failed(Error),
}

impl From<Error> for Cut {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<::h2::Error> for Cut {
    fn from(_: ::h2::Error) -> Self {
        Self::Reset // There is no other way that sending fails: what is sent, and when, is for us to know.
    }
}

impl Sending {
    /// A body of which [`Framing`] says how it is to end. Its peer may take nothing of it for so long.
    pub(super) fn new(stream: SendStream<Piece>, body: Body, framing: Framing, stall: Ticks) -> Self {
        let (piece, timer) = (Bytes::new(), Timer::default());
        Self { stream, body, framing, piece, rest: None, stall, timer, stalls: false }
    }

    /// Moves it on. Ready once all of it is on its way.
    pub(super) fn poll(&mut self, task: &mut Context<'_>, gauge: &Gauge) -> Poll<Result<(), Cut>> {
        let sent = self.poll_sent(task, gauge);
        match &sent {
            Poll::Ready(Err(Cut::Stalled)) => self.stream.send_reset(Reason::CANCEL),
            Poll::Ready(Err(Cut::Failed(_))) => self.stream.send_reset(Reason::INTERNAL_ERROR),
            Poll::Ready(_) | Poll::Pending => {}
        }
        sent
    }

    fn poll_sent(&mut self, task: &mut Context<'_>, gauge: &Gauge) -> Poll<Result<(), Cut>> {
        loop {
            self.body.poll_deadline(task)?; // Whether or not the peer has room.
            // Only as much room as there is use for: what one stream holds of the connection's window
            // the others lack. But nothing is got ready that there is no room for.
            let room = ready!(self.poll_room(task, self.piece.len().max(1)))?;
            if self.piece.is_empty() {
                if let Some(trailers) = ready!(self.poll_body(task))? {
                    return Poll::Ready(self.end(trailers));
                }
                continue;
            }
            gauge.earn(FRAMES_PER_PIECE);
            let bytes = self.piece.split_to(room.min(self.piece.len()));
            if self.piece.is_empty() && self.is_over() {
                self.stream.send_data(Piece::last(bytes, &mut self.body), true)?;
                return Poll::Ready(Ok(()));
            }
            self.stream.send_data(Piece::amid(bytes), false)?;
        }
    }

    /// Waits for room in the peer's windows, and says how much there is.
    fn poll_room(&mut self, task: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Cut>> {
        self.stream.reserve_capacity(wanted);
        loop {
            let room = self.stream.capacity();
            if room > 0 {
                if std::mem::take(&mut self.stalls) {
                    self.timer.clear();
                }
                return Poll::Ready(Ok(room));
            }
            match self.stream.poll_capacity(task) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(Err(Cut::Reset)),
                Poll::Pending => {
                    if !std::mem::replace(&mut self.stalls, true) {
                        self.timer.set(self.stall);
                    }
                    return self.timer.poll(task).map(|()| Err(Cut::Stalled));
                }
            }
        }
    }

    /// Gets the next piece of the body in hand; or its trailers, none perhaps, at its end.
    fn poll_body(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Cut>> {
        self.cut_file();
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(task)? else {
            // Meanwhile only this tells of a peer that has lost interest.
            return self.stream.poll_reset(task).map(|_| Err(Cut::Reset));
        };
        match frame.map(http_body::Frame::into_data) {
            Some(Ok(data)) => {
                self.count(data.len() as u64)?;
                self.piece = data;
                // The end may be known only now that nothing came.
                let over = self.piece.is_empty() && self.is_over();
                Poll::Ready(Ok(over.then(HeaderMap::new)))
            }
            Some(Err(frame)) => Poll::Ready(Ok(Some(frame.into_trailers().unwrap_or_default()))),
            None => Poll::Ready(Ok(Some(HeaderMap::new()))),
        }
    }

    /// Makes the body a short piece of its file.
    fn cut_file(&mut self) {
        if self.body.is_reading() {
            return;
        }
        if matches!(self.body.kind, Kind::Empty)
            && let Some(rest) = self.rest.take()
        {
            self.body.kind = Kind::File(rest);
        }
        if let Kind::File(range) = &mut self.body.kind
            && range.length > FILE_BYTES
        {
            let (offset, length) = (range.offset + FILE_BYTES, range.length - FILE_BYTES);
            self.rest = Some(FileRange { file: range.file.clone(), offset, length });
            range.length = FILE_BYTES;
        }
    }

    /// Counts bytes of a body whose length was announced.
    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        if let Framing::Length(left) = self.framing {
            let left = left.checked_sub(bytes);
            let left = left.ok_or_else(|| Error::internal("sending a body: it is longer than announced"))?;
            self.framing = if left == 0 { Framing::Empty } else { Framing::Length(left) };
        }
        Ok(())
    }

    /// Whether nothing follows what has come of the body.
    fn is_over(&self) -> bool {
        match self.framing {
            Framing::Empty => true,
            Framing::Length(_) => false,
            Framing::Chunked | Framing::UntilClose => self.body.is_end_stream(),
        }
    }

    fn end(&mut self, trailers: HeaderMap) -> Result<(), Cut> {
        if matches!(self.framing, Framing::Length(_)) {
            return Err(Error::internal("sending a body: it is shorter than announced").into());
        }
        let trailers = only_allowed(trailers);
        match trailers.is_empty() {
            true => self.stream.send_data(Piece::last(Bytes::new(), &mut self.body), true)?,
            false => self.stream.send_trailers(trailers)?,
        }
        Ok(())
    }
}
