//! A connection to a server, at rest and during a call.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::sync::OwnedSemaphorePermit;
use unary_net::timer::{Ticks, Timer};
use unary_net::{Connection, Transport};

use crate::h1::decode::HeadDecoder;
use crate::h1::head::HeadLimits;
use crate::h1::output::{Output, Then};

/// A thread's connections read the first bytes of a reply into one buffer of this size, of which each
/// takes what it got. The next one is begun when less than a quarter is left.
const READ_BYTES: usize = 16 * 1024;

/// How much room is made for the next read while a head, or a body, is arriving: the bound on what is
/// held of a reply nobody takes.
const HEAD_READ_BYTES: usize = 4 * 1024;
const BODY_READ_BYTES: usize = 64 * 1024;

/// A connection to a server. At rest it holds no buffer for input.
pub(in crate::h1) struct Wire<S> {
    connection: Connection<S>,
    pub(super) decoder: HeadDecoder,
    pub(super) input: BytesMut,
    pub(super) output: Output,
    timer: Timer,
    waiting: Waiting,
    /// The task the timer wakes: whoever reads a body need not be who made the call.
    waker: Option<Waker>,
    /// Bytes the server had taken when its patience was last tried.
    taken: u64,
    place: Place,
    is_used: bool,
}

/// A connection's place among those of its pool.
pub(in crate::h1) struct Place {
    shard: usize,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// It rests in this shard, and gives the permit back when it closes.
    pub(in crate::h1) fn new(shard: usize, permit: OwnedSemaphorePermit) -> Self {
        Self { shard, _permit: permit }
    }
}

/// What the connection's timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    /// For the server to take the request.
    Peer,
    /// For its word that the body may come.
    Continue,
    /// For the reply's head.
    Head,
    /// For the next bytes of its body.
    Body,
}

/// What is being read, which says how much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Body,
}

thread_local! {
    static READ: RefCell<BytesMut> = RefCell::default();
}

impl<S: Transport> Wire<S> {
    pub(in crate::h1) fn new(mut connection: Connection<S>, limits: HeadLimits, place: Place) -> Self {
        let input = std::mem::take(&mut connection.buffered);
        Self {
            connection,
            decoder: HeadDecoder::new(limits),
            input,
            output: Output::default(),
            timer: Timer::default(),
            waiting: Waiting::Nothing,
            waker: None,
            taken: 0,
            place,
            is_used: false,
        }
    }

    /// Where it rests.
    pub(in crate::h1) fn shard(&self) -> usize {
        self.place.shard
    }

    /// Whether it has carried a call before: then its server may have closed it in the meantime.
    pub(in crate::h1) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Puts it to rest after a call; another task may carry on with it.
    pub(in crate::h1) fn rest(&mut self) {
        self.input = BytesMut::new();
        self.output.rest();
        self.stop_waiting();
        self.waker = None;
        self.is_used = true;
    }

    /// Whether nothing has come over it at rest. What does come is its end, or something no request
    /// asked for, which is no better. Costs no system call as long as the event loop knows of nothing.
    pub(in crate::h1) fn is_quiet(&mut self) -> bool {
        let task = &mut Context::from_waker(Waker::noop());
        read_shared(task, &mut self.connection.stream).is_pending()
    }

    /// Reads what is there behind the input; 0 is the end.
    pub(super) fn poll_read(&mut self, task: &mut Context<'_>, part: Part) -> Poll<io::Result<usize>> {
        if self.input.is_empty() && part == Part::Head {
            return read_shared(task, &mut self.connection.stream).map_ok(|read| {
                self.input = read;
                self.input.len()
            });
        }
        self.input.reserve(if part == Part::Head { HEAD_READ_BYTES } else { BODY_READ_BYTES });
        pin!(self.connection.stream.read_buf(&mut self.input)).poll(task)
    }

    pub(super) fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_flush(task, &mut self.connection.stream, Then::Nothing)
    }

    /// Ready once the call has been waiting for the same thing for so long.
    pub(super) fn poll_waiting(&mut self, task: &mut Context<'_>, waiting: Waiting, time: Ticks) -> Poll<()> {
        if waiting == Waiting::Peer && self.taken != self.output.taken() {
            self.taken = self.output.taken();
            self.waiting = Waiting::Nothing; // It took some: its time begins anew.
        }
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
            self.waker = Some(task.waker().clone());
            self.timer.hand_over();
            self.waiting = Waiting::Nothing;
        }
        if self.waiting != waiting {
            self.waiting = waiting;
            self.timer.set(time);
        }
        self.timer.poll(task)
    }

    /// Whatever comes next has its own time.
    pub(super) fn stop_waiting(&mut self) {
        if self.waiting != Waiting::Nothing {
            self.waiting = Waiting::Nothing;
            self.timer.clear();
        }
    }

    /// The bare connection, with the bytes that were read too many. Its place is free.
    pub(super) fn into_connection(mut self) -> Connection<S> {
        self.connection.buffered = self.input;
        self.connection
    }
}

/// Reads whatever is there into the thread's buffer. Nothing is held while nothing comes.
fn read_shared<S: Transport>(task: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<BytesMut>> {
    READ.with_borrow_mut(|buffer| {
        if buffer.capacity() < READ_BYTES / 4 {
            buffer.reserve(READ_BYTES);
        }
        let read = pin!(stream.read_buf(buffer)).poll(task);
        read.map_ok(|_| buffer.split())
    })
}
