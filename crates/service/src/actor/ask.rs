//! Questions: a message with a slot for the reply, which is answered or failed, never forgotten.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::Payload;
use crate::{Error, Kind};

/// A message that is a request with a slot for its reply. The [`Address`](super::Address) of an
/// actor that takes these is a [`Service`](crate::Service) as it is.
///
/// ```
/// use unary_service::{Actor, Ask, Behaviour, Service};
///
/// fn doubling() -> Behaviour<Ask<u32, u32>> {
///     Behaviour::new(async |ask: Ask<u32, u32>| {
///         ask.reply.send(ask.request * 2);
///         doubling()
///     })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// assert_eq!(Actor::new("doubling", doubling).spawn(1).call(21).await?, 42);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Ask<Req, Reply: Send + 'static> {
    /// What is asked.
    pub request: Req,
    /// Where the reply goes.
    pub reply: Slot<Reply>,
}

/// Where the reply to a question goes. It may outlast the message, and be answered by another
/// task.
///
/// A slot that is dropped unanswered fails the question: as panicked if that is what dropped it.
///
/// ```
/// use unary_service::actor::slot;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let (slot, answer) = slot();
/// tokio::spawn(async move { slot.send(42) });
/// assert_eq!(answer.await?, 42);
/// # Ok(()) }
/// ```
pub struct Slot<Reply: Send + 'static>(Option<oneshot::Sender<Result<Reply, Error>>>);

/// What a question waits for: a future of the reply. Dropping it abandons the question.
///
/// ```
/// use unary_service::actor::slot;
///
/// let (slot, answer) = slot::<u32>();
/// drop(answer);
/// assert!(slot.is_abandoned());
/// ```
#[must_use = "an answer is of use to whoever awaits it"]
pub struct Answer<Reply>(oneshot::Receiver<Result<Reply, Error>>);

/// A slot, and the future of what will be put into it.
///
/// ```
/// use unary_service::{Kind, actor::slot};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (slot, answer) = slot::<u32>();
/// drop(slot);
/// assert_eq!(answer.await.unwrap_err().kind(), Kind::Internal);
/// # }
/// ```
pub fn slot<Reply: Send + 'static>() -> (Slot<Reply>, Answer<Reply>) {
    let (sender, receiver) = oneshot::channel();
    (Slot(Some(sender)), Answer(receiver))
}

impl<Reply: Send + 'static> Slot<Reply> {
    /// Answers with a reply.
    pub fn send(self, reply: Reply) {
        self.answer(Ok(reply));
    }

    /// Answers with a failure.
    pub fn fail(self, error: Error) {
        self.answer(Err(error));
    }

    /// Answers with what something else gave. If nobody waits any more, it is dropped.
    pub fn answer(mut self, result: Result<Reply, Error>) {
        if let Some(sender) = self.0.take() {
            let _ = sender.send(result);
        }
    }

    /// Whether nobody waits for the reply any more, so that the work may be spared.
    pub fn is_abandoned(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl<Reply: Send + 'static> Drop for Slot<Reply> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take().filter(|sender| !sender.is_closed()) {
            let fail = |error| drop(sender.send(Err(error)));
            lose(Box::new(fail));
        }
    }
}

impl<Reply> Future for Answer<Reply> {
    type Output = Result<Reply, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = std::task::ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answered.unwrap_or_else(|_| Err(dropped())))
    }
}

/// A slot that was dropped unanswered, which waits for its error.
type Lost = Box<dyn FnOnce(Error)>;

thread_local! {
    /// The slots dropped since [`contain`] began on this thread; `None` outside of it. A slot's
    /// destructor cannot know what the panic was that dropped it, but who catches it does.
    static LOST: RefCell<Option<Vec<Lost>>> = const { RefCell::new(None) };
}

/// Runs `work`, catches its panic, and fails the slots it dropped unanswered with what `fate`
/// makes of how it went.
pub(super) fn contain<T>(
    work: impl FnOnce() -> Result<T, Payload>,
    fate: impl Fn(&Result<T, Payload>) -> Error,
) -> Result<T, Payload> {
    let outer = LOST.replace(Some(Vec::new()));
    let outcome = catch_unwind(AssertUnwindSafe(work)).flatten();
    for fail in LOST.replace(outer).into_iter().flatten() {
        fail(fate(&outcome));
    }
    outcome
}

fn lose(fail: Lost) {
    let mut fail = Some(fail);
    // A thread that is ending has no list any more.
    let _ = LOST.try_with(|lost| {
        if let Some(list) = &mut *lost.borrow_mut() {
            list.extend(fail.take());
        }
    });
    if let Some(fail) = fail {
        fail(dropped());
    }
}

/// What is known of a slot dropped elsewhere than in an actor.
fn dropped() -> Error {
    const STEP: &str = "waiting for an actor's answer";
    if std::thread::panicking() {
        return Error::new(Kind::Panicked, STEP).because("whoever had the question panicked");
    }
    Error::internal(STEP).because("the question was dropped unanswered")
}

impl<Reply: Send + 'static> fmt::Debug for Slot<Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("abandoned", &self.is_abandoned()).finish()
    }
}

impl<Reply> fmt::Debug for Answer<Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
