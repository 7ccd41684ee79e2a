//! A request with a context, and a reply whose body is still being sent when the call returns.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use unary_service::{Available, Context, Error, HasContext, Lasting, Service};

#[derive(Default)]
pub(crate) struct Request {
    pub(crate) context: Context,
    /// Whoever has a clone sees whether the request is still there.
    pub(crate) kept: Arc<()>,
}

impl HasContext for Request {
    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }
    fn context_mut(&mut self) -> Option<&mut Context> {
        Some(&mut self.context)
    }
}

/// A reply with a body. Dropping it ends the body.
pub(crate) struct Download {
    /// What the request's deadline was when the service saw it.
    pub(crate) seen: Option<Instant>,
    /// When what is left of the body fails.
    pub(crate) cut_at: Option<Instant>,
    held: Vec<Box<dyn Send>>,
}

impl Lasting for Download {
    fn holding<G: Send + 'static>(mut self, guard: G) -> Self {
        self.held.push(Box::new(guard));
        self
    }
    fn until(mut self, deadline: Instant) -> Self {
        self.cut_at = Some(self.cut_at.map_or(deadline, |set| set.min(deadline)));
        self
    }
}

/// Answers after a while.
pub(crate) struct After(pub(crate) Duration);

impl Available for After {}

impl Service<Request> for After {
    type Reply = Download;

    async fn call(&self, request: Request) -> Result<Download, Error> {
        if !self.0.is_zero() {
            sleep(self.0).await;
        }
        Ok(Download { seen: request.context.deadline, cut_at: None, held: Vec::new() })
    }
}

pub(crate) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
