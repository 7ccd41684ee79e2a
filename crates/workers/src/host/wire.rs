//! A connection to a worker, at rest and during a call.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use unary_net::timer::{Ticks, Timer};
use unary_net::{Connection, Transport};

/// A thread's connections read the first bytes of a reply into one buffer of this size, of which each takes what it
/// got. The next one is begun when less than a quarter is left.
const SHARED_BYTES: usize = 16 * 1024;

/// How much room is made for the next read of a reply that goes on: a record's worth.
const READ_BYTES: usize = 64 * 1024;

/// No more is encoded while so much waits to be written.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// A connection to a worker. At rest it holds no buffers.
pub(crate) struct Wire<S> {
    connection: Connection<S>,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
    timer: Timer,
    waiting: Waiting,
    /// The task the timer wakes: whoever reads a body need not be who made the call.
    waker: Option<Waker>,
    /// Bytes the worker has taken, and had taken when its patience was last tried.
    taken: u64,
    taken_before: u64,
    /// Calls it has carried before this one.
    pub(crate) calls: u32,
}

/// What the connection's timer is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Nothing,
    /// For the worker to take the request.
    Worker,
    /// For the reply's head.
    Head,
    /// For the next bytes of its body.
    Body,
}

thread_local! {
    static SHARED: RefCell<BytesMut> = RefCell::default();
}

impl<S: Transport> Wire<S> {
    pub(crate) fn new(mut connection: Connection<S>) -> Self {
        let input = std::mem::take(&mut connection.buffered);
        Self {
            connection,
            input,
            output: BytesMut::new(),
            timer: Timer::default(),
            waiting: Waiting::Nothing,
            waker: None,
            taken: 0,
            taken_before: 0,
            calls: 0,
        }
    }

    /// Puts it to rest after a call; another task may carry on with it.
    pub(crate) fn rest(&mut self) {
        (self.input, self.output) = (BytesMut::new(), BytesMut::new());
        self.stop_waiting();
        self.waker = None;
        self.calls += 1;
        (self.taken, self.taken_before) = (0, 0);
    }

    /// Whether nothing has come over it at rest. What does come is its end, or something no request asked for, which
    /// is no better. Costs no system call as long as the event loop knows of nothing.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let task = &mut Context::from_waker(Waker::noop());
        read_shared(task, &mut self.connection.stream).is_pending()
    }

    /// Whether the socket has taken none of the bytes of this call.
    pub(crate) fn is_untouched(&self) -> bool {
        self.taken == 0
    }

    /// Whether more may be encoded now.
    pub(crate) fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_BYTES_MAX
    }

    /// Reads what is there behind the input; 0 is the end.
    pub(crate) fn poll_read(&mut self, task: &mut Context<'_>, waiting: Waiting) -> Poll<io::Result<usize>> {
        if self.input.is_empty() && waiting == Waiting::Head {
            return read_shared(task, &mut self.connection.stream).map_ok(|read| {
                self.input = read;
                self.input.len()
            });
        }
        self.input.reserve(READ_BYTES);
        pin!(self.connection.stream.read_buf(&mut self.input)).poll(task)
    }

    /// Writes all there is to write.
    pub(crate) fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            match ready!(Pin::new(&mut self.connection.stream).poll_write(task, &self.output))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.output.advance(written);
                    self.taken += written as u64;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the call has been waiting for the same thing for so long.
    pub(crate) fn poll_waiting(&mut self, task: &mut Context<'_>, waiting: Waiting, time: Ticks) -> Poll<()> {
        if waiting == Waiting::Worker && self.taken_before != self.taken {
            self.taken_before = self.taken;
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
    pub(crate) fn stop_waiting(&mut self) {
        if self.waiting != Waiting::Nothing {
            self.waiting = Waiting::Nothing;
            self.timer.clear();
        }
    }
}

/// Reads whatever is there into the thread's buffer. Nothing is held while nothing comes.
fn read_shared<S: Transport>(task: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<BytesMut>> {
    SHARED.with_borrow_mut(|buffer| {
        if buffer.capacity() < SHARED_BYTES / 4 {
            buffer.reserve(SHARED_BYTES);
        }
        let read = pin!(stream.read_buf(buffer)).poll(task);
        read.map_ok(|_| buffer.split())
    })
}
