//! A request, the slot its reply goes to, and the two stages between them.

use std::any::Any;
use std::cell::UnsafeCell;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use futures_util::FutureExt;
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
pub struct Awaited<R> {
    place: Arc<Place<R>>,
    /// No slot can still come to this place.
    free: bool,
}

/// A mutex would do; this spares each exchange four of its seven atomic operations.
struct Place<R> {
    state: AtomicU8,
    answer: UnsafeCell<Option<Result<R, Error>>>,
    connection: Mutex<Option<Waker>>,
}

/// The answer is the slot's to write; it is the connection's once the state is `FILLED`.
const EMPTY: u8 = 0;
/// The same, and the connection has left its waker.
const WATCHED: u8 = 1;
const FILLED: u8 = 2;

// SAFETY: the one thing that is not `Sync` is `answer`. The one slot of a place writes it before it
// sets `FILLED`, with release, and never after; the connection touches it only when it has seen
// `FILLED`, with acquire, and sets `EMPTY` again only before it makes the next slot. `R` and
// `Error` change threads by it, hence `R: Send`.
unsafe impl<R: Send> Sync for Place<R> {}

impl<R> Slot<R> {
    /// Fills it with a reply or a failure.
    #[inline(always)] // Here and below: so that the answer is moved once.
    pub fn fill(mut self, answer: Result<R, Error>) {
        self.put(|| answer);
    }

    #[inline(always)]
    fn put(&mut self, answer: impl FnOnce() -> Result<R, Error>) {
        let Some(place) = self.0.take() else { return };
        // SAFETY: this is the place's one slot, and it was not filled before, or `self.0` would be
        // empty: so the state is not `FILLED`, and nobody else touches the answer. Whatever an
        // unwound connection may have left there was dropped when this slot was made.
        unsafe { place.answer.get().write(Some(answer())) };
        if place.state.swap(FILLED, Ordering::AcqRel) == WATCHED
            && let Some(connection) = place.connection.lock().expect("no panic while the lock is held").take()
        {
            connection.wake();
        }
    }
}

impl<R> Drop for Slot<R> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.put(|| Err(Error::internal("answering: the exchange was dropped")));
        }
    }
}

impl<R> Awaited<R> {
    /// A slot for the next exchange.
    #[inline]
    pub fn slot(&mut self) -> Slot<R> {
        if !std::mem::take(&mut self.free) {
            *self = Self { free: false, ..Self::default() };
        }
        // SAFETY: the place is free, so no slot can come to it: the answer is ours.
        unsafe { *self.place.answer.get() = None };
        self.place.state.store(EMPTY, Ordering::Relaxed);
        Slot(Some(self.place.clone()))
    }

    /// Lends the answer to `use_it`, once it is there, and drops what that leaves of it: a large
    /// reply need not be moved. It is there only once.
    #[inline]
    pub fn poll_with<T>(&mut self, task: &mut Context<'_>, use_it: impl FnOnce(&mut Result<R, Error>) -> T) -> Poll<T> {
        let Some(answer) = self.poll_answer(task) else { return Poll::Pending };
        let used = answer.as_mut().map_or(Poll::Pending, |answer| Poll::Ready(use_it(answer)));
        *answer = None;
        used
    }

    /// The answer, once it is there. It is there only once.
    #[inline]
    pub fn poll_take(&mut self, task: &mut Context<'_>) -> Poll<Result<R, Error>> {
        self.poll_answer(task).and_then(Option::take).map_or(Poll::Pending, Poll::Ready)
    }

    #[inline]
    fn poll_answer(&mut self, task: &mut Context<'_>) -> Option<&mut Option<Result<R, Error>>> {
        if self.free || !self.place.poll_filled(task) {
            return None;
        }
        self.free = true;
        // SAFETY: the state is `FILLED`, so the slot is done with the answer, and `&mut self` is
        // the one other way to it: see `Place`.
        Some(unsafe { &mut *self.place.answer.get() })
    }
}

impl<R> Place<R> {
    /// Whether the answer is there; if not, `task` is woken once it is.
    #[inline]
    fn poll_filled(&self, task: &mut Context<'_>) -> bool {
        self.state.load(Ordering::Acquire) == FILLED || {
            *self.connection.lock().expect("no panic while the lock is held") = Some(task.waker().clone());
            // It may have been filled since, by a slot that saw no waker.
            self.state.compare_exchange(EMPTY, WATCHED, Ordering::AcqRel, Ordering::Acquire) == Err(FILLED)
        }
    }
}

impl<R> Default for Awaited<R> {
    fn default() -> Self {
        let (state, answer, connection) = (AtomicU8::new(EMPTY), UnsafeCell::new(None), Mutex::new(None));
        Self { place: Arc::new(Place { state, answer, connection }), free: true }
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

impl<T: Send, R: Send, S: Service<T, Reply = R>> Transducer<Exchange<T, R>> for Process<S> {
    type Out = Answer<R>;

    // By hand, as an `async` block would move the request and the reply several times more.
    fn feed<D: Consumer<Answer<R>>>(
        &self,
        Exchange { request, slot }: Exchange<T, R>,
        down: &D,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let hand_on = |answer| match answer {
            Ok(reply) => down.accept(Answer { reply, slot }).left_future(),
            Err(error) => {
                slot.fill(Err(error));
                ready(Ok(())).right_future()
            }
        };
        Processing::Calling { call: self.0.call(request), hand_on: Some(hand_on) }
    }
}

pin_project_lite::pin_project! {
    #[project = Step]
    enum Processing<C, F, A> {
        Calling { #[pin] call: C, hand_on: Option<F> },
        HandingOn { #[pin] handing_on: A },
    }
}

impl<R, C, F, A> Future for Processing<C, F, A>
where
    C: Future<Output = Result<R, Error>>,
    F: FnOnce(Result<R, Error>) -> A,
    A: Future<Output = Result<(), Error>>,
{
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Step::Calling { call, hand_on } = self.as_mut().project() {
            // A panic costs this request, whatever task the stage runs in.
            let called =
                catch_unwind(AssertUnwindSafe(|| call.poll(task).map(|answer| hand_on.take().map(|f| f(answer)))));
            let panicked = |panic: Box<dyn Any + Send>| Err(Error::panicked("answering a request", &*panic));
            let handing_on =
                ready!(called.unwrap_or_else(|panic| Poll::Ready(hand_on.take().map(|f| f(panicked(panic))))));
            let Some(handing_on) = handing_on else { return Poll::Ready(Ok(())) };
            self.set(Self::HandingOn { handing_on });
        }
        match self.project() {
            Step::HandingOn { handing_on } => handing_on.poll(task),
            Step::Calling { .. } => Poll::Ready(Ok(())),
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
        let Answer { reply, mut slot } = answer;
        slot.put(|| Ok(reply));
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
        let place = Arc::as_ptr(&awaited.place);
        first.slot.fill(Ok(1));
        assert_eq!(take(&mut awaited).unwrap().unwrap(), 1);
        let second = awaited.slot();
        assert_eq!(Arc::as_ptr(&awaited.place), place);
        // A slot still out there keeps its own place.
        let _third = awaited.slot();
        assert_ne!(Arc::as_ptr(&awaited.place), place);
        drop(second);
        assert!(take(&mut awaited).is_none());
    }
}
