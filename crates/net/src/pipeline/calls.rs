//! The calls a connection has under way, polled inside the connection's own task.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use unary_service::Error;

pin_project_lite::pin_project! {
    /// The calls a connection has under way. The first lives in place and costs no allocation; the
    /// rest, which only concurrent pipelined requests need, are boxed. Whoever starts calls bounds
    /// their number.
    ///
    /// A call that panics is caught here: its exchange is dropped, which answers for it, and the
    /// connection and its other calls go on.
    pub struct Calls<F> {
        #[pin]
        first: Option<F>,
        others: Vec<Pin<Box<F>>>,
    }
}

impl<F: Future<Output = Result<(), Error>>> Calls<F> {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    /// Begins a call and runs every one as far as it goes; most are done then.
    #[inline(always)] // So that the call is made where it is to be.
    pub fn start(mut self: Pin<&mut Self>, call: impl FnOnce() -> F, task: &mut Context<'_>) {
        let mut this = self.as_mut().project();
        let begun = catch_unwind(AssertUnwindSafe(|| match *this.first {
            None => this.first.set(Some(call())),
            Some(_) => this.others.push(Box::pin(call())),
        }));
        begun.unwrap_or_else(|panic| panicked(&*panic));
        self.poll(task);
    }

    /// Runs every call as far as it goes.
    pub fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) {
        let mut this = self.project();
        if this.first.as_mut().as_pin_mut().is_some_and(|call| poll_caught(call, task)) {
            this.first.set(None);
        }
        this.others.retain_mut(|call| !poll_caught(call.as_mut(), task));
    }
}

impl<F: Future<Output = Result<(), Error>>> Default for Calls<F> {
    fn default() -> Self {
        Self { first: None, others: Vec::new() }
    }
}

/// Whether the call is over. Its failures have been answered through its slot; what is left to
/// say is for the log.
fn poll_caught<F: Future<Output = Result<(), Error>>>(call: Pin<&mut F>, task: &mut Context<'_>) -> bool {
    match catch_unwind(AssertUnwindSafe(|| call.poll(task))) {
        Ok(Poll::Pending) => false,
        Ok(Poll::Ready(Ok(()))) => true,
        Ok(Poll::Ready(Err(error))) => {
            tracing::warn!(%error, "a stage of the pipeline failed");
            true
        }
        Err(panic) => {
            panicked(&*panic);
            true
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) {
    tracing::error!(error = %Error::panicked("answering a request", panic), "a request's handler panicked");
}
