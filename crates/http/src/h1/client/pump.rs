//! A reply that begins while its request is still being sent: a task goes on with both.
//!
//! Elsewhere whoever reads a reply drives its connection. Here that would stop the request's body
//! whenever nobody reads, and a client that sends all before it reads would wait for ever.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use unary_net::Transport;
use unary_service::{Error, Kind};

use super::reply::Reading;
use super::upload::{State, Upload};
use super::wire::{Waiting, Wire};
use super::{Home, Trouble};
use crate::Body;
use crate::body::{Feed, Incoming, Wanted};
use crate::h1::body::Piece;

/// What whoever reads the reply is told; the log has the rest.
const SERVER_FAILED: &str = "reading a reply's body: the server failed amid it";
const REQUEST_FAILED: &str = "reading a reply's body: the rest of its request never came";

/// Begins it, and gives the reply's body.
pub(super) fn start<S: Transport>(
    wire: Box<Wire<S>>,
    upload: Upload,
    reading: Reading,
    home: Arc<dyn Home<S>>,
) -> Body {
    let (feed, incoming) = Incoming::new(reading.left());
    let mut pump = Pump { wire, upload: Some(upload), reading, feed, is_whole: false };
    tokio::spawn(async move {
        match poll_fn(|task| pump.poll(task, &*home)).await {
            Ok(()) if pump.reading.may_rest(&pump.wire) => home.take_back(pump.wire),
            Ok(()) => {}
            Err(Fault::Server(trouble)) => {
                pump.feed.fail(trouble.kind, SERVER_FAILED);
                let error = trouble.with(home.name());
                tracing::debug!(%error, "a call failed after its reply had begun");
            }
            Err(Fault::Request(error)) => {
                pump.feed.fail(error.kind(), REQUEST_FAILED);
                tracing::debug!(%error, "the body of a request failed after its reply had begun");
            }
        }
    });
    Body::incoming(incoming)
}

struct Pump<S> {
    wire: Box<Wire<S>>,
    /// Until all of it is written, or will never be.
    upload: Option<Upload>,
    reading: Reading,
    feed: Feed,
    /// The reply has been handed over whole.
    is_whole: bool,
}

/// Whose doing it is that the two did not end well.
enum Fault {
    Server(Trouble),
    /// Whoever sends the request: it is longer than it may be, say.
    Request(Error),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self::Server(trouble)
    }
}

impl<S: Transport> Pump<S> {
    /// Ready once both have ended, or nobody wants the reply.
    fn poll(&mut self, task: &mut Context<'_>, home: &dyn Home<S>) -> Poll<Result<(), Fault>> {
        loop {
            self.send(task)?;
            if self.is_whole {
                if self.upload.is_none() {
                    return Poll::Ready(Ok(()));
                }
                break;
            }
            if self.feed.poll_wanted(task) == Wanted::Never {
                self.reading.close();
                return Poll::Ready(Ok(()));
            }
            if !self.feed.has_room() {
                break;
            }
            match self.reading.poll_piece(task, &mut self.wire)? {
                Poll::Ready(Piece::Data(data)) => self.feed.push(data),
                Poll::Ready(Piece::End(trailers)) => {
                    self.feed.complete((!trailers.is_empty()).then_some(trailers));
                    self.is_whole = true;
                }
                Poll::Pending => break,
            }
        }
        self.poll_time(task, home).map_err(Fault::Server)
    }

    /// Moves the request's body on.
    fn send(&mut self, task: &mut Context<'_>) -> Result<(), Fault> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.poll(task, &mut self.wire).map_err(Fault::Request)?;
        match upload.state() {
            State::Encoded if self.wire.output.is_empty() => self.upload = None,
            State::Refused => {
                self.upload = None;
                self.reading.close();
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it is up to the server that anything goes on, and for too long.
    fn poll_time(&mut self, task: &mut Context<'_>, home: &dyn Home<S>) -> Poll<Result<(), Trouble>> {
        let (waiting, step) = if !self.wire.output.is_empty() {
            (Waiting::Peer, "sending a request to")
        } else if self.upload.is_none() && self.feed.has_room() {
            (Waiting::Body, "reading a reply's body of")
        } else {
            self.wire.stop_waiting();
            return Poll::Pending;
        };
        let late = self.wire.poll_waiting(task, waiting, home.bounds().stall_time);
        late.map(|()| Err(Trouble::new(Kind::Timeout, step)))
    }
}
