//! The time limit: a deadline that travels with the request and only ever comes nearer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::{Error, Filter, HasContext, Lasting, Service};

/// Longer limits are cut to a year: later than any answer, and still a point in time the clock
/// can express.
const LIMIT_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Fails a call, and what is left of its reply, when its time is up.
///
/// The deadline is put into the request's [`Context`](crate::Context), so that everything further
/// in knows how long an answer is of use. An earlier deadline wins: a time-out within a time-out
/// can only shorten it. When the deadline passes, the call is dropped and fails with
/// [`Kind::Timeout`](crate::Kind::Timeout); a reply that is still being sent fails through
/// [`Lasting::until`].
///
/// The time runs from the call, not from when its future is polled first: one that lies about meanwhile has less of
/// it. What is not polled is not told that its time is up, either.
///
/// A call that is ready at once costs a look at the clock: the timer is set when the call first
/// has to wait, and that needs a tokio runtime whose time is enabled.
///
/// ```
/// use std::{future::pending, time::Duration};
/// use unary_service::{Compose, Error, Kind, Service, filter::timeout::Timeout, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let never = service_fn(async |_: u32| pending::<Result<u32, Error>>().await);
/// let server = Timeout::new(Duration::from_secs(5)).and_then(never);
/// assert_eq!(server.call(1).await.unwrap_err().kind(), Kind::Timeout);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout {
    limit: Duration,
}

impl Timeout {
    /// Gives each call this long, its reply's body included.
    pub fn new(limit: Duration) -> Self {
        Self { limit: limit.min(LIMIT_MAX) }
    }

    /// How long a call may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

impl<Req, Next> Filter<Req, Next> for Timeout
where
    Req: HasContext + Send,
    Next: Service<Req>,
    Next::Reply: Lasting,
{
    type Reply = Next::Reply;

    fn apply(&self, mut request: Req, next: &Next) -> impl Future<Output = Result<Next::Reply, Error>> + Send {
        let deadline = match request.context_mut() {
            Some(context) => context.shrink(self.limit),
            None => Instant::now() + self.limit,
        };
        let answer = next.call(request);
        async move {
            match before(deadline, answer).await {
                Some(answer) => Ok(answer?.until(deadline)),
                None => {
                    let missed = format!("none within {:?}, or by an earlier deadline", self.limit);
                    Err(Error::timeout("waiting for the answer").because(missed))
                }
            }
        }
    }
}

/// The future's output, or `None` if the deadline passes first. Unlike tokio's time-out it makes
/// no timer for a future that is ready at once.
async fn before<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut alarm = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if alarm.is_none() {
            // Unconstrained: a call that eats up its task's budget must not put the alarm off.
            alarm.set(Some(unconstrained(sleep_until(deadline))));
        }
        let alarm = alarm.as_mut().as_pin_mut().expect("it was set just now");
        alarm.poll(cx).map(|()| None)
    })
    .await
}
