//! The body of a request on its way to the server.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as _, Frame};
use unary_net::Transport;
use unary_service::Error;

use super::wire::Wire;
use crate::Body;
use crate::body::Kind;
use crate::h1::chunked::encode_end;
use crate::h1::encode::BodyPlan;
use crate::h1::head::Framing;

/// The body of a request on its way to the server.
pub(super) struct Upload {
    body: Body,
    /// How much of it is left, or how it ends.
    framing: Framing,
    state: State,
    /// Some of it is gone from the body, so that it cannot be sent a second time.
    is_begun: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for `100 Continue`.
    Held,
    /// It is being sent.
    Going,
    /// All of it is encoded; the output may still hold some.
    Encoded,
    /// The server takes no more of it, though it may have answered.
    Refused,
}

impl Upload {
    /// A body to be sent like this, at once or when the server has said that it wants it.
    pub(super) fn new(body: Body, plan: BodyPlan, waits: bool) -> Self {
        let state = match plan.framing {
            Framing::Empty => State::Encoded,
            _ if waits => State::Held,
            _ => State::Going,
        };
        Self { body, framing: plan.framing, state, is_begun: false }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Lets it go, if it waited; whether it did.
    pub(super) fn release(&mut self) -> bool {
        let waited = self.state == State::Held;
        if waited {
            self.state = State::Going;
        }
        waited
    }

    /// The body, if it can be sent once more from its start.
    pub(super) fn take_whole(&mut self) -> Option<Body> {
        (!self.is_begun).then(|| std::mem::take(&mut self.body))
    }

    /// Whether the body is still as it was.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_begun
    }

    /// Moves it on as far as it goes. Fails if the body does: the request cannot be completed then.
    pub(super) fn poll<S: Transport>(&mut self, task: &mut Context<'_>, wire: &mut Wire<S>) -> Result<(), Error> {
        loop {
            while self.state == State::Going && wire.output.has_room() {
                if !self.encode(task, wire)? {
                    break;
                }
            }
            if wire.output.is_empty() || self.state == State::Refused {
                return Ok(());
            }
            match wire.poll_flush(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if self.state == State::Going => {}
                Poll::Ready(Ok(())) => return Ok(()),
                Poll::Ready(Err(_)) => {
                    // What it said before it closed may still be read (RFC 9112 §9.6).
                    wire.output.clear();
                    self.state = State::Refused;
                }
            }
        }
    }

    /// Encodes the next piece; whether there was one.
    fn encode<S: Transport>(&mut self, task: &mut Context<'_>, wire: &mut Wire<S>) -> Result<bool, Error> {
        if let (Kind::Bytes(bytes), Framing::Length(length)) = (&self.body.kind, self.framing)
            && bytes.len() as u64 == length
        {
            wire.output.put(bytes);
            self.body.took(length);
            self.state = State::Encoded;
            return Ok(true);
        }
        let frame = Pin::new(&mut self.body).poll_frame(task)?;
        let Poll::Ready(frame) = frame else { return Ok(false) };
        self.is_begun = true;
        match frame.map(Frame::into_data) {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) if self.framing == Framing::Chunked => wire.output.put_chunk(&data),
            Some(Ok(data)) => {
                self.count(data.len() as u64)?;
                wire.output.put(&data);
            }
            Some(Err(frame)) => self.end(frame.into_trailers().ok(), wire)?,
            None => self.end(None, wire)?,
        }
        Ok(true)
    }

    /// Counts bytes of a body whose length was announced.
    fn count(&mut self, length: u64) -> Result<(), Error> {
        if let Framing::Length(left) = self.framing {
            let left = left.checked_sub(length);
            let left = left.ok_or_else(|| Error::internal("sending a request: its body is longer than announced"))?;
            self.framing = Framing::Length(left);
            if left == 0 {
                self.state = State::Encoded;
            }
        }
        Ok(())
    }

    fn end<S: Transport>(&mut self, trailers: Option<http::HeaderMap>, wire: &mut Wire<S>) -> Result<(), Error> {
        if let Framing::Length(_) = self.framing {
            return Err(Error::internal("sending a request: its body is shorter than announced"));
        }
        encode_end(&trailers.unwrap_or_default(), &mut wire.output.front);
        self.state = State::Encoded;
        Ok(())
    }
}
