//! One request and its reply, over one connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::{Body as _, Frame};
use unary_gateway::cgi::environment::Environment;
use unary_gateway::cgi::reply::{Part, ReplyDecoder};
use unary_gateway::fastcgi::host::Said;
use unary_http::Body;
use unary_net::Transport;
use unary_service::context::RequestId;
use unary_service::{Error, Kind};

use super::dialect::{Dialect, Wrong};
use super::engaged::Engaged;
use super::shelf::{Leased, Shelf};
use super::wire::Waiting;
use super::{Bounds, Trouble};
use crate::voice::Lines;

const READING: &str = "reading the reply of";

/// One request and its reply, over one connection.
pub(crate) struct Talk<T, S> {
    pub(crate) wire: Leased<S>,
    dialect: T,
    upload: Upload,
    reply: ReplyDecoder,
    /// What the worker has written and nobody has looked at.
    output: BytesMut,
    id: RequestId,
    /// What the worker says beside its reply.
    said: Lines,
    stage: Stage,
    bounds: Bounds,
    engaged: Option<Engaged>,
}

/// The request's body on its way.
enum Upload {
    Going {
        body: Body,
        left: u64,
        is_begun: bool,
    },
    /// All of it is encoded; the connection may still hold some.
    Encoded,
    /// The worker takes no more of it, though it may have answered; or it was given up.
    Refused,
}

/// How far the worker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not a byte has come.
    Silent,
    /// The head is awaited.
    Beginning,
    /// The body is.
    Going,
    /// The request is over.
    Over,
}

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The worker has surely not begun with it, and why.
    NotBegun(Trouble),
    /// It ended the connection before a byte of a reply came.
    Lost(Loss, Trouble),
    /// It did what it must not, or nothing.
    Trouble(Trouble),
    /// The request's own body failed.
    Body(Error),
}

/// What is known of a connection that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was reset: the worker had closed it, or fell before it had read everything.
    Reset,
    /// It ended in order: whoever ended it had read the request.
    Ended,
}

/// What is asked of a worker.
pub(crate) struct Question<'a> {
    pub(crate) id: RequestId,
    pub(crate) method: &'a Method,
    pub(crate) environment: &'a Environment,
    pub(crate) body: Body,
    /// How long the body is.
    pub(crate) length: u64,
    /// Its hold on a worker of a pool.
    pub(crate) engaged: Option<Engaged>,
}

impl<T: Dialect, S: Transport> Talk<T, S> {
    /// Begins it: the variables wait to be written.
    pub(crate) fn new(mut wire: Leased<S>, question: Question<'_>, bounds: &Bounds) -> Self {
        let mut dialect = T::default();
        dialect.put_request(question.environment, &mut wire.wire.output);
        let upload = match question.length {
            0 => {
                T::put_body_end(&mut wire.wire.output);
                Upload::Encoded
            }
            left => Upload::Going { body: question.body, left, is_begun: false },
        };
        let reply = ReplyDecoder::new(bounds.head, question.method);
        Self {
            wire,
            dialect,
            upload,
            reply,
            output: BytesMut::new(),
            id: question.id,
            said: Lines::default(),
            stage: Stage::Silent,
            bounds: *bounds,
            engaged: question.engaged,
        }
    }

    /// The next part of the reply, or `None` at its end. The request's body moves on meanwhile.
    pub(crate) fn poll_part<D>(
        &mut self,
        task: &mut Context<'_>,
        shelf: &Shelf<D, S>,
    ) -> Poll<Result<Option<Part>, Failure>> {
        loop {
            self.poll_send(task)?;
            if let Some(part) = self.next_part(shelf)? {
                self.wire.wire.stop_waiting();
                return Poll::Ready(Ok(Some(part)));
            }
            if self.stage == Stage::Over {
                self.check_end()?;
                return Poll::Ready(Ok(None));
            }
            if self.reply.is_complete() {
                return Poll::Ready(Ok(None));
            }
            match self.poll_read(task) {
                Poll::Ready(read) => read?,
                Poll::Pending => ready!(self.poll_time(task))?,
            }
        }
    }

    /// A part that needs no waiting, as what has come holds it; `None` also at the end.
    pub(crate) fn part_now<D>(&mut self, shelf: &Shelf<D, S>) -> Result<Option<Part>, Failure> {
        let part = self.next_part(shelf)?;
        if part.is_none() && self.stage == Stage::Over {
            self.check_end()?;
        }
        Ok(part)
    }

    /// Moves the request's body on, as far as it goes.
    pub(crate) fn poll_send(&mut self, task: &mut Context<'_>) -> Result<(), Failure> {
        loop {
            while self.is_uploading() && self.wire.wire.has_room() {
                if !self.encode(task).map_err(Failure::Body)? {
                    break;
                }
            }
            if self.wire.wire.output.is_empty() {
                return Ok(());
            }
            match self.wire.wire.poll_flush(task) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) if self.is_uploading() => {}
                Poll::Ready(Ok(())) => return Ok(()),
                Poll::Ready(Err(_)) => {
                    // What it said before it closed may still be read.
                    self.wire.wire.output.clear();
                    self.upload = Upload::Refused;
                }
            }
        }
    }

    /// Encodes the next piece of the body; whether there was one.
    fn encode(&mut self, task: &mut Context<'_>) -> Result<bool, Error> {
        let Upload::Going { body, left, is_begun } = &mut self.upload else { return Ok(false) };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(task)? else { return Ok(false) };
        *is_begun = true;
        let step = "sending a request to a program: its body is";
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                let rest = left.checked_sub(data.len() as u64);
                *left = rest.ok_or_else(|| Error::internal(format!("{step} longer than announced")))?;
                T::put_body(&data, &mut self.wire.wire.output);
                if *left == 0 {
                    T::put_body_end(&mut self.wire.wire.output);
                    self.upload = Upload::Encoded;
                }
            }
            Some(Err(_trailers)) => {}
            None => return Err(Error::internal(format!("{step} shorter than announced"))),
        }
        Ok(true)
    }

    /// Takes what has come off the input, up to the next part.
    fn next_part<D>(&mut self, shelf: &Shelf<D, S>) -> Result<Option<Part>, Failure> {
        loop {
            if let Some(part) = self.reply.decode(&mut self.output).map_err(|error| nonsense(Box::new(error)))? {
                self.stage = if self.stage == Stage::Over { Stage::Over } else { Stage::Going };
                return Ok(Some(part));
            }
            if self.stage == Stage::Over {
                return Ok(None);
            }
            match self.dialect.decode(&mut self.wire.wire.input).map_err(wrong)? {
                Some(Said::Output(bytes)) => self.take(bytes),
                Some(Said::Log(bytes)) => self.hear(&bytes, shelf),
                Some(Said::End { .. }) => self.end(shelf),
                None => return Ok(None),
            }
        }
    }

    fn take(&mut self, bytes: Bytes) {
        match self.output.is_empty() {
            true => self.output = bytes.into(),
            false => self.output.extend_from_slice(&bytes),
        }
    }

    fn hear<D>(&mut self, bytes: &[u8], shelf: &Shelf<D, S>) {
        self.said.add(bytes, |line| shelf.voice().line(self.id, line));
    }

    fn end<D>(&mut self, shelf: &Shelf<D, S>) {
        self.stage = Stage::Over;
        self.said.end(|line| shelf.voice().line(self.id, line));
        self.wire.wire.stop_waiting();
    }

    fn check_end(&self) -> Result<(), Failure> {
        self.reply.decode_eof(&self.output).map_err(|error| nonsense(Box::new(error)))
    }

    fn poll_read(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let waiting = self.waiting();
        Poll::Ready(match ready!(self.wire.wire.poll_read(task, waiting)) {
            Ok(1..) => {
                if self.stage == Stage::Silent {
                    self.stage = Stage::Beginning;
                }
                Ok(())
            }
            Ok(0) if self.stage == Stage::Silent => Err(self.lost(Loss::Ended, None)),
            Ok(0) => match self.dialect.decode_eof(&self.wire.wire.input) {
                Ok(_) => {
                    self.stage = Stage::Over;
                    Ok(())
                }
                Err(why) => Err(wrong(why)),
            },
            Err(cause) if self.stage == Stage::Silent => Err(self.lost(Loss::Reset, Some(cause))),
            Err(cause) => Err(Failure::Trouble(Trouble::new(Kind::Upstream, READING).because(cause))),
        })
    }

    fn lost(&self, loss: Loss, cause: Option<io::Error>) -> Failure {
        let trouble = Trouble::new(Kind::Upstream, "waiting for the reply of");
        let trouble = match cause {
            Some(cause) => trouble.because(cause),
            None => trouble.because("it closed the connection"),
        };
        match self.wire.wire.is_untouched() {
            true => Failure::NotBegun(trouble),
            false => Failure::Lost(loss, trouble),
        }
    }

    fn waiting(&self) -> Waiting {
        if self.stage == Stage::Going { Waiting::Body } else { Waiting::Head }
    }

    /// Waits for whatever has to happen by some time.
    fn poll_time(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Bounds { head_time, stall_time, .. } = self.bounds;
        let late = |step| Poll::Ready(Err(Failure::Trouble(Trouble::new(Kind::Timeout, step))));
        if !self.wire.wire.output.is_empty() {
            ready!(self.wire.wire.poll_waiting(task, Waiting::Worker, stall_time));
            return late("sending a request to");
        }
        if self.is_uploading() {
            self.wire.wire.stop_waiting(); // The body is late, which is not the worker's doing.
            return Poll::Pending;
        }
        let waiting = self.waiting();
        let (time, step) = match waiting {
            Waiting::Body => (stall_time, READING),
            _ => (head_time, "waiting for the reply of"),
        };
        ready!(self.wire.wire.poll_waiting(task, waiting, time));
        late(step)
    }

    /// Whether some of the request's body has yet to be encoded.
    pub(crate) fn is_uploading(&self) -> bool {
        matches!(self.upload, Upload::Going { .. })
    }

    /// Whether some of the request has yet to leave.
    pub(crate) fn is_sending(&self) -> bool {
        self.is_uploading() || !self.wire.wire.output.is_empty()
    }

    /// Whether the worker is one of a pool.
    pub(crate) fn is_engaged(&self) -> bool {
        self.engaged.is_some()
    }

    /// Says that nobody knows what the worker does now.
    pub(crate) fn is_lost(&self) {
        if let Some(Engaged(place)) = &self.engaged {
            place.is_lost();
        }
    }

    /// Whether a byte has come.
    pub(crate) fn has_answered(&self) -> bool {
        self.stage != Stage::Silent
    }

    /// Whether the worker has said that it is done.
    pub(crate) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether nothing that the worker may still write would change the reply.
    pub(crate) fn is_complete(&self) -> bool {
        self.reply.is_complete()
    }

    /// Whether the connection can carry another call.
    pub(crate) fn may_rest(&self) -> bool {
        let is_sent = matches!(self.upload, Upload::Encoded) && self.wire.wire.output.is_empty();
        T::KEEPS && self.is_over() && is_sent && self.wire.wire.input.is_empty()
    }

    /// Whether the request's body can be sent once more, from its start.
    pub(crate) fn take_whole(&mut self) -> Option<Body> {
        match std::mem::replace(&mut self.upload, Upload::Refused) {
            Upload::Going { body, is_begun: false, .. } => Some(body),
            _ => None,
        }
    }

    /// Says that nobody wants the reply any more.
    pub(crate) fn abort(&mut self) {
        if self.is_uploading() {
            self.upload = Upload::Refused;
        }
        T::put_abort(&mut self.wire.wire.output);
    }

    /// Reads on until the worker is done, and throws away what it writes; how much that was.
    pub(crate) fn poll_rest<D>(&mut self, task: &mut Context<'_>, shelf: &Shelf<D, S>) -> Poll<Option<usize>> {
        loop {
            if self.poll_send(task).is_err() {
                return Poll::Ready(None);
            }
            match self.dialect.decode(&mut self.wire.wire.input) {
                Ok(Some(Said::Output(bytes))) => return Poll::Ready(Some(bytes.len())),
                Ok(Some(Said::Log(bytes))) => {
                    self.hear(&bytes, shelf);
                    return Poll::Ready(Some(bytes.len()));
                }
                Ok(Some(Said::End { .. })) => {
                    self.end(shelf);
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(_) => return Poll::Ready(None),
            }
            if !matches!(ready!(self.wire.wire.poll_read(task, Waiting::Body)), Ok(1..)) {
                if !T::KEEPS {
                    self.end(shelf); // Who is asked once over each connection closes it when it is done.
                }
                return Poll::Ready(None);
            }
        }
    }
}

fn nonsense(cause: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    Failure::Trouble(Trouble::new(Kind::Upstream, READING).because(cause))
}

fn wrong(why: Wrong) -> Failure {
    match why {
        Wrong::NotBegun(cause) => Failure::NotBegun(Trouble::new(Kind::Unavailable, "asking").because(cause)),
        Wrong::Nonsense(cause) => nonsense(cause),
    }
}
