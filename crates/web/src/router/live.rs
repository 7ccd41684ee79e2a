//! A router that changes while it serves.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use unary_http::{Request, Response};
use unary_service::{Available, Error, Service};

use super::Router;

/// A router that changes while it serves. Clones are one and the same router: keep one to change
/// it, give another to the server.
///
/// A request takes no lock and is answered by the routes as they were when it came, however long
/// that takes. A change costs a copy of all routes; what goes together goes into one change.
#[derive(Clone)]
pub struct LiveRouter(Arc<Inner>);

struct Inner {
    routes: ArcSwap<Router>,
    /// Held by whoever changes the routes, so that no change is lost to another.
    changing: Mutex<()>,
}

impl LiveRouter {
    /// Makes this router changeable.
    pub fn new(router: Router) -> Self {
        Self(Arc::new(Inner { routes: ArcSwap::from_pointee(router), changing: Mutex::new(()) }))
    }

    /// Changes a copy of the routes and puts it in their place at once; if `change` fails or
    /// panics, nothing has changed.
    ///
    /// ```
    /// # use unary_web::router::{Router, RouteError, LiveRouter};
    /// # use unary_http::{Request, message};
    /// # fn main() -> Result<(), RouteError> {
    /// let live = LiveRouter::new(Router::new());
    /// live.change(|routes| routes.insert(http::Method::GET, "/new", async |_: Request| Ok(message::text("new"))))?;
    /// live.change(|routes| Ok::<_, RouteError>(routes.remove(http::Method::GET, "/new")))?;
    /// # Ok(()) }
    /// ```
    pub fn change<T, E>(&self, change: impl FnOnce(&mut Router) -> Result<T, E>) -> Result<T, E> {
        let _one_at_a_time = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut router = Router::clone(&self.0.routes.load());
        let outcome = change(&mut router)?;
        self.0.routes.store(Arc::new(router));
        Ok(outcome)
    }

    /// The routes as they are now.
    pub fn routes(&self) -> Arc<Router> {
        self.0.routes.load_full()
    }
}

impl Available for LiveRouter {}

impl Service<Request> for LiveRouter {
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        // The guard is kept through the call: the first few of a thread cost no reference count
        // that other cores write too.
        self.0.routes.load().call(request).await
    }
}

impl From<Router> for LiveRouter {
    fn from(router: Router) -> Self {
        Self::new(router)
    }
}

impl fmt::Debug for LiveRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.routes.load().fmt(f)
    }
}
