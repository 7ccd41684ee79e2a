//! One timer for each connection, which the request path hardly ever touches.
//!
//! Arming a timer costs more than a small request, so it is left to run out and armed again then:
//! a busy connection's timer fires four times in an idle limit, whatever the number of requests.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Quarters of the idle limit; one more, as the first is already under way when a request ends.
const QUIET_TICKS_MAX: u8 = 5;

#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Ticks since the connection was last active.
    quiet: u8,
}

impl Timer {
    /// Something happened.
    pub(super) fn active(&mut self) {
        self.quiet = 0;
    }

    /// Ready once nothing has happened for `limit`, or up to a quarter more.
    pub(super) fn poll_idle(&mut self, task: &mut Context<'_>, limit: Duration) -> Poll<()> {
        match &self.sleep {
            // Its first poll left this task's waker with it.
            Some(sleep) if !sleep.is_elapsed() => return Poll::Pending,
            Some(_) => self.quiet += 1,
            None => {}
        }
        if self.quiet >= QUIET_TICKS_MAX {
            return Poll::Ready(());
        }
        if self.arm(Instant::now() + limit / 4, task).is_ready() {
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ready once `deadline` has passed.
    pub(super) fn poll_until(&mut self, task: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            match &mut self.sleep {
                Some(sleep) if sleep.deadline() <= deadline => {
                    ready!(sleep.as_mut().poll(task));
                    if sleep.deadline() == deadline || deadline <= Instant::now() {
                        return Poll::Ready(());
                    }
                }
                _ => {}
            }
            // It ran out too early, or would too late.
            ready!(self.arm(deadline, task));
        }
    }

    fn arm(&mut self, deadline: Instant, task: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(task)
    }
}
