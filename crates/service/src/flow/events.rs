//! A line fed from outside, by whoever must never wait: the access log's first stage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::{Consumer, Id, Line, Producer, line};
use crate::Error;

/// How many events that wait are handed on together: a write's worth of log lines.
const TOGETHER_MAX: usize = 512;

/// A line whose items are emitted from anywhere, and come as many at once as are waiting. The
/// policy when `length` of them wait: the newest is dropped and counted, for a request is worth
/// more than the record of it. The line ends when the last emitter is gone.
pub fn events<T: Send + 'static>(length: usize) -> (Emitter<T>, Line<Events<T>, Id>) {
    let (sender, receiver) = mpsc::channel(length.max(1));
    (Emitter { sender, dropped: Arc::default() }, line(Events(receiver)))
}

/// Puts events on a line, without ever waiting.
pub struct Emitter<T> {
    sender: mpsc::Sender<T>,
    dropped: Arc<AtomicU64>,
}

impl<T> Emitter<T> {
    /// Hands the event over, or drops and counts it if the line is full or has ended.
    pub fn emit(&self, event: T) {
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The counter itself, for whoever reports it. Holding it does not keep the line open.
    pub fn dropped_counter(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }
}

impl<T> Clone for Emitter<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), dropped: self.dropped.clone() }
    }
}

/// See [`events`].
pub struct Events<T>(mpsc::Receiver<T>);

impl<T: Send + 'static> Producer for Events<T> {
    type Item = Vec<T>;

    async fn drive<D: Consumer<Vec<T>> + 'static>(mut self, down: D) -> Result<(), Error> {
        let mut waiting = Vec::new();
        while self.0.recv_many(&mut waiting, TOGETHER_MAX).await > 0 {
            down.accept(std::mem::take(&mut waiting)).await?;
        }
        down.finish().await
    }
}
