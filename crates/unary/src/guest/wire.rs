//! The bytes of a guest's connection: what its host says, and what it is to be told.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use unary_gateway::Guest;
use unary_gateway::cgi::guest::{Asked, VariableError};
use unary_gateway::guest::Said;
use unary_http::body::{Feed, Wanted};
use unary_net::pipeline::drain::Phase;
use unary_net::timer::Ticks;
use unary_net::{Connection, Transport};
use unary_service::{Error, Kind};

use super::deadline::Deadline;

/// How long a host's connection may rest between requests. Hosts keep them for later, and one that is closed under them
/// may cost a request.
pub(super) const IDLE_TIME_MAX: Duration = Duration::from_secs(600);

/// How long a request's head may take from its first byte to its last. Hosts have all of it when they begin.
pub(super) const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a host may send nothing of a body that the service waits for, or take nothing of a reply. It is for the host
/// to be stricter with its client.
pub(super) const STALL_TIME_MAX: Duration = Duration::from_secs(300);

/// How long an idle connection stays open once the server drains, lest a request already on its way be lost.
pub(super) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How long and how much is read after the last reply where the host may still be sending: a reset would destroy the
/// reply before it is read.
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Room for a read.
const READ_BYTES: usize = 16 * 1024;

/// A request's variables, or why they are none.
pub(super) type Head = Result<Box<Asked>, VariableError>;

/// What a host says beside a request's body, which goes to the service by itself.
pub(super) enum Heard {
    Request(Head),
    Abort,
}

/// A guest's connection.
pub(super) struct Wire<G, S> {
    pub(super) guest: G,
    pub(super) connection: Connection<S>,
    /// What the host is to be told.
    pub(super) output: BytesMut,
    /// Where the body goes that is arriving.
    pub(super) feed: Option<Feed>,
    /// A part of it that waits until the service has taken the one before.
    part: Option<Bytes>,
    /// Nothing more comes.
    ended: bool,
    /// The body of the request under way has not come whole.
    owes_body: bool,
    reading: Deadline,
    writing: Deadline,
}

impl<G: Guest, S: Transport> Wire<G, S> {
    pub(super) fn new(guest: G, connection: Connection<S>) -> Self {
        Self {
            guest,
            connection,
            output: BytesMut::new(),
            feed: None,
            part: None,
            ended: false,
            owes_body: false,
            reading: Deadline::default(),
            writing: Deadline::default(),
        }
    }

    /// The next request. `None`: there is none.
    pub(super) fn poll_request(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<Head>, Error>> {
        let heard = loop {
            match self.poll_hear(task)? {
                Poll::Ready(Heard::Request(head)) => break Some(head),
                Poll::Ready(Heard::Abort) => {} // Of a request that is over.
                Poll::Pending if self.ended => return Poll::Ready(Ok(None)),
                Poll::Pending => break None,
            }
        };
        if let Some(head) = heard {
            self.reading.met();
            self.owes_body = true;
            return Poll::Ready(Ok(Some(head)));
        }
        let _ = self.poll_flush(task)?;
        let rests = self.guest.rests() && self.connection.buffered.is_empty();
        match (self.connection.watch.poll(task), rests) {
            (Phase::Over, _) => return Poll::Ready(Ok(None)),
            (_, false) => {
                ready!(self.reading.poll(task, Ticks::of(HEAD_TIME_MAX)));
                return Poll::Ready(Err(Error::timeout("waiting for the rest of a request")));
            }
            (Phase::Draining, true) => ready!(self.reading.poll(task, Ticks::of(DRAIN_GRACE))),
            (Phase::Serving, true) => ready!(self.reading.poll(task, Ticks::of(IDLE_TIME_MAX))),
        }
        Poll::Ready(Ok(None))
    }

    /// Listens to the host, and hands on what it says of a body. Pending also once nothing more comes.
    pub(super) fn poll_hear(&mut self, task: &mut Context<'_>) -> Poll<Result<Heard, Error>> {
        loop {
            if self.part.is_some() {
                ready!(self.poll_hand_on(task));
            }
            match self.guest.decode(&mut self.connection.buffered, &mut self.output)? {
                Some(Said::Request(head)) => return Poll::Ready(Ok(Heard::Request(head))),
                Some(Said::Abort) => return Poll::Ready(Ok(Heard::Abort)),
                Some(Said::Body(part)) => self.part = Some(part),
                Some(Said::End) => self.body_is_whole(),
                Some(Said::Cut) => self.feed = None,
                None if self.ended || !self.guest.listens() => return Poll::Pending,
                None => ready!(self.poll_read(task))?,
            }
        }
    }

    fn poll_hand_on(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if let Some(feed) = &self.feed {
            match feed.poll_wanted(task) {
                Wanted::Never => {}
                Wanted::Now | Wanted::NotYet if !feed.has_room() => return Poll::Pending,
                Wanted::Now | Wanted::NotYet => self.part.take().into_iter().for_each(|part| feed.push(part)),
            }
        }
        self.part = None; // Without anybody to read it, it is thrown away.
        Poll::Ready(())
    }

    fn body_is_whole(&mut self) {
        self.owes_body = false;
        if let Some(feed) = self.feed.take() {
            feed.complete(None);
        }
    }

    /// Whatever is left of the body is of no use: the request is over.
    pub(super) fn forget_body(&mut self) {
        self.feed = None;
        self.part = None;
        self.reading.met();
    }

    fn poll_read(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Connection { stream, buffered, .. } = &mut self.connection;
        buffered.reserve(READ_BYTES);
        let Poll::Ready(read) = pin!(stream.read_buf(buffered)).poll(task)? else {
            ready!(self.poll_silence(task));
            return Poll::Ready(Ok(()));
        };
        if self.feed.is_some() {
            self.reading.met();
        }
        if read == 0 {
            self.ended = true;
            match self.guest.ends_with_input() {
                true => self.body_is_whole(),
                false => self.feed = None,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives a body up that the service has waited for for too long.
    fn poll_silence(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let Some(feed) = &self.feed else { return Poll::Pending };
        if feed.poll_wanted(task) != Wanted::Now {
            return Poll::Pending;
        }
        ready!(self.reading.poll(task, Ticks::of(STALL_TIME_MAX)));
        feed.fail(Kind::Timeout, "reading a body: the host sends nothing");
        self.feed = None;
        self.reading.met();
        Poll::Ready(())
    }

    /// Whether the host has closed the connection.
    pub(super) fn is_forsaken(&self) -> bool {
        self.ended && !self.guest.ends_with_input()
    }

    /// Writes all there is.
    pub(super) fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while !self.output.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.connection.stream).poll_write(task, &self.output)? else {
                ready!(self.writing.poll(task, Ticks::of(STALL_TIME_MAX)));
                return Poll::Ready(Err(Error::timeout("writing a reply: the host takes nothing")));
            };
            self.writing.met();
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Closes the connection so that the host gets to read the last reply.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        self.connection.stream.shutdown().await?;
        if self.ended || !self.owes_body || !self.guest.listens() {
            return Ok(());
        }
        let discard = async {
            let mut left = LINGER_BYTES_MAX;
            let mut bytes = [0; 4096];
            while left > 0 {
                match self.connection.stream.read(&mut bytes).await? {
                    0 => break,
                    length => left = left.saturating_sub(length),
                }
            }
            Ok(())
        };
        tokio::time::timeout(LINGER_TIME_MAX, discard).await.unwrap_or(Ok(()))
    }
}
