//! What a busy connection works with, lent by its thread and given back: buffers, a decoder, room
//! for the replies under way. Connections at rest own none of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::busy::Entry;
use crate::h1::decode::HeadDecoder;
use crate::h1::encode::Date;
use crate::h1::head::{HeadLimits, RequestHead};
use crate::h1::output::Output;

/// A thread's idle connections read into one buffer of this size, of which each takes what it got.
/// The next one is begun when less than a quarter is left; a request that lasts keeps no more than
/// the buffer it came in.
const READ_BYTES: usize = 16 * 1024;

/// Sets of tools a thread keeps for later; more were needed only if more connections than this
/// were in the midst of a call at once.
const SPARE_MAX: usize = 64;

/// A set whose output grew beyond this is dropped rather than kept.
const OUTPUT_BYTES_KEPT: usize = 128 * 1024;

pub(super) struct Tools {
    pub(super) decoder: HeadDecoder,
    /// The head decoded last, as far as it is still needed; its header map is used again.
    pub(super) head: RequestHead,
    limits: HeadLimits,
    /// What was read and not yet decoded.
    pub(super) input: BytesMut,
    /// Requests not yet answered, in order.
    pub(super) entries: VecDeque<Box<Entry>>,
    /// Room for the requests to come, never more than were under way at once.
    #[expect(clippy::vec_box, reason = "they come and go as boxes")]
    pub(super) spare: Vec<Box<Entry>>,
    pub(super) output: Output,
}

thread_local! {
    static READ: RefCell<BytesMut> = RefCell::default();
    // The indirection is the point: a set of tools changes hands for the price of a pointer.
    #[expect(clippy::vec_box, reason = "what is lent is the box")]
    static SPARE: RefCell<Vec<Box<Tools>>> = const { RefCell::new(Vec::new()) };
    static DATE: Cell<(i64, Date)> = const { Cell::new((i64::MIN, [b' '; 29])) };
}

/// Reads whatever is there into the thread's buffer. Nothing is held while nothing comes; nothing
/// read is the end.
pub(super) fn poll_read<S: AsyncRead + Unpin>(task: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<BytesMut>> {
    READ.with_borrow_mut(|buffer| {
        if buffer.capacity() < READ_BYTES / 4 {
            buffer.reserve(READ_BYTES);
        }
        let read = pin!(stream.read_buf(buffer)).poll(task);
        read.map_ok(|_| buffer.split())
    })
}

impl Tools {
    pub(super) fn lend(limits: HeadLimits, input: BytesMut) -> Box<Self> {
        match SPARE.with_borrow_mut(Vec::pop) {
            Some(mut tools) if tools.limits == limits => {
                tools.input = input;
                tools
            }
            _ => Box::new(Self {
                decoder: HeadDecoder::new(limits),
                head: RequestHead::default(),
                limits,
                input,
                entries: VecDeque::new(),
                spare: Vec::new(),
                output: Output::default(),
            }),
        }
    }

    /// Takes a set back, if it is as good as new.
    pub(super) fn give_back(mut self: Box<Self>) {
        self.input = BytesMut::new();
        self.entries.clear();
        let as_new = self.output.is_empty() && !self.decoder.is_amid_head();
        if as_new && self.output.front.capacity() <= OUTPUT_BYTES_KEPT {
            self.decoder.reset(); // Empty lines count on the connection they came on.
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_MAX {
                    spare.push(self);
                }
            });
        }
    }
}

/// The date for replies: formatted once a second by each thread.
pub(crate) fn date() -> Date {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse).tv_sec;
    let (second, date) = DATE.get();
    if second == now {
        return date;
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(now.max(0).cast_unsigned());
    let mut date = [b' '; 29];
    date.copy_from_slice(httpdate::fmt_http_date(time).as_bytes());
    DATE.set((now, date));
    date
}
