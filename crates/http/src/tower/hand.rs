//! One of our services as a tower service.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use tower_service::Service as TowerService;
use unary_service::{HasContext, Service};

use super::{BoxError, inward};
use crate::{Request, Response, failed, message};

/// Makes a tower service out of one of ours, to be nested in an axum `Router` (`nest_service`,
/// `route_service`, `fallback_service`), wrapped by tower layers or served by hyper.
///
/// An error becomes the reply that [`message::failure`] makes of it, and a log line.
pub fn into_tower<S: Service<Request, Reply = Response> + 'static>(service: S) -> Handed<S> {
    Handed(Arc::new(service))
}

/// See [`into_tower`]. Cloning it costs a reference count.
pub struct Handed<S>(Arc<S>);

impl<S, B> TowerService<http::Request<B>> for Handed<S>
where
    S: Service<Request, Reply = Response> + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _task: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // There is nothing to poll first in ours.
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.0.clone();
        let request = inward(request);
        let id = request.context().map(|context| context.id).unwrap_or_default();
        Box::pin(async move {
            let reply = service.call(request).await;
            Ok(reply.unwrap_or_else(|error| {
                failed::log(id, "through tower", (), &error);
                message::failure(&error)
            }))
        })
    }
}

impl<S> Clone for Handed<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S> fmt::Debug for Handed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").finish_non_exhaustive()
    }
}
