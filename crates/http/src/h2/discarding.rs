//! The rest of a body that the service did not want, when its reply is complete.
//!
//! The stream could be reset instead (RFC 9113 §8.1), and is where the rest is long. Some clients take
//! that for a failure of the reply, though, and whether the body was what its head announced would
//! remain unknown.

use std::task::{Context, Poll};

use ::h2::RecvStream;
use unary_net::timer::{Ticks, Timer};

/// What is thrown away of a body before its stream is reset, as of one by HTTP/1.1.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Discarding {
    stream: RecvStream,
    left: usize,
    timer: Timer,
}

impl Discarding {
    /// Throws a body away, for at most so long.
    pub(super) fn new(stream: RecvStream, time: Ticks) -> Self {
        let mut timer = Timer::default();
        timer.set(time);
        Self { stream, left: DISCARDED_BYTES_MAX, timer }
    }

    /// Ready when it has ended, or has lasted too long: dropping this resets its stream, if need be.
    pub(super) fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(data) = self.stream.poll_data(task) {
            let Some(Ok(data)) = data else { return Poll::Ready(()) };
            if data.len() > self.left {
                return Poll::Ready(());
            }
            self.left -= data.len();
            // It fails only where more is given back than came.
            let _ = self.stream.flow_control().release_capacity(data.len());
        }
        self.timer.poll(task)
    }
}
