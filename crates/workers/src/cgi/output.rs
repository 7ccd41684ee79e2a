//! What a program writes, read no faster than the client takes it, and the reply that it makes.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use http_body::Frame;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};
use unary_gateway::cgi::head::{Head, HeadLimits};
use unary_gateway::cgi::reply::{Part, ReplyDecoder};
use unary_http::Body;
use unary_net::WhileThere;
use unary_service::{Error, Kind};

use super::run::{End, Run};

/// What is read at once: all that a pipe holds.
const READ_BYTES_MAX: usize = 64 * 1024;

const STEP: &str = "reading its reply";

/// How long a program may keep its client waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For its header block, since its start or since it was last given anything to read.
    pub(super) reply: Duration,
    /// For more, after that.
    pub(super) silence: Duration,
}

/// A program's output.
pub(super) struct Output {
    pipe: Receiver,
    decoder: ReplyDecoder,
    /// What was read and not yet decoded.
    buffer: BytesMut,
    is_over: bool,
    times: Times,
    begun: Instant,
    /// When all of it has to be there.
    deadline: Instant,
}

/// A pipe: our end to read from, and the program's to write to.
pub(super) fn pipe() -> Result<(Receiver, OwnedFd), Error> {
    let failed = |cause: io::Error| Error::internal("making a pipe for a program").because(cause);
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|error| failed(error.into()))?;
    Ok((Receiver::from_owned_fd_unchecked(ours).map_err(failed)?, theirs))
}

/// What comes next out of a pipe; `None` at its end.
pub(super) async fn next(pipe: &Receiver) -> io::Result<Option<Vec<u8>>> {
    const AT_ONCE_BYTES_MAX: usize = 4096; // Errors are few, and a pipe that is full is only read again.
    loop {
        pipe.readable().await?;
        let mut bytes = Vec::with_capacity(AT_ONCE_BYTES_MAX);
        match pipe.try_read_buf(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

impl Output {
    pub(super) fn new(
        pipe: Receiver,
        limits: HeadLimits,
        request: &Method,
        times: Times,
        begun: Instant,
        deadline: Instant,
    ) -> Self {
        let (decoder, buffer) = (ReplyDecoder::new(limits, request), BytesMut::new());
        Self { pipe, decoder, buffer, is_over: false, times, begun, deadline }
    }

    /// What the reply begins with.
    pub(super) async fn head(&mut self, run: &mut Run) -> Result<Head, Error> {
        let mut late = std::pin::pin!(sleep_until(self.reply_due(run)));
        poll_fn(|task| {
            loop {
                match self.decode()? {
                    Some(Part::Head(head)) => return Poll::Ready(Ok(head)),
                    Some(Part::Body(_)) => unreachable!("a head comes before its body"),
                    None if self.is_over => {
                        let missing = self.decoder.decode_eof(&self.buffer).err();
                        return Poll::Ready(Err(nonsense(missing.map_or_else(String::new, |error| error.to_string()))));
                    }
                    None => {}
                }
                if self.poll_read(task, run)?.is_ready() {
                    continue;
                }
                ready!(late.as_mut().poll(task));
                let due = self.reply_due(run);
                if due <= Instant::now() {
                    return Poll::Ready(Err(Error::timeout(STEP).because("it has not answered in time")));
                }
                late.as_mut().reset(due);
            }
        })
        .await
    }

    /// When the header block has to be there: a program that is being sent a body is not slow.
    fn reply_due(&self, run: &Run) -> Instant {
        (self.begun + Duration::from_millis(run.fed_ms()) + self.times.reply).min(self.deadline)
    }

    /// What follows the head, as the body of a reply: at once, if it is all there.
    /// `waiting` says for as long that the program runs for somebody who is there.
    pub(super) async fn into_body(mut self, mut run: Run, waiting: Option<WhileThere>) -> Result<Body, Error> {
        let first = poll_fn(|task| Poll::Ready(self.poll_first(task, &mut run))).await?;
        if self.is_whole()? {
            run.end(End::Answered);
            return Ok(first.map_or_else(Body::empty, Body::from));
        }
        let late = Box::pin(sleep_until(self.deadline));
        Ok(Body::stream(OutputBody {
            output: self,
            run,
            first,
            late,
            is_waiting: false,
            is_over: false,
            _waiting: waiting,
        }))
    }

    /// What there is of the body, if it does not have to be waited for.
    fn poll_first(&mut self, task: &mut Context<'_>, run: &mut Run) -> Result<Option<Bytes>, Error> {
        if !self.decoder.is_complete() {
            while self.buffer.len() < READ_BYTES_MAX && !self.is_over && self.poll_read(task, run)?.is_ready() {}
        }
        Ok(match self.decode()? {
            Some(Part::Body(bytes)) => Some(bytes),
            _ => None,
        })
    }

    /// Whether nothing more is to come.
    fn is_whole(&self) -> Result<bool, Error> {
        if self.decoder.is_complete() {
            return Ok(true);
        }
        if self.is_over && self.buffer.is_empty() {
            self.decoder.decode_eof(&self.buffer).map_err(|error| nonsense(error.to_string()))?;
            return Ok(true);
        }
        Ok(false)
    }

    fn decode(&mut self) -> Result<Option<Part>, Error> {
        self.decoder.decode(&mut self.buffer).map_err(|error| nonsense(error.to_string()))
    }

    /// Reads once. Ready if there is more in the buffer, or nothing to come.
    fn poll_read(&mut self, task: &mut Context<'_>, run: &mut Run) -> Poll<Result<(), Error>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BYTES_MAX];
        let mut read = ReadBuf::uninit(&mut bytes);
        match Pin::new(&mut self.pipe).poll_read(task, &mut read) {
            Poll::Ready(Ok(())) => {
                self.is_over = read.filled().is_empty();
                self.buffer.extend_from_slice(read.filled());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(cause)) => Poll::Ready(Err(Error::internal(STEP).because(cause))),
            // The program has ended, and whoever else holds its output has been waited for.
            Poll::Pending if Pin::new(&mut run.cut).poll(task).is_ready() => {
                self.is_over = true;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// The pipe, and what was read of it already.
    pub(super) fn into_parts(mut self) -> (Receiver, BytesMut) {
        let first = match self.decoder.decode(&mut self.buffer) {
            Ok(Some(Part::Body(bytes))) => bytes.into(),
            _ => BytesMut::new(),
        };
        (self.pipe, first)
    }
}

fn nonsense(why: impl Into<String>) -> Error {
    Error::new(Kind::Upstream, STEP).because(why.into())
}

/// What follows the head, as it comes.
struct OutputBody {
    output: Output,
    run: Run,
    first: Option<Bytes>,
    late: Pin<Box<Sleep>>,
    /// Whether `late` is about the silence that is now.
    is_waiting: bool,
    is_over: bool,
    _waiting: Option<WhileThere>,
}

impl OutputBody {
    fn poll_next(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Ok(Some(first)));
        }
        loop {
            if let Some(Part::Body(bytes)) = self.output.decode()? {
                self.is_waiting = false;
                return Poll::Ready(Ok(Some(bytes)));
            }
            if self.output.is_whole()? {
                self.run.end(End::Answered);
                return Poll::Ready(Ok(None));
            }
            if self.output.poll_read(task, &mut self.run)?.is_ready() {
                continue;
            }
            if !std::mem::replace(&mut self.is_waiting, true) {
                let due = Instant::now() + self.output.times.silence;
                self.late.as_mut().reset(due.min(self.output.deadline));
            }
            ready!(self.late.as_mut().poll(task));
            return Poll::Ready(Err(Error::timeout(STEP).because("it has been silent for too long")));
        }
    }
}

impl http_body::Body for OutputBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        if body.is_over {
            return Poll::Ready(None);
        }
        let next = ready!(body.poll_next(task));
        if !matches!(next, Ok(Some(_))) {
            body.is_over = true;
            body.run.end(End::Failed); // Unless it has been said that all is well.
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}
