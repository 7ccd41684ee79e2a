//! The two places where a line is not one future: a bounded queue, and a bounded fork.

use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{Consumer, Line, Producer, Transducer};
use crate::Error;

/// A line up to a queue: see [`Line::queue`].
#[derive(Clone, Debug)]
pub struct Queued<L> {
    /// What is before the queue.
    pub line: L,
    pub(super) length: usize,
}

impl<P: Producer + 'static, C: Transducer<P::Item, Out: 'static> + 'static> Producer for Queued<Line<P, Arc<C>>> {
    type Item = C::Out;

    async fn drive<D: Consumer<C::Out> + 'static>(self, down: D) -> Result<(), Error> {
        let (sender, mut receiver) = mpsc::channel(self.length);
        let before = self.line.producer.drive(self.line.chain.into_consumer(Put(sender)));
        let after = async {
            while let Some(item) = receiver.recv().await {
                down.accept(item).await?;
            }
            down.finish().await
        };
        // Whichever fails first ends both; a producer that ends drops the sender, so what is
        // queued is still served.
        tokio::try_join!(after, before).map(|_| ())
    }
}

struct Put<T>(mpsc::Sender<T>);

impl<T: Send> Consumer<T> for Put<T> {
    async fn accept(&self, item: T) -> Result<(), Error> {
        self.0.send(item).await.map_err(|_| Error::closed("queueing: what is after the queue has ended"))
    }
}

/// A line up to a fork: see [`Line::fork`].
#[derive(Clone, Debug)]
pub struct Forked<L> {
    /// What is before the fork.
    pub line: L,
    pub(super) at_once: usize,
}

impl<P: Producer + 'static, C: Transducer<P::Item, Out: 'static> + 'static> Producer for Forked<Line<P, Arc<C>>> {
    type Item = C::Out;

    async fn drive<D: Consumer<C::Out> + 'static>(self, down: D) -> Result<(), Error> {
        let places = Arc::new(Semaphore::new(self.at_once));
        let fork = Fork { down: Arc::new(down), places, tasks: Mutex::new(JoinSet::new()) };
        self.line.producer.drive(self.line.chain.into_consumer(fork)).await
    }
}

struct Fork<D> {
    down: Arc<D>,
    places: Arc<Semaphore>,
    tasks: Mutex<JoinSet<Result<(), Error>>>,
}

impl<D> Fork<D> {
    /// Collects tasks that have ended; the first failure among them is the line's.
    fn reap(&self) -> Result<(), Error> {
        let mut tasks = self.tasks.lock().expect("no panic while the lock is held");
        while let Some(ended) = tasks.try_join_next() {
            outcome(ended)?;
        }
        Ok(())
    }
}

impl<T: Send + 'static, D: Consumer<T> + 'static> Consumer<T> for Fork<D> {
    async fn accept(&self, item: T) -> Result<(), Error> {
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.reap()?;
        let down = self.down.clone();
        let task = async move {
            let done = down.accept(item).await;
            drop(place);
            done
        };
        self.tasks.lock().expect("no panic while the lock is held").spawn(task);
        Ok(())
    }

    async fn finish(&self) -> Result<(), Error> {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().expect("no panic while the lock is held"));
        while let Some(ended) = tasks.join_next().await {
            outcome(ended)?;
        }
        self.down.finish().await
    }
}

fn outcome(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|lost| match lost.try_into_panic() {
        Ok(payload) => Err(Error::panicked("running a forked stage", &*payload)),
        Err(cancelled) => Err(Error::internal("running a forked stage").because(cancelled)),
    })
}
