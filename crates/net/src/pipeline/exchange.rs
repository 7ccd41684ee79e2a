//! A request, the slot its reply goes to, and the two stages between them.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use unary_service::flow::{Consumer, Transducer};
use unary_service::{Error, Service};

/// A request and the slot its reply goes to. Dropping it answers with a failure, so there is no
/// hole in the order of replies and no connection that hangs.
pub struct Exchange<T, R> {
    /// What was asked.
    pub request: T,
    /// Where the answer goes.
    pub slot: Slot<R>,
}

/// A reply on its way back to the slot.
pub struct Answer<R> {
    /// What is answered.
    pub reply: R,
    /// Where it goes.
    pub slot: Slot<R>,
}

impl<T, R> Exchange<T, R> {
    /// The exchange, and the connection's end of its slot.
    pub fn new(request: T) -> (Self, Awaited<R>) {
        let mut awaited = Awaited::default();
        (Self { request, slot: awaited.slot() }, awaited)
    }

    /// The same exchange with another request.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Exchange<U, R> {
        Exchange { request: change(self.request), slot: self.slot }
    }
}

/// Where one reply goes, exactly once.
pub struct Slot<R>(Option<Arc<Place<R>>>);

/// The connection's end of a [`Slot`]. After the reply was taken it can be used for the next
/// exchange, which saves an allocation for each.
pub struct Awaited<R>(Arc<Place<R>>);

struct Place<R>(Mutex<Answering<R>>);

/// Two fields rather than an enum of three states: what is large is then only moved when it is there.
struct Answering<R> {
    answer: Option<Result<R, Error>>,
    connection: Option<Waker>,
}

impl<R> Place<R> {
    fn lock(&self) -> MutexGuard<'_, Answering<R>> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

impl<R> Slot<R> {
    /// Fills it with a reply or a failure.
    #[inline(always)] // So that the answer is moved once.
    pub fn fill(mut self, answer: Result<R, Error>) {
        if let Some(place) = self.0.take() {
            put(place, answer);
        }
    }
}

#[inline(always)] // So that the answer is moved once.
fn put<R>(place: Arc<Place<R>>, answer: Result<R, Error>) {
    let connection = {
        let mut answering = place.lock();
        answering.answer = Some(answer);
        answering.connection.take()
    };
    // The connection must find nobody else holding the place when it wants to use it again.
    drop(place);
    if let Some(connection) = connection {
        connection.wake();
    }
}

impl<R> Drop for Slot<R> {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            put(place, Err(Error::internal("answering: the exchange was dropped")));
        }
    }
}

impl<R> Awaited<R> {
    /// A slot for the next exchange.
    #[inline]
    pub fn slot(&mut self) -> Slot<R> {
        match Arc::get_mut(&mut self.0) {
            Some(place) => {
                let answering = place.0.get_mut().expect("no panic while the lock is held");
                answering.answer = None;
                answering.connection = None;
            }
            None => *self = Self::default(),
        }
        Slot(Some(self.0.clone()))
    }

    /// Lends the answer to `use_it`, once it is there, and drops what that leaves of it: a large
    /// reply need not be moved. It is there only once.
    #[inline]
    pub fn poll_with<T>(&mut self, task: &mut Context<'_>, use_it: impl FnOnce(&mut Result<R, Error>) -> T) -> Poll<T> {
        let mut answering = self.0.lock();
        if let Some(answer) = &mut answering.answer {
            let used = use_it(answer);
            answering.answer = None;
            return Poll::Ready(used);
        }
        answering.watch(task)
    }

    /// The answer, once it is there. It is there only once.
    #[inline]
    pub fn poll_take(&mut self, task: &mut Context<'_>) -> Poll<Result<R, Error>> {
        let mut answering = self.0.lock();
        answering.answer.take().map_or_else(|| answering.watch(task), Poll::Ready)
    }
}

impl<R> Answering<R> {
    /// Has `task` woken once there is an answer.
    fn watch<T>(&mut self, task: &mut Context<'_>) -> Poll<T> {
        if !self.connection.as_ref().is_some_and(|held| held.will_wake(task.waker())) {
            self.connection = Some(task.waker().clone());
        }
        Poll::Pending
    }
}

impl<R> Default for Awaited<R> {
    fn default() -> Self {
        Self(Arc::new(Place(Mutex::new(Answering { answer: None, connection: None }))))
    }
}

/// The stage that is the service: see [`Process`].
pub fn process<S>(service: S) -> Process<S> {
    Process(service)
}

/// Calls the service with each exchange's request. A failure goes to the slot at once, and only
/// replies reach the stages after this one.
#[derive(Clone, Copy, Debug)]
pub struct Process<S>(S);

impl<T, R, S> Transducer<Exchange<T, R>> for Process<S>
where
    T: Send,
    R: Send,
    S: Service<T, Reply = R>,
{
    type Out = Answer<R>;

    #[expect(clippy::manual_async_fn, reason = "an async fn would move its arguments once more")]
    fn feed<D: Consumer<Answer<R>>>(
        &self,
        exchange: Exchange<T, R>,
        down: &D,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async move {
            let mut call = pin!(self.0.call(exchange.request));
            // A panic costs this request, whatever task the stage runs in.
            let caught = poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(task))) {
                Ok(polled) => polled,
                Err(payload) => Poll::Ready(Err(Error::panicked("answering a request", &*payload))),
            });
            match caught.await {
                Ok(reply) => down.accept(Answer { reply, slot: exchange.slot }).await,
                Err(error) => {
                    exchange.slot.fill(Err(error));
                    Ok(())
                }
            }
        }
    }
}

/// The last stage of a server: fills each answer's slot.
pub fn reply() -> Reply {
    Reply
}

/// See [`reply`].
#[derive(Clone, Copy, Debug)]
pub struct Reply;

impl<R: Send> Transducer<Answer<R>> for Reply {
    type Out = ();

    fn feed<D: Consumer<()>>(&self, answer: Answer<R>, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        answer.slot.fill(Ok(answer.reply));
        down.accept(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<R>(awaited: &mut Awaited<R>) -> Option<Result<R, Error>> {
        match awaited.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_dropped_exchange_is_answered() {
        let (exchange, mut awaited) = Exchange::<_, u32>::new("question");
        assert!(take(&mut awaited).is_none());
        drop(exchange);
        assert!(take(&mut awaited).unwrap().is_err());
    }

    #[tokio::test]
    async fn filling_wakes_the_connection() {
        let (exchange, mut awaited) = Exchange::new(());
        let waiting = tokio::spawn(async move { std::future::poll_fn(|task| awaited.poll_take(task)).await });
        tokio::task::yield_now().await;
        exchange.slot.fill(Ok(7));
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
    }

    #[test]
    fn a_place_is_used_again_once_it_is_free() {
        let (first, mut awaited) = Exchange::<(), u32>::new(());
        let place = Arc::as_ptr(&awaited.0);
        first.slot.fill(Ok(1));
        assert_eq!(take(&mut awaited).unwrap().unwrap(), 1);
        let second = awaited.slot();
        assert_eq!(Arc::as_ptr(&awaited.0), place);
        // A slot still out there keeps its own place.
        let _third = awaited.slot();
        assert_ne!(Arc::as_ptr(&awaited.0), place);
        drop(second);
        assert!(take(&mut awaited).is_none());
    }
}
