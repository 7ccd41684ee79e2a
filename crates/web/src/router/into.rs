//! What routes and groups accept: services and async functions, filters and stacks.

use std::any::Any;
use std::future::Future;
use std::sync::Arc;

use unary_http::{Request, Response};
use unary_service::{BoxService, Compose, Error, Filter, Service, Stack, service_fn};

use super::AnyService;

/// What a route leads to: a [`Service`], or an async function or closure from a [`Request`] to a
/// `Result<Response, Error>`.
///
/// `Kind` only tells the implementations apart; it is inferred.
pub trait IntoService<Kind> {
    /// The service behind one pointer.
    fn into_service(self) -> BoxService<Request, Response>;
}

/// Tells services from functions; see [`IntoService`].
#[derive(Debug)]
pub enum IsService {}

/// Tells functions from services; see [`IntoService`].
#[derive(Debug)]
pub enum IsFunction {}

impl<S: Service<Request, Reply = Response> + 'static> IntoService<IsService> for S {
    fn into_service(self) -> AnyService {
        // One pointer is enough: a second would cost every call an allocation.
        match (&self as &dyn Any).downcast_ref::<AnyService>() {
            Some(boxed) => boxed.clone(),
            None => BoxService::new(self),
        }
    }
}

impl<F, Answer> IntoService<IsFunction> for F
where
    F: Fn(Request) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<Response, Error>> + Send + 'static,
{
    fn into_service(self) -> AnyService {
        BoxService::new(service_fn(self))
    }
}

/// What stands around a group of routes: a [`Filter`], or a [`Stack`] of them.
///
/// One filter serves the whole group: the permits of an `in_flight` are the group's together.
/// `Kind` only tells the implementations apart; it is inferred.
pub trait Around<Kind> {
    /// What puts it around one service.
    fn around(self) -> impl Fn(BoxService<Request, Response>) -> BoxService<Request, Response>;
}

/// Tells filters from stacks; see [`Around`].
#[derive(Debug)]
pub enum IsFilter {}

/// Tells stacks from filters; see [`Around`].
#[derive(Debug)]
pub enum IsStack {}

impl<F: Filter<Request, AnyService, Reply = Response> + 'static> Around<IsFilter> for F {
    fn around(self) -> impl Fn(AnyService) -> AnyService {
        let filter = Arc::new(self);
        move |service| BoxService::new(filter.clone().and_then(service))
    }
}

impl Around<IsStack> for Stack<Request, Response> {
    fn around(self) -> impl Fn(AnyService) -> AnyService {
        move |service| self.clone().service(service)
    }
}
