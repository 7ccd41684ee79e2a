//! A request, the slot its reply goes to, and the two stages between them.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use unary_service::flow::{Consumer, Transducer};
use unary_service::{Error, Service};

/// A request and the slot its reply goes to. Dropping it answers with a failure, so there is no
/// hole in the order of replies and no connection that hangs.
#[derive(Debug)]
pub struct Exchange<T, R> {
    /// What was asked.
    pub request: T,
    /// Where the answer goes.
    pub slot: Slot<R>,
}

/// A reply on its way back to the slot.
#[derive(Debug)]
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

struct Place<R>(Mutex<State<R>>);

enum State<R> {
    Waiting(Option<Waker>),
    Filled(Result<R, Error>),
    Taken,
}

impl<R> Place<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

impl<R> Slot<R> {
    /// Fills it with a reply or a failure.
    pub fn fill(mut self, answer: Result<R, Error>) {
        self.put(answer);
    }

    fn put(&mut self, answer: Result<R, Error>) {
        let Some(place) = self.0.take() else { return };
        let before = std::mem::replace(&mut *place.lock(), State::Filled(answer));
        // The connection must find nobody else holding the place when it wants to use it again.
        drop(place);
        if let State::Waiting(Some(connection)) = before {
            connection.wake();
        }
    }
}

impl<R> Drop for Slot<R> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.put(Err(Error::internal("answering: the exchange was dropped")));
        }
    }
}

impl<R> std::fmt::Debug for Slot<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl<R> Awaited<R> {
    /// A slot for the next exchange.
    pub fn slot(&mut self) -> Slot<R> {
        match Arc::get_mut(&mut self.0) {
            Some(place) => *place.0.get_mut().expect("no panic while the lock is held") = State::Waiting(None),
            None => *self = Self::default(),
        }
        Slot(Some(self.0.clone()))
    }

    /// The answer if it is there, without asking to be woken for it.
    pub fn take(&mut self) -> Option<Result<R, Error>> {
        let mut state = self.0.lock();
        if !matches!(*state, State::Filled(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, State::Taken) {
            State::Filled(answer) => Some(answer),
            State::Waiting(_) | State::Taken => None,
        }
    }

    /// The answer, once it is there.
    pub fn poll_take(&mut self, task: &mut Context<'_>) -> Poll<Result<R, Error>> {
        if let Some(answer) = self.take() {
            return Poll::Ready(answer);
        }
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(held) if held.as_ref().is_some_and(|held| held.will_wake(task.waker())) => Poll::Pending,
            State::Waiting(held) => {
                *held = Some(task.waker().clone());
                Poll::Pending
            }
            State::Taken => Poll::Ready(Err(Error::internal("answering: the reply was taken before"))),
            // Filled between the two locks.
            State::Filled(_) => {
                drop(state);
                self.take().map_or(Poll::Pending, Poll::Ready)
            }
        }
    }
}

impl<R> Default for Awaited<R> {
    fn default() -> Self {
        Self(Arc::new(Place(Mutex::new(State::Waiting(None)))))
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

    async fn feed<D: Consumer<Answer<R>>>(&self, exchange: Exchange<T, R>, down: &D) -> Result<(), Error> {
        match self.0.call(exchange.request).await {
            Ok(reply) => down.accept(Answer { reply, slot: exchange.slot }).await,
            Err(error) => {
                exchange.slot.fill(Err(error));
                Ok(())
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

    async fn feed<D: Consumer<()>>(&self, answer: Answer<R>, down: &D) -> Result<(), Error> {
        answer.slot.fill(Ok(answer.reply));
        down.accept(()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_exchange_is_answered() {
        let (exchange, mut awaited) = Exchange::<_, u32>::new("question");
        assert!(awaited.take().is_none());
        drop(exchange);
        assert!(awaited.take().unwrap().is_err());
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
        assert_eq!(awaited.take().unwrap().unwrap(), 1);
        let second = awaited.slot();
        assert_eq!(Arc::as_ptr(&awaited.0), place);
        // A slot still out there keeps its own place.
        let _third = awaited.slot();
        assert_ne!(Arc::as_ptr(&awaited.0), place);
        drop(second);
        assert!(awaited.take().is_none());
    }
}
