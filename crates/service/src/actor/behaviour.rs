//! One function per state, which takes a message and gives the next one.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Payload;
use super::ask::contain;
use crate::Error;

/// What an actor does with the next message, and what it does after that.
///
/// A state is a function that returns its behaviour; what the state knows are the function's
/// arguments. While one message is being handled the next one waits.
///
/// Behaviours need no actor to run, which makes their transitions easy to test:
///
/// ```
/// use unary_service::actor::Behaviour;
///
/// fn open() -> Behaviour<&'static str> {
///     Behaviour::new(async |word| if word == "push" { shut() } else { open() })
/// }
/// fn shut() -> Behaviour<&'static str> {
///     Behaviour::new(async |word| if word == "pull" { Behaviour::stop() } else { shut() })
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let door = open().receive("push").await?;
/// assert!(!door.is_stop());
/// assert!(door.receive("pull").await?.is_stop());
/// # Ok(()) }
/// ```
#[must_use = "the next behaviour is the actor's state"]
pub struct Behaviour<M>(Option<Pin<Box<dyn State<M>>>>);

/// A state with its function's and its future's types forgotten. Both live in one allocation.
trait State<M>: Send {
    /// Takes the message at the first poll, and gives the next behaviour at the last.
    fn poll(self: Pin<&mut Self>, message: &mut Option<M>, cx: &mut Context<'_>) -> Poll<Behaviour<M>>;
}

pin_project! {
    #[project = StageView]
    enum Stage<F, Turn> {
        Waiting { function: Option<F> },
        Running { #[pin] turn: Turn },
    }
}

impl<M: Send + 'static> Behaviour<M> {
    /// Handles the next message with `function`, whose result handles the one after.
    pub fn new<F, Turn>(function: F) -> Self
    where
        F: FnOnce(M) -> Turn + Send + 'static,
        Turn: Future<Output = Self> + Send + 'static,
    {
        Self(Some(Box::pin(Stage::Waiting { function: Some(function) })))
    }

    /// The end: no message is handled any more.
    pub fn stop() -> Self {
        Self(None)
    }

    /// Whether this is the end.
    pub fn is_stop(&self) -> bool {
        self.0.is_none()
    }

    /// Handles one message; a behaviour that is the end drops it and stays so.
    ///
    /// # Errors
    ///
    /// [`Kind::Panicked`](crate::Kind::Panicked) if the state panicked. The same is said to
    /// whoever asked a question that got lost by it.
    pub async fn receive(self, message: M) -> Result<Self, Error> {
        self.turn(message, "without a name").await
    }

    /// The same for an actor with this name.
    pub(super) async fn turn(self, message: M, name: &str) -> Result<Self, Error> {
        let mut state = self.0;
        let mut message = Some(message);
        poll_fn(|cx| {
            let polled = contain(|| poll(&mut state, &mut message, cx), |polled| lost(polled, name));
            match polled {
                Ok(poll) => poll.map(Ok),
                Err(payload) => Poll::Ready(Err(panicked(&*payload, name))),
            }
        })
        .await
    }
}

/// Polls the state, and drops it once it is done: its destructors belong to the message too.
fn poll<M: Send + 'static>(
    state: &mut Option<Pin<Box<dyn State<M>>>>,
    message: &mut Option<M>,
    cx: &mut Context<'_>,
) -> Result<Poll<Behaviour<M>>, Payload> {
    let polled = catch_unwind(AssertUnwindSafe(|| match state {
        Some(state) => state.as_mut().poll(message, cx),
        None => Poll::Ready(Behaviour::stop()),
    }));
    if !matches!(polled, Ok(Poll::Pending)) {
        catch_unwind(AssertUnwindSafe(|| drop((state.take(), message.take()))))?;
    }
    polled
}

/// What a question hears that was dropped unanswered while a state was being polled.
fn lost<T>(polled: &Result<T, Payload>, name: &str) -> Error {
    match polled {
        Ok(_) => Error::internal(format!("asking actor {name}")).because("it dropped the question unanswered"),
        Err(payload) => panicked(&**payload, name),
    }
}

fn panicked(payload: &(dyn std::any::Any + Send), name: &str) -> Error {
    Error::panicked(format!("handling a message in actor {name}"), payload)
}

impl<M, F, Turn> State<M> for Stage<F, Turn>
where
    F: FnOnce(M) -> Turn + Send,
    Turn: Future<Output = Behaviour<M>> + Send,
{
    fn poll(mut self: Pin<&mut Self>, message: &mut Option<M>, cx: &mut Context<'_>) -> Poll<Behaviour<M>> {
        if let StageView::Waiting { function } = self.as_mut().project() {
            let function = function.take().expect("a state is left when its function is called");
            let message = message.take().expect("a state is polled first with its message");
            let turn = function(message);
            self.set(Stage::Running { turn });
        }
        match self.project() {
            StageView::Running { turn } => turn.poll(cx),
            StageView::Waiting { .. } => unreachable!("it was left just now"),
        }
    }
}

impl<M> fmt::Debug for Behaviour<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Behaviour" } else { "Behaviour::stop" })
    }
}
