//! The calls a connection has under way, polled inside the connection's own task.

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

    /// Begins a call and runs it as far as it goes; most are done then.
    #[inline(always)] // So that the call is made where it is to be.
    pub fn start(self: Pin<&mut Self>, call: impl FnOnce() -> F, task: &mut Context<'_>) {
        let mut this = self.project();
        if this.first.is_some() {
            is_over(|| {
                let mut call = Box::pin(call());
                let polled = call.as_mut().poll(task);
                polled.is_pending().then(|| this.others.push(call));
                polled
            });
        } else if is_over(|| {
            this.first.set(Some(call()));
            this.first.as_mut().as_pin_mut().map_or(Poll::Pending, |call| call.poll(task))
        }) {
            this.first.set(None);
        }
    }

    /// Runs every call as far as it goes.
    pub fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) {
        let mut this = self.project();
        if this.first.as_mut().as_pin_mut().is_some_and(|call| is_over(|| call.poll(task))) {
            this.first.set(None);
        }
        this.others.retain_mut(|call| !is_over(|| call.as_mut().poll(task)));
    }
}

impl<F: Future<Output = Result<(), Error>>> Default for Calls<F> {
    fn default() -> Self {
        Self { first: None, others: Vec::new() }
    }
}

/// Whether the call is over. Its failures have been answered through its slot; what is left to
/// say is for the log.
#[inline]
fn is_over(poll: impl FnOnce() -> Poll<Result<(), Error>>) -> bool {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(Poll::Pending) => return false,
        Ok(Poll::Ready(Ok(()))) => {}
        Ok(Poll::Ready(Err(error))) => tracing::warn!(%error, "a stage of the pipeline failed"),
        Err(panic) => {
            let error = Error::panicked("answering a request", &*panic);
            tracing::error!(%error, "a request's handler panicked");
        }
    }
    true
}
