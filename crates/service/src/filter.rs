//! Filters: what stands around a service, from a time-out to a translation of both types.

pub mod in_flight;
pub mod rate_limit;
pub mod timeout;

use std::future::Future;
use std::marker::PhantomData;

use crate::service::{BoxFuture, Boxed};
use crate::{Error, Service, Status};

/// Does something before, after, instead of, or around the next service.
///
/// An implementation says what it needs of the next one (`impl<Next: Service<Inner>> Filter<Outer,
/// Next> for …`), so a filter may change the request's type and the reply's.
///
/// An `async fn apply` is all it takes. One that calls `next` before it makes its own future of the
/// answer spares each request being copied into that future: a third of what a small filter costs.
pub trait Filter<Req, Next>: Send + Sync {
    /// What the filtered service answers with.
    type Reply: Send;

    /// Answers one request with the help of `next`.
    fn apply(&self, request: Req, next: &Next) -> impl Future<Output = Result<Self::Reply, Error>> + Send;

    /// The status of the filtered service, given the next one's.
    fn status(&self, next: Status) -> Status {
        next
    }
}

impl<Req: Send, Next: Send + Sync, F: Filter<Req, Next>> Filter<Req, Next> for std::sync::Arc<F> {
    type Reply = F::Reply;

    fn apply(&self, request: Req, next: &Next) -> impl Future<Output = Result<F::Reply, Error>> + Send {
        (**self).apply(request, next)
    }

    fn status(&self, next: Status) -> Status {
        (**self).status(next)
    }
}

/// The rest of the chain, as a function filter sees it.
pub struct Next<'a, Req, Reply>(&'a dyn Boxed<Req, Reply>);

impl<'a, Req: Send + 'a, Reply: Send + 'a> Next<'a, Req, Reply> {
    /// Calls the next service. Costs one allocation; a filter that must not pay it implements
    /// [`Filter`] instead.
    pub fn call(&self, request: Req) -> BoxFuture<'a, Result<Reply, Error>> {
        self.0.call_boxed(request)
    }

    /// How the next service is doing.
    pub fn status(&self) -> Status {
        self.0.status()
    }
}

/// A filter made of an async closure or function: `filter_fn(async |request, next| …)`.
pub fn filter_fn<Req, Reply, F>(function: F) -> FilterFn<Req, Reply, F>
where
    F: for<'a> FilterFunction<'a, Req, Reply>,
{
    FilterFn { function, types: PhantomData }
}

/// See [`filter_fn`].
pub struct FilterFn<Req, Reply, F> {
    function: F,
    types: PhantomData<fn(Req) -> Reply>,
}

/// What [`filter_fn`] takes. The trait gives the closure's future a name, without which stable
/// Rust cannot ask that it be `Send`.
pub trait FilterFunction<'a, Req: 'a, Reply: 'a>: Fn(Req, Next<'a, Req, Reply>) -> Self::Answer + Send + Sync {
    /// The future it returns.
    type Answer: Future<Output = Result<Reply, Error>> + Send + 'a;
}

impl<'a, Req: 'a, Reply: 'a, F, Answer> FilterFunction<'a, Req, Reply> for F
where
    F: Fn(Req, Next<'a, Req, Reply>) -> Answer + Send + Sync,
    Answer: Future<Output = Result<Reply, Error>> + Send + 'a,
{
    type Answer = Answer;
}

impl<Req, Reply, F, S> Filter<Req, S> for FilterFn<Req, Reply, F>
where
    Req: Send + 'static,
    Reply: Send + 'static,
    S: Service<Req, Reply = Reply>,
    F: for<'a> FilterFunction<'a, Req, Reply>,
{
    type Reply = Reply;

    async fn apply(&self, request: Req, next: &S) -> Result<Reply, Error> {
        (self.function)(request, Next(next)).await
    }
}
