//! A tower service that can be shared between threads, as a service of ours.

use bytes::Bytes;
use tower_service::Service as TowerService;
use unary_service::{Available, Error, Service};

use super::{BoxError, answer, failed, outward};
use crate::{Request, Response};

/// Makes a service of ours out of a tower service, as an axum `Router` with its layers is.
///
/// Each call is made on a clone, once that is ready: clones of a tower service share what has to be
/// shared, and are made to be cheap. [`mount_with`](super::mount_with) is for services that cannot
/// be shared between threads.
pub fn mount<S, B>(service: S) -> Mounted<S>
where
    S: TowerService<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Mounted(service)
}

/// See [`mount`].
#[derive(Clone, Copy, Debug)]
pub struct Mounted<S>(S);

impl<S> Available for Mounted<S> {}

impl<S, B> Service<Request> for Mounted<S>
where
    S: TowerService<Request, Response = http::Response<B>, Error: Into<BoxError>, Future: Send> + Clone + Send + Sync,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Reply = Response;

    fn call(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send {
        call(self.0.clone(), request)
    }
}

/// Calls a clone made for this request.
pub(super) async fn call<S, B>(mut service: S, request: Request) -> Result<Response, Error>
where
    S: TowerService<Request, Response = http::Response<B>, Error: Into<BoxError>>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    std::future::poll_fn(|task| service.poll_ready(task)).await.map_err(failed)?;
    answer(service.call(outward(request)).await)
}
