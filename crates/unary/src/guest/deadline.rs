//! How long something may take, from when it was first waited for.

use std::task::{Context, Poll};

use unary_net::timer::{Ticks, Timer};

/// One wait at a time.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    timer: Timer,
    /// For how long it is set.
    set: Option<Ticks>,
}

impl Deadline {
    /// Ready once this has been waited for for so long without a [`met`](Self::met) in between. A wait of another length
    /// is another wait.
    pub(super) fn poll(&mut self, task: &mut Context<'_>, time: Ticks) -> Poll<()> {
        if self.set != Some(time) {
            self.set = Some(time);
            self.timer.set(time);
        }
        self.timer.poll(task)
    }

    /// What was waited for has come.
    pub(super) fn met(&mut self) {
        if self.set.take().is_some() {
            self.timer.clear();
        }
    }
}
