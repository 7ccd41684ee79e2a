//! The body of a reply, read by whoever takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use unary_net::Transport;
use unary_service::{Error, Kind};

use super::wire::{Part, Waiting, Wire};
use super::{Home, Trouble};
use crate::Body;
use crate::body::Kind as BodyKind;
use crate::h1::body::{BodyDecoder, Piece};
use crate::h1::encode::Persistence;
use crate::h1::head::Framing;

const STEP: &str = "reading a reply's body of";

/// What is left to read of a reply.
pub(super) struct Reading {
    decoder: BodyDecoder,
    persistence: Persistence,
}

impl Reading {
    /// A body framed so, after which the connection goes on or not.
    pub(super) fn new(framing: Framing, persistence: Persistence) -> Self {
        Self { decoder: BodyDecoder::new(framing), persistence }
    }

    /// How many bytes are left, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        if let BodyDecoder::Length(left) = self.decoder { Some(left) } else { None }
    }

    /// Nothing can follow this reply on its connection.
    pub(super) fn close(&mut self) {
        self.persistence = Persistence::Close;
    }

    /// Whether the connection, this body having been read, can carry another call.
    pub(super) fn may_rest<S>(&self, wire: &Wire<S>) -> bool {
        self.persistence == Persistence::KeepAlive && self.decoder.has_ended() && wire.input.is_empty()
    }

    /// The next piece, or the end. How long that may take is the caller's affair.
    pub(super) fn poll_piece<S: Transport>(
        &mut self,
        task: &mut Context<'_>,
        wire: &mut Wire<S>,
    ) -> Poll<Result<Piece, Trouble>> {
        let broken = |error| Trouble::new(Kind::Upstream, STEP).because(error);
        loop {
            if let Some(piece) = self.decoder.decode(&mut wire.input).map_err(broken)? {
                return Poll::Ready(Ok(piece));
            }
            let read = ready!(wire.poll_read(task, Part::Body));
            if read.map_err(|cause| Trouble::new(Kind::Upstream, STEP).because(cause))? == 0 {
                self.decoder.decode_eof().map_err(broken)?;
                self.close();
            }
        }
    }

    /// A body that reads as it is read.
    pub(super) fn into_body<S: Transport>(self, wire: Box<Wire<S>>, home: Arc<dyn Home<S>>) -> Body {
        let mut body = Body::empty();
        body.kind = BodyKind::Stream(Box::pin(Arriving { reading: self, wire: Some(wire), home }));
        body
    }
}

/// A body that reads as it is read. Dropped before its end, it closes its connection.
struct Arriving<S> {
    reading: Reading,
    /// The connection, until the body has ended.
    wire: Option<Box<Wire<S>>>,
    home: Arc<dyn Home<S>>,
}

impl<S: Transport> Arriving<S> {
    fn poll_piece(&mut self, task: &mut Context<'_>) -> Poll<Result<Piece, Trouble>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(Ok(Piece::End(http::HeaderMap::new()))) };
        if let Poll::Ready(piece) = self.reading.poll_piece(task, wire) {
            wire.stop_waiting();
            return Poll::Ready(piece);
        }
        ready!(wire.poll_waiting(task, Waiting::Body, self.home.bounds().stall_time));
        Poll::Ready(Err(Trouble::new(Kind::Timeout, STEP)))
    }

    /// Gives the connection back, or closes it.
    fn end(&mut self) {
        if let Some(wire) = self.wire.take()
            && self.reading.may_rest(&wire)
        {
            self.home.take_back(wire);
        }
    }
}

impl<S: Transport> HttpBody for Arriving<S> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(this.poll_piece(task)) {
            Ok(Piece::Data(data)) => {
                if this.reading.left() == Some(0) {
                    this.end(); // Nobody asks again once a length is reached.
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::End(trailers)) => {
                this.end();
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Err(trouble) => {
                this.wire = None;
                Some(Err(trouble.with(this.home.name())))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.wire.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.reading.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
