//! Flow: producers, transducers and consumers, joined by `>>` into a line.
//!
//! After Might's pipelined web server: `listen >> connect >> process >> reply` is made of these
//! traits, and so is the access log. Stages are fused into one future at compile time; a queue
//! stands only where [`Line::queue`] puts it, and concurrency only where [`Line::fork`] does.
//! `accept` returning is the back-pressure, `finish` the orderly end, an error the failure: it
//! travels up to the producer and out of [`Line::drive`].

mod events;
mod queue;

use std::future::Future;
use std::ops::Shr;
use std::sync::Arc;

pub use events::{Emitter, Events, events};
pub use queue::{Forked, Queued};
use tokio::sync::Semaphore;

use crate::Error;

/// Where items come from.
pub trait Producer: Send + Sync {
    /// What it produces.
    type Item: Send;

    /// Hands items to `down` until there are no more, then finishes it.
    fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Takes items in and hands items on: one for one, fewer, or more.
pub trait Transducer<I>: Send + Sync {
    /// What it hands on.
    type Out: Send;

    /// Takes one item. Returns once whatever it hands on has been accepted.
    fn feed<D: Consumer<Self::Out>>(&self, item: I, down: &D) -> impl Future<Output = Result<(), Error>> + Send;

    /// Hands on what it held back; no item comes after this.
    fn finish<D: Consumer<Self::Out>>(&self, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        let _ = down;
        async { Ok(()) }
    }

    /// This stage and what is after it, as one consumer. Chains come apart here, so that a stage
    /// hands its items straight to the next one.
    fn into_consumer<D>(self, down: D) -> impl Consumer<I> + 'static
    where
        Self: Sized + 'static,
        D: Consumer<Self::Out> + 'static,
        I: Send,
    {
        Onto(self, down)
    }
}

/// Where items go.
pub trait Consumer<I>: Send + Sync {
    /// Takes one item. That this returns late is the back-pressure.
    fn accept(&self, item: I) -> impl Future<Output = Result<(), Error>> + Send;

    /// No item comes after this.
    fn finish(&self) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }
}

/// A producer and the stages after it, extended with `>>`. Its value is a server once the last
/// stage hands nothing on (`Out = ()`).
#[must_use = "a line does nothing until it is driven"]
#[derive(Clone, Debug)]
pub struct Line<P, C> {
    producer: P,
    chain: C,
}

/// A line with no stage yet.
pub fn line<P: Producer>(producer: P) -> Line<P, Id> {
    Line { producer, chain: Id }
}

impl<P: Producer, C: Transducer<P::Item>, T: Transducer<C::Out>> Shr<T> for Line<P, C> {
    type Output = Line<P, Chain<C, T>>;

    fn shr(self, stage: T) -> Self::Output {
        Line { producer: self.producer, chain: Chain(self.chain, stage) }
    }
}

impl<P, C> Line<P, C> {
    /// The same line with its stages behind one pointer: it can be cloned if its producer can.
    pub fn shared(self) -> Line<P, Arc<C>> {
        Line { producer: self.producer, chain: Arc::new(self.chain) }
    }

    /// The producer at the beginning of the line.
    pub fn producer(&self) -> &P {
        &self.producer
    }

    /// The same, to change.
    pub fn producer_mut(&mut self) -> &mut P {
        &mut self.producer
    }
}

impl<P: Producer + 'static, C: Transducer<P::Item, Out: 'static> + 'static> Line<P, C> {
    /// Puts a queue of at most `length` items here (at least one). What is before it runs beside
    /// what is after it, which takes one item at a time, in order.
    pub fn queue(self, length: usize) -> Line<Queued<Line<P, Arc<C>>>, Id> {
        line(Queued { line: self.shared(), length: length.max(1) })
    }

    /// Runs what is after this for at most `at_once` items at the same time (at least one), each
    /// in a task of its own; order is not kept. A failure of one item ends the line.
    pub fn fork(self, at_once: usize) -> Line<Forked<Line<P, Arc<C>>>, Id> {
        line(Forked { line: self.shared(), at_once: at_once.clamp(1, Semaphore::MAX_PERMITS) })
    }
}

impl<P: Producer, C: Transducer<P::Item>> Line<P, C> {
    /// Runs the line until its producer ends or a stage fails.
    pub fn drive(self) -> impl Future<Output = Result<(), Error>> + Send
    where
        C: Transducer<P::Item, Out = ()> + 'static,
    {
        self.producer.drive(self.chain.into_consumer(Nothing))
    }

    /// The producer, and all that is after it as one consumer: for whoever drives several of one
    /// into one of the other.
    pub fn into_parts(self) -> (P, impl Consumer<P::Item> + 'static)
    where
        P::Item: Send,
        C: Transducer<P::Item, Out = ()> + 'static,
    {
        (self.producer, self.chain.into_consumer(Nothing))
    }
}

/// The stage that hands on what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Id;

impl<I: Send> Transducer<I> for Id {
    type Out = I;

    fn feed<D: Consumer<I>>(&self, item: I, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        down.accept(item)
    }
}

/// Two stages as one.
#[derive(Clone, Copy, Debug)]
pub struct Chain<A, B>(A, B);

impl<I: Send, A: Transducer<I>, B: Transducer<A::Out>> Transducer<I> for Chain<A, B> {
    type Out = B::Out;

    #[expect(clippy::manual_async_fn, reason = "an async fn would move the item once more")]
    fn feed<D: Consumer<B::Out>>(&self, item: I, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        async move { self.0.feed(item, &Through(&self.1, down)).await }
    }

    async fn finish<D: Consumer<B::Out>>(&self, down: &D) -> Result<(), Error> {
        self.0.finish(&Through(&self.1, down)).await?;
        self.1.finish(down).await
    }

    fn into_consumer<D>(self, down: D) -> impl Consumer<I> + 'static
    where
        Self: Sized + 'static,
        D: Consumer<B::Out> + 'static,
    {
        self.0.into_consumer(self.1.into_consumer(down))
    }
}

impl<I: Send, T: Transducer<I>> Transducer<I> for Arc<T> {
    type Out = T::Out;

    fn feed<D: Consumer<T::Out>>(&self, item: I, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).feed(item, down)
    }

    fn finish<D: Consumer<T::Out>>(&self, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).finish(down)
    }
}

/// A stage and what is after it, seen as a consumer. `finish` is the chain's to pass on.
struct Through<'a, T, D>(&'a T, &'a D);

impl<I: Send, T: Transducer<I>, D: Consumer<T::Out>> Consumer<I> for Through<'_, T, D> {
    fn accept(&self, item: I) -> impl Future<Output = Result<(), Error>> + Send {
        self.0.feed(item, self.1)
    }
}

/// A stage and what is after it, which it owns: what producers are driven into.
struct Onto<T, D>(T, D);

impl<I: Send, T: Transducer<I>, D: Consumer<T::Out>> Consumer<I> for Onto<T, D> {
    fn accept(&self, item: I) -> impl Future<Output = Result<(), Error>> + Send {
        self.0.feed(item, &self.1)
    }

    async fn finish(&self) -> Result<(), Error> {
        self.0.finish(&self.1).await?;
        self.1.finish().await
    }
}

impl<I: Send, C: Consumer<I>> Consumer<I> for Arc<C> {
    fn accept(&self, item: I) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).accept(item)
    }

    fn finish(&self) -> impl Future<Output = Result<(), Error>> + Send {
        (**self).finish()
    }
}

/// What the last stage of a line hands its nothing to.
struct Nothing;

impl Consumer<()> for Nothing {
    async fn accept(&self, (): ()) -> Result<(), Error> {
        Ok(())
    }
}

/// A stage made of a function from one item to another.
pub fn map<F>(function: F) -> Map<F> {
    Map(function)
}

/// See [`map`].
#[derive(Clone, Copy, Debug)]
pub struct Map<F>(F);

impl<I: Send, O: Send, F: Fn(I) -> O + Send + Sync> Transducer<I> for Map<F> {
    type Out = O;

    fn feed<D: Consumer<O>>(&self, item: I, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        down.accept((self.0)(item))
    }
}

/// The last stage, made of an async function.
pub fn sink<F>(function: F) -> Sink<F> {
    Sink(function)
}

/// See [`sink`].
#[derive(Clone, Copy, Debug)]
pub struct Sink<F>(F);

impl<I, F, Done> Transducer<I> for Sink<F>
where
    I: Send,
    F: Fn(I) -> Done + Send + Sync,
    Done: Future<Output = Result<(), Error>> + Send,
{
    type Out = ();

    async fn feed<D: Consumer<()>>(&self, item: I, down: &D) -> Result<(), Error> {
        (self.0)(item).await?;
        down.accept(()).await
    }
}

#[cfg(test)]
mod tests;
