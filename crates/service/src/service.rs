//! Services: functions from a request to a future of a reply.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::Error;

/// What a balancer may expect of a service now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Call it.
    Open,
    /// It would rather not be called now.
    Busy,
    /// It will not answer any more.
    Closed,
}

/// Says how a service is doing: a hint for balancers, which reserves nothing.
pub trait Available {
    /// The status as of now.
    fn status(&self) -> Status {
        Status::Open
    }
}

/// A server, or a client: one request in, one reply out (Eriksen, *Your Server as a Function*).
///
/// Implementations write a plain `async fn call`. A service is called through `&self`, by many
/// at once; there is nothing to poll first and nothing to clone.
///
/// Rust's futures are lazy: what takes time begins when the returned future is awaited, and dropping
/// it cancels the call. What takes none (a deadline set, a place taken, a line begun) may be done when
/// `call` returns.
pub trait Service<Req>: Available + Send + Sync {
    /// What it answers with.
    type Reply: Send;

    /// Answers one request.
    fn call(&self, request: Req) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}

/// A service made of an async function or closure.
pub fn service_fn<F>(function: F) -> ServiceFn<F> {
    ServiceFn(function)
}

/// See [`service_fn`].
#[derive(Clone, Copy, Debug)]
pub struct ServiceFn<F>(F);

impl<F> Available for ServiceFn<F> {}

impl<Req, Reply, F, Answer> Service<Req> for ServiceFn<F>
where
    Req: Send,
    Reply: Send,
    F: Fn(Req) -> Answer + Send + Sync,
    Answer: Future<Output = Result<Reply, Error>> + Send,
{
    type Reply = Reply;

    fn call(&self, request: Req) -> impl Future<Output = Result<Reply, Error>> + Send {
        (self.0)(request)
    }
}

impl<S: Available + ?Sized> Available for Arc<S> {
    fn status(&self) -> Status {
        (**self).status()
    }
}

impl<Req: Send, S: Service<Req>> Service<Req> for Arc<S> {
    type Reply = S::Reply;

    fn call(&self, request: Req) -> impl Future<Output = Result<S::Reply, Error>> + Send {
        (**self).call(request)
    }
}

/// A boxed future, as run-time composition needs it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A service behind one pointer, for chains built at run time. A call costs one allocation.
pub struct BoxService<Req, Reply>(Arc<dyn Boxed<Req, Reply>>);

/// The object-safe face of a [`Service`].
pub(crate) trait Boxed<Req, Reply>: Available + Send + Sync {
    fn call_boxed<'a>(&'a self, request: Req) -> BoxFuture<'a, Result<Reply, Error>>
    where
        Req: 'a,
        Reply: 'a;
}

impl<Req: Send, S: Service<Req>> Boxed<Req, S::Reply> for S {
    fn call_boxed<'a>(&'a self, request: Req) -> BoxFuture<'a, Result<S::Reply, Error>>
    where
        Req: 'a,
        S::Reply: 'a,
    {
        Box::pin(self.call(request))
    }
}

impl<Req: Send + 'static, Reply: Send + 'static> BoxService<Req, Reply> {
    /// Puts a service behind a pointer.
    pub fn new(service: impl Service<Req, Reply = Reply> + 'static) -> Self {
        Self(Arc::new(service))
    }
}

impl<Req, Reply> Clone for BoxService<Req, Reply> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Req, Reply> Available for BoxService<Req, Reply> {
    fn status(&self) -> Status {
        self.0.status()
    }
}

impl<Req: Send + 'static, Reply: Send + 'static> Service<Req> for BoxService<Req, Reply> {
    type Reply = Reply;

    fn call(&self, request: Req) -> impl Future<Output = Result<Reply, Error>> + Send {
        self.0.call_boxed(request)
    }
}
