//! What a busy connection waits for, how long, and what becomes of it then.

use std::task::{Context, Poll, ready};

use http::StatusCode;
use unary_net::Transport;
use unary_net::pipeline::drain::Phase;
use unary_net::timer::Ticks;

use super::{Busy, Going};
use crate::h1::connection::receiving::{Need, Receiving};
use crate::h1::connection::{RATE_WINDOW, Waiting};

impl<S: Transport> Busy<'_, S> {
    /// Waits for whatever has to happen by some time. Ready: it did not, and the connection is over.
    pub(super) fn poll_deadlines(&mut self, task: &mut Context<'_>) -> Poll<()> {
        if self.wire.connection.watch.poll(task) == Phase::Over {
            return Poll::Ready(());
        }
        let times = &self.http.times;
        let blocked =
            !self.tools.output.is_empty() || self.sending.as_ref().is_some_and(|sending| sending.is_blocked());
        let awaits_body = !blocked && self.awaits_body();
        if let Some(receiving) = self.receiving.as_mut().filter(|_| !awaits_body) {
            receiving.pause();
        }
        if blocked {
            if self.taken != self.tools.output.taken() {
                self.taken = self.tools.output.taken();
                self.wire.waiting = Waiting::Nothing; // It took some: its time begins anew.
            }
            ready!(self.wire.poll_waiting(task, Waiting::Peer, times.stall));
            tracing::debug!(peer = ?self.wire.connection.peer, "cut a connection: the peer takes nothing of its reply");
            self.http.counters.count_stall();
            return Poll::Ready(());
        }
        if awaits_body && let Some(receiving) = &mut self.receiving {
            let left = RATE_WINDOW.saturating_sub(receiving.waited());
            if !left.is_zero() {
                ready!(self.wire.poll_waiting(task, Waiting::Body, Ticks::of(left)));
            }
            self.wire.waiting = Waiting::Nothing;
            if receiving.take_received() < self.http.limits.body_rate_min.saturating_mul(RATE_WINDOW.as_secs()) {
                receiving.give_up();
                self.receiving = None;
                self.refuse_body_too_slow();
            }
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.awaits_head() {
            ready!(self.wire.poll_waiting(task, Waiting::Head, times.head));
            self.wire.waiting = Waiting::Nothing;
            self.refuse_with(StatusCode::REQUEST_TIMEOUT);
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.wire.waiting = Waiting::Nothing;
        self.wire.timer.clear();
        Poll::Pending
    }

    /// Whether it is up to the peer that there is another head. Bytes that wait for the end of a
    /// reply, or are no head's, are none of its slowness.
    fn awaits_head(&self) -> bool {
        let at_its_turn = self.tools.entries.is_empty() && self.sending.is_none() && !self.held;
        at_its_turn && self.going == Going::On && self.receiving.is_none() && self.is_amid_head() && !self.ended
    }

    /// Whether it is up to the peer that the body goes on: the service waits for bytes, and the peer
    /// for nothing. Our word that it may send them waits for the replies before it.
    fn awaits_body(&self) -> bool {
        let is_told = |receiving: &Receiving| !receiving.is_unasked_for() || self.tools.entries.is_empty();
        self.need == Need::Bytes && self.receiving.as_ref().is_some_and(|receiving| is_told(receiving))
    }

    /// The service's reply is not waited for: it may be waiting for the body. If it came before
    /// the body, it stands.
    fn refuse_body_too_slow(&mut self) {
        self.close_after_answers();
        if self.tools.entries.pop_back().is_some() {
            self.refuse_with(StatusCode::REQUEST_TIMEOUT);
        }
    }
}
