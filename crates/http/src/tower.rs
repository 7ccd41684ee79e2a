//! The bridge to tower, both ways: services of axum, tonic and tower-http mount here unchanged,
//! and ours are handed to them.
//!
//! ```
//! use axum::routing::get;
//! use unary_http::tower::{into_tower, mount};
//! use unary_http::{Request, message};
//! use unary_service::service_fn;
//!
//! let ours = service_fn(async |_: Request| Ok(message::text("from unary")));
//! let app = axum::Router::new()
//!     .route("/", get(async || "from axum"))
//!     .nest_service("/ours", into_tower(ours))
//!     .layer(tower_http::trace::TraceLayer::new_for_http());
//! let server = mount(app); // A Service<Request, Reply = Response> like any other.
//! # let _: &dyn unary_service::Available = &server;
//! ```
//!
//! A tower layer goes around one of our services by passing through both:
//! `mount(layer.layer(into_tower(service)))`.
//!
//! # What passes
//!
//! - Bodies stream in both directions, frame by frame, trailers and known lengths included. One of
//!   our bodies that no layer replaces comes out as it went in: a file still leaves by `sendfile`,
//!   and what it holds is held until it has been sent.
//! - The request's [`Context`] (deadline, peer, id) is among its extensions on the other side, as
//!   `axum::Extension<Context>` takes it, and comes back with the request into our services.
//! - Errors of our own come back as they were. [`mount`] makes any other an internal one whose
//!   cause the log tells; [`into_tower`] makes them replies, as axum's routers want no errors.
//! - Upgrades, as far as both ends are ours: [`Upgrade::of`](crate::h1::connection::Upgrade::of)
//!   finds the connection in an axum handler, too. axum's own `WebSocketUpgrade` does not: it asks
//!   for hyper's private `OnUpgrade` and answers 426. Take such a route out of the axum app and
//!   give it to a service of ours.
//! - Not back-pressure by `poll_ready`: a service is asked whether it is ready when there is a
//!   request for it, and the request waits until it is.
//!
//! # What it costs
//!
//! Beside a call of the same service of ours, which with its request and the reading of its reply
//! takes 150 ns: a tower service behind [`mount`] 110 ns more, and 140 through [`mount_with`]; there
//! and back, `mount(into_tower(service))`, 200 ns more; a route of an axum `Router` 480 ns, and one
//! of ours in it 630 ns, most of which is axum's own. So says `examples/tower_cost.rs` (release build,
//! mimalloc, best of 100 rounds of 20,000 calls) on one core of an AMD EPYC. Putting the context
//! among the extensions is 45 ns of that.

mod hand;
mod mounted;
mod per_thread;

use bytes::Bytes;
use unary_service::{Context, Error, HasContext};

use crate::{Body, Request, Response};

pub use hand::{Handed, into_tower};
pub use mounted::{Mounted, mount};
pub use per_thread::{PerThread, mount_with};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request of ours as others see it.
fn outward(mut request: Request) -> Request {
    let context = request.context().cloned();
    request.extensions_mut().insert(context.unwrap_or_default());
    request
}

/// A request of others as we see it.
fn inward<B>(mut request: http::Request<B>) -> Request
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let context: Option<Context> = request.extensions_mut().remove();
    let request = request.map(ours);
    match context {
        Some(context) => request.map(|body| body.with_context(context)),
        None => request,
    }
}

/// A reply of others as we see it, or the error they ended in.
fn answer<B, E>(outcome: Result<http::Response<B>, E>) -> Result<Response, Error>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    E: Into<BoxError>,
{
    match outcome {
        Ok(reply) => Ok(reply.map(ours)),
        Err(cause) => Err(failed(cause)),
    }
}

/// An error of others as ours; our own comes back as it was.
fn failed(cause: impl Into<BoxError>) -> Error {
    match cause.into().downcast() {
        Ok(error) => *error,
        Err(cause) => Error::internal("calling a tower service").because(cause),
    }
}

/// A body of others as ours; our own comes back as it was.
fn ours<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut body = Some(body);
    let own = (&mut body as &mut dyn std::any::Any).downcast_mut::<Option<Body>>().and_then(Option::take);
    match (own, body) {
        (Some(own), _) => own,
        (None, Some(body)) if body.is_end_stream() => Body::empty(),
        (None, body) => body.map(Body::stream).unwrap_or_default(),
    }
}
