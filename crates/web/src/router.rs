//! The router: which service answers a request, by host, path and method.
//!
//! ```
//! use unary_http::{Request, Response, message};
//! use unary_service::{Error, Next, filter_fn};
//! use unary_web::router::{Router, params, rest};
//!
//! async fn user(request: Request) -> Result<Response, Error> {
//!     let id: u64 = params(&request).parse("id")?;
//!     Ok(message::text(format!("user {id}")))
//! }
//!
//! let logged = filter_fn(async |request: Request, next: Next<'_, Request, Response>| {
//!     println!("{}", request.uri());
//!     next.call(request).await
//! });
//! let app = Router::new()
//!     .get("/", async |_: Request| Ok(message::text("hello")))
//!     .get("/users/{id}", user)
//!     .any("/files/*", async |request: Request| Ok(message::text(rest(&request).to_owned())))
//!     .group(logged, |routes| routes.post("/orders", user).delete("/orders/{id}", user))
//!     .nest("/api", Router::new().get("/users/{id}", user))
//!     .host("*.example.com", Router::new().get("/", user))
//!     .fallback(async |_: Request| Ok(message::status(http::StatusCode::NOT_FOUND)));
//! ```
//!
//! # Patterns
//!
//! | written | takes | and not |
//! |---|---|---|
//! | `/about` | `/about` | `/about/`, `/About` |
//! | `/users/{id}` | one segment: `/users/7` | `/users/`, `/users/7/` |
//! | `/files/{*rest}` | everything below: `/files/`, `/files/a/b` | `/files` |
//! | `/files/*` | the same, and `/files` itself | `/filesystem` |
//! | `example.com/about`, `*.example.com/…` | the same for this host, or for those below it | |
//!
//! A path is compared segment by segment, each percent-decoded by itself, so `%2F` never
//! separates. A trailing slash counts, and empty segments are not merged. A path with a `.` or
//! `..` segment, encoded or not, means another path, which other filters may guard: it is answered
//! with 400, and so is a parameter that does not decode to UTF-8.
//!
//! # Which route serves
//!
//! 1. The host: the one named, else the nearest `*.` above it, else the routes without a host. Port,
//!    case and a trailing dot do not count. A host that is found answers alone, but for the
//!    fallback, which it shares unless it has its own.
//! 2. The path: from left to right, a literal segment goes before a parameter and a parameter
//!    before a wildcard. So the order in which routes are added is of no importance, and the
//!    most specific is found where a first that leads nowhere is not the end of the search.
//! 3. The method: its own route, `GET`'s for `HEAD`, then that for any. `OPTIONS` is answered
//!    with 204 and `Allow`; other methods with 405 and `Allow`, even where a less specific path
//!    would take them: a path names a resource, and the resource has its methods.
//!
//! Two routes for the same host, path and method are a mistake, told when the second is added.
//! The fluent methods panic then, as a program's routes are its author's; [`Router::insert`] and
//! [`Router::merge`] give an error, as routes from elsewhere need it.
//!
//! The routes of a config file are tried in the order written. That is another rule over the same
//! index, not another kind of router.
//!
//! # What a service sees
//!
//! The request as it came: nesting strips nothing off its path. [`params`] gives the parameters and
//! [`rest`] what a wildcard took; [`strip`] makes that the path for services that know nothing of
//! routes. `HEAD` arrives as `HEAD` and its reply may have a body:
//! the connection sends its length and drops the rest.

mod answer;
pub(crate) mod host;
mod into;
mod live;
mod params;
mod pattern;
mod resource;
pub(crate) mod segment;
pub(crate) mod strip;
mod trie;

use std::fmt;
use std::sync::Arc;

use http::Method;
use unary_http::{Request, Response};
use unary_service::BoxService;

pub use into::{Around, IntoService, IsFilter, IsFunction, IsService, IsStack};
pub use live::LiveRouter;
pub use params::{Params, original_path, params, rest};
pub use pattern::{PARAMS_MAX, RouteError, SEGMENTS_MAX};
pub use strip::{Strip, strip};

use host::{Host, Hosts};
use pattern::Pattern;
use resource::{Resource, Route};
use trie::Trie;

type AnyService = BoxService<Request, Response>;

/// Finds the service that answers a request; see [the module](self).
///
/// It is a [`Service`](unary_service::Service) itself, so a router may be the service of another's
/// route: it matches what the other's wildcard left.
///
/// A look-up costs the same with ten routes as with a thousand: 65 ns for a literal path of four
/// segments and 160 ns with two parameters, says `examples/route_speed.rs` on one core of an AMD
/// EPYC. It allocates nothing unless there are parameters, which go into the request's extensions;
/// the call of the service allocates once, and once more per group around it.
#[derive(Clone, Default)]
pub struct Router {
    anywhere: Site,
    hosts: Hosts<Site>,
}

/// The routes of one host.
#[derive(Clone, Default)]
struct Site {
    paths: Trie<Resource>,
    fallback: Option<AnyService>,
}

impl Router {
    /// A router without routes: it answers 404 to everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route for one method, or for any (`None`).
    ///
    /// # Panics
    /// If the pattern makes no sense or another route has taken its place, as do all the methods
    /// that return the router.
    #[track_caller]
    pub fn route<K>(mut self, method: impl Into<Option<Method>>, path: &str, service: impl IntoService<K>) -> Self {
        if let Err(mistake) = self.insert(method, path, service) {
            panic!("{mistake}");
        }
        self
    }

    /// Adds a route for `GET`, and so for `HEAD`.
    #[track_caller]
    pub fn get<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(Method::GET, path, service)
    }

    /// Adds a route for `POST`.
    #[track_caller]
    pub fn post<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(Method::POST, path, service)
    }

    /// Adds a route for `PUT`.
    #[track_caller]
    pub fn put<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(Method::PUT, path, service)
    }

    /// Adds a route for `PATCH`.
    #[track_caller]
    pub fn patch<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(Method::PATCH, path, service)
    }

    /// Adds a route for `DELETE`.
    #[track_caller]
    pub fn delete<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(Method::DELETE, path, service)
    }

    /// Adds a route for every method that has none of its own at this path.
    #[track_caller]
    pub fn any<K>(self, path: &str, service: impl IntoService<K>) -> Self {
        self.route(None, path, service)
    }

    /// Adds the routes of `router` for this host: a name, `*.` and a name, or `*` for any.
    #[track_caller]
    pub fn host(self, host: &str, router: Router) -> Self {
        assert!(!host.contains('/'), "`{host}` is not a host; paths are nested by `nest`");
        self.nest(host, router)
    }

    /// Adds the routes of `router` beneath `prefix`, which may have parameters. Its `/` becomes the
    /// prefix itself, and its fallback answers whatever is beneath the prefix and has no route.
    #[track_caller]
    pub fn nest(mut self, prefix: &str, router: Router) -> Self {
        if let Err(mistake) = self.merge(prefix, router) {
            panic!("{mistake}");
        }
        self
    }

    /// Adds routes with a filter, or a stack of them, around each, and around their 405 and
    /// `OPTIONS` replies. Where a path has routes in and out of the group, those replies are the
    /// affair of who named it first.
    #[track_caller]
    pub fn group<K>(self, filter: impl Around<K>, routes: impl FnOnce(Router) -> Router) -> Self {
        let mut group = routes(Router::new());
        let wrap = filter.around();
        for site in group.hosts.values_mut().chain([&mut group.anywhere]) {
            site.paths.each_mut(&mut |resource| resource.wrap(&wrap));
            site.fallback = site.fallback.take().map(&wrap);
        }
        self.nest("", group)
    }

    /// Answers whatever has no route. A plain 404 unless told.
    #[track_caller]
    pub fn fallback<K>(mut self, service: impl IntoService<K>) -> Self {
        assert!(self.anywhere.fallback.is_none(), "the router has a fallback already: remove one of them");
        self.anywhere.fallback = Some(service.into_service());
        self
    }

    /// Adds a route for one method, or for any (`None`).
    ///
    /// # Errors
    /// If the pattern makes no sense or another route has taken its place; nothing is added then.
    pub fn insert<K>(
        &mut self,
        method: impl Into<Option<Method>>,
        path: &str,
        service: impl IntoService<K>,
    ) -> Result<(), RouteError> {
        let pattern = Arc::new(Pattern::parse(path)?);
        self.add(Route { method: method.into(), pattern, service: service.into_service() }, None)
    }

    /// Takes the route for this method and path out. The names of its parameters do not count.
    pub fn remove(&mut self, method: impl Into<Option<Method>>, path: &str) -> Option<BoxService<Request, Response>> {
        let pattern = Pattern::parse(path).ok()?;
        let site = self.hosts.get_mut(&pattern.host);
        let site = if pattern.host == Host::Any { &mut self.anywhere } else { site? };
        let resource = site.paths.get_mut(&pattern)?;
        let removed = resource.remove(method.into().as_ref())?;
        if resource.is_empty() {
            site.paths.remove(&pattern);
        }
        if pattern.host != Host::Any && site.is_empty() {
            self.hosts.remove(&pattern.host);
        }
        Some(removed.service)
    }

    /// Adds the routes of `router` beneath `prefix`: a host, a path, or both (`example.com/api`);
    /// see [`nest`](Self::nest).
    ///
    /// # Errors
    /// As [`insert`](Self::insert). The routes before the mistaken one have been added then.
    pub fn merge(&mut self, prefix: &str, router: Router) -> Result<(), RouteError> {
        for (host, site) in router.hosts.iter().chain([(String::new(), &router.anywhere)]) {
            let mut resources = Vec::new();
            site.paths.each(&mut |resource| resources.push(resource));
            for resource in resources {
                for route in resource.routes() {
                    let pattern = Arc::new(route.pattern.beneath(prefix)?);
                    self.add(Route { pattern, ..route.clone() }, resource.automatic.as_ref())?;
                }
            }
            if let Some(fallback) = &site.fallback {
                self.add_fallback(prefix, &host, fallback)?;
            }
        }
        Ok(())
    }

    /// The routes, as in `GET /users/{id}`, by path.
    pub fn routes(&self) -> Vec<String> {
        let mut routes = Vec::new();
        for site in self.hosts.iter().map(|(_, site)| site).chain([&self.anywhere]) {
            site.paths.each(&mut |resource| routes.extend(resource.routes()));
        }
        routes.sort_unstable_by_key(|route| (&route.pattern.text, route.method.as_ref().map(Method::as_str)));
        routes.into_iter().map(ToString::to_string).collect()
    }

    fn add(&mut self, route: Route, automatic: Option<&AnyService>) -> Result<(), RouteError> {
        let resource = self.site(&route.pattern.host).resource(&route)?;
        if resource.is_empty() {
            resource.automatic = automatic.cloned();
        }
        resource.add(route)
    }

    fn add_fallback(&mut self, prefix: &str, host: &str, fallback: &AnyService) -> Result<(), RouteError> {
        let below = Pattern::parse(&format!("{host}/*"))?.beneath(prefix)?;
        if below.segments.is_empty() {
            let route = || format!("fallback of `{host}{prefix}`");
            let held = &mut self.site(&below.host).fallback;
            if held.is_some() {
                return Err(RouteError::Hidden { route: route(), earlier: route() });
            }
            *held = Some(fallback.clone());
            return Ok(());
        }
        self.add(Route { method: None, pattern: Arc::new(below), service: fallback.clone() }, None)
    }

    fn site(&mut self, host: &Host) -> &mut Site {
        self.hosts.entry(host).unwrap_or(&mut self.anywhere)
    }
}

impl Site {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.fallback.is_none()
    }

    /// The resource of this pattern, made where there is none; a route that wants it is named
    /// where another kind of wildcard holds the place.
    fn resource(&mut self, route: &Route) -> Result<&mut Resource, RouteError> {
        self.paths.entry(&route.pattern).map_err(|other| {
            let earlier = other.routes().first().map(ToString::to_string).unwrap_or_default();
            RouteError::Hidden { route: route.to_string(), earlier }
        })
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes()).finish()
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
