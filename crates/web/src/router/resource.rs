//! Resources: what stands at one path, a service for each of its methods.

use std::fmt;
use std::sync::Arc;

use http::{HeaderValue, Method};

use super::AnyService;
use super::pattern::{Pattern, RouteError};

/// What stands at one path: a service for each of its methods, and the replies that follow from
/// which methods there are.
#[derive(Clone, Default)]
pub(super) struct Resource {
    routes: Vec<Route>,
    /// `GET, HEAD, OPTIONS, …`: kept, as most of the requests that need it are mistakes repeated.
    allow: Option<HeaderValue>,
    /// What gives the automatic replies, where a group's filters stand around it.
    pub(super) automatic: Option<AnyService>,
}

/// One service for one method, or for all that have none of their own.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) method: Option<Method>,
    pub(super) pattern: Arc<Pattern>,
    pub(super) service: AnyService,
}

impl Resource {
    /// The route that answers a method: its own, `GET`'s for `HEAD`, else the one for any.
    pub(super) fn choose(&self, method: &Method) -> Option<&Route> {
        let of = |wanted: Option<&Method>| self.routes.iter().find(|route| route.method.as_ref() == wanted);
        let from_get = || if method == Method::HEAD { of(Some(&Method::GET)) } else { None };
        of(Some(method)).or_else(from_get).or_else(|| of(None))
    }

    /// The methods the path answers to, as the `Allow` field lists them (RFC 9110 §10.2.1).
    pub(super) fn allow(&self) -> Option<HeaderValue> {
        self.allow.clone()
    }

    pub(super) fn add(&mut self, route: Route) -> Result<(), RouteError> {
        if let Some(earlier) = self.routes.iter().find(|earlier| earlier.method == route.method) {
            return Err(RouteError::Hidden { route: route.to_string(), earlier: earlier.to_string() });
        }
        self.routes.push(route);
        self.list_methods();
        Ok(())
    }

    pub(super) fn remove(&mut self, method: Option<&Method>) -> Option<Route> {
        let at = self.routes.iter().position(|route| route.method.as_ref() == method)?;
        let removed = self.routes.remove(at);
        self.list_methods();
        Some(removed)
    }

    fn list_methods(&mut self) {
        let mut names: Vec<&str> =
            self.routes.iter().filter_map(|route| Some(route.method.as_ref()?.as_str())).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.push("OPTIONS");
        names.sort_unstable();
        names.dedup();
        self.allow = HeaderValue::try_from(names.join(", ")).ok();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Puts something around every service, the automatic replies' included.
    pub(super) fn wrap(&mut self, wrap: &impl Fn(AnyService) -> AnyService) {
        for route in &mut self.routes {
            route.service = wrap(route.service.clone());
        }
        let automatic = self.automatic.take().unwrap_or_else(super::answer::automatic);
        self.automatic = Some(wrap(automatic));
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("any", Method::as_str);
        write!(f, "{method} {}", self.pattern.text)
    }
}
