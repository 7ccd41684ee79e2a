//! What a busy connection works with, lent by its thread and given back: buffers, a decoder, room
//! for the replies under way. Connections at rest own none of it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use unary_net::pipeline::Awaited;

use super::busy::Entry;
use crate::Response;
use crate::h1::decode::HeadDecoder;
use crate::h1::encode::Date;
use crate::h1::head::HeadLimits;

/// How much is read at once while a connection is idle: a batch of pipelined requests, or a head
/// of the largest size with room to spare.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Sets of tools a thread keeps for later; more were needed only if more connections than this
/// were in the midst of a call at once.
const SPARE_MAX: usize = 64;

/// A set whose output grew beyond this is dropped rather than kept.
const OUTPUT_BYTES_KEPT: usize = 128 * 1024;

pub(super) struct Tools {
    pub(super) decoder: HeadDecoder,
    pub(super) limits: HeadLimits,
    pub(super) entries: VecDeque<Entry>,
    pub(super) awaited: Vec<Awaited<Response>>,
    pub(super) output: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
    static SPARE: RefCell<Vec<Box<Tools>>> = const { RefCell::new(Vec::new()) };
    static DATE: Cell<(i64, Date)> = const { Cell::new((i64::MIN, [b' '; 29])) };
}

/// Lends the thread's scratch buffer. `run` must not come back here.
pub(super) fn with_scratch<T>(run: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| run(scratch))
}

impl Tools {
    pub(super) fn borrow(limits: HeadLimits) -> Box<Self> {
        match SPARE.with_borrow_mut(Vec::pop) {
            Some(tools) if tools.limits == limits => tools,
            _ => Box::new(Self {
                decoder: HeadDecoder::new(limits),
                limits,
                entries: VecDeque::new(),
                awaited: Vec::new(),
                output: Vec::new(),
            }),
        }
    }

    /// Takes back a set that is as good as new: its decoder between heads, its queues empty.
    pub(super) fn give_back(self: Box<Self>) {
        debug_assert!(self.entries.is_empty() && self.output.is_empty(), "tools were given back in use");
        if self.output.capacity() <= OUTPUT_BYTES_KEPT {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_MAX {
                    spare.push(self);
                }
            });
        }
    }
}

/// The date for replies: formatted once a second by each thread.
pub(super) fn date() -> Date {
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
