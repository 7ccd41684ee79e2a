//! A tower service that belongs to one thread: each thread makes its own.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use tower_service::Service as TowerService;
use unary_service::{Available, Error, Service};

use super::{BoxError, mounted};
use crate::{Request, Response};

/// Makes a service of ours out of a tower service that is not `Sync`: `make` is called once on each
/// thread, when the first request comes to it, and later requests there are given clones.
///
/// What a thread has made lives until it makes another after this service is gone, or ends.
pub fn mount_with<F, S, B>(make: F) -> PerThread<F>
where
    F: Fn() -> S + Send + Sync + 'static,
    S: TowerService<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    PerThread { make: Arc::new(make) }
}

/// See [`mount_with`].
pub struct PerThread<F> {
    make: Arc<F>,
}

thread_local! {
    /// What this thread has made, one entry for each [`mount_with`] that is still there.
    static MADE: RefCell<Vec<Made>> = const { RefCell::new(Vec::new()) };
}

struct Made {
    /// Whose it is. Keeps the address taken, so that no later factory is mistaken for it.
    factory: Weak<dyn Any + Send + Sync>,
    service: Box<dyn Any>,
}

impl<F> PerThread<F> {
    /// A clone of this thread's service.
    fn service<S: Clone + 'static>(&self) -> S
    where
        F: Fn() -> S + Send + Sync + 'static,
    {
        if let Some(made) = MADE.with_borrow(|made| self.find(made)) {
            return made;
        }
        // Not under the borrow: `make` may well call another service of this kind.
        let service = (self.make)();
        let factory: Weak<dyn Any + Send + Sync> = Arc::downgrade(&(self.make.clone() as Arc<dyn Any + Send + Sync>));
        MADE.with_borrow_mut(|made| {
            made.retain(|held| held.factory.strong_count() > 0);
            made.push(Made { factory, service: Box::new(service.clone()) });
        });
        service
    }

    fn find<S: Clone + 'static>(&self, made: &[Made]) -> Option<S> {
        let mine = |held: &&Made| std::ptr::addr_eq(held.factory.as_ptr(), Arc::as_ptr(&self.make));
        made.iter().find(mine)?.service.downcast_ref().cloned()
    }
}

impl<F> Clone for PerThread<F> {
    fn clone(&self) -> Self {
        Self { make: self.make.clone() }
    }
}

impl<F> Available for PerThread<F> {}

impl<F, S, B> Service<Request> for PerThread<F>
where
    F: Fn() -> S + Send + Sync + 'static,
    S: TowerService<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send>,
    S: Clone + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        let service = self.service();
        mounted::call(service, request).await
    }
}

impl<F> fmt::Debug for PerThread<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread").finish_non_exhaustive()
    }
}
