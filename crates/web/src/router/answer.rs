//! What the router does with a request: finds the service that answers it, or answers itself.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use http::header::ALLOW;
use http::{Method, StatusCode};
use unary_http::{Request, Response, message};
use unary_service::{Available, BoxService, Error, Service, service_fn};

use super::params::Matched;
use super::resource::{Resource, Route};
use super::segment::has_dots;
use super::trie::Captures;
use super::{AnyService, Router, Site};

impl Available for Router {}

impl Service<Request> for Router {
    type Reply = Response;

    // Chosen at once, not within the future: so the request is moved straight into the service's.
    fn call(&self, mut request: Request) -> impl Future<Output = Result<Response, Error>> + Send {
        match self.choose(&mut request) {
            Choice::Service(service) => Answer::Service(service.call(request)),
            Choice::Automatic(resource) => Answer::Automatic(Box::pin(resource.automatically(request))),
            Choice::Status(status) => Answer::Status(status),
        }
    }
}

/// An answer on its way.
enum Answer<S, A> {
    Service(S),
    Automatic(A),
    Status(StatusCode),
}

impl<S, A> Future for Answer<S, A>
where
    S: Future<Output = Result<Response, Error>> + Unpin,
    A: Future<Output = Result<Response, Error>> + Unpin,
{
    type Output = Result<Response, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Service(call) => Pin::new(call).poll(task),
            Self::Automatic(call) => Pin::new(call).poll(task),
            Self::Status(status) => Poll::Ready(Ok(message::status(*status))),
        }
    }
}

/// Who answers a request: a route's service, the router for a path that lacks the method, or the
/// router without more ado.
type Choice<'a> = Answer<&'a AnyService, &'a Resource>;

impl Router {
    /// Finds out who answers, and notes in the request what its route's parameters took.
    fn choose(&self, request: &mut Request) -> Choice<'_> {
        let site = if self.hosts.is_empty() { None } else { self.hosts.find(request) };
        let site = site.unwrap_or(&self.anywhere);
        let path = path_of(request);
        let mut captures = Captures::default();
        let found = if path.starts_with('/') { site.paths.find(path, &mut captures) } else { None };
        let Some(resource) = found else { return self.without_route(site, path, request.method()) };
        if !captures.is_empty() && !Matched::is_sound(&captures, path) {
            return Choice::Status(StatusCode::BAD_REQUEST);
        }
        let Some(route) = resource.choose(request.method()) else { return Choice::Automatic(resource) };
        if !captures.is_empty() {
            note(request, route, &captures);
        }
        Choice::Service(&route.service)
    }

    fn without_route<'a>(&'a self, site: &'a Site, path: &str, method: &Method) -> Choice<'a> {
        if path == "*" && method == Method::OPTIONS {
            return Choice::Status(StatusCode::NO_CONTENT); // The server as a whole (RFC 9110 §9.3.7).
        }
        match site.fallback.as_ref().or(self.anywhere.fallback.as_ref()) {
            _ if has_dots(path) => Choice::Status(StatusCode::BAD_REQUEST),
            Some(fallback) => Choice::Service(fallback),
            None => Choice::Status(StatusCode::NOT_FOUND),
        }
    }
}

/// The path to match: what an outer router's wildcard left, or all of it.
fn path_of(request: &Request) -> &str {
    match request.extensions().get().and_then(Matched::rest) {
        Some("") => "/",
        Some(rest) => rest,
        None => request.uri().path(),
    }
}

fn note(request: &mut Request, route: &Route, captures: &Captures) {
    let outer: Option<Matched> = request.extensions_mut().remove();
    let inner = match &outer {
        Some(outer) if let Some(rest) = outer.rest() => {
            let skipped = outer.path.path().len() - rest.len();
            Some((outer.path.clone(), captures.shifted(skipped)))
        }
        _ => request.uri().path_and_query().map(|path| (path.clone(), *captures)),
    };
    if let Some((path, captures)) = inner {
        let pattern = route.pattern.clone();
        let outer = outer.map(Box::new);
        request.extensions_mut().insert(Matched { pattern, path, captures, stripped: false, outer });
    }
}

impl Resource {
    /// Answers where the path has no route for the method: lists those it has.
    async fn automatically(&self, request: Request) -> Result<Response, Error> {
        let status = automatic_status(request.method());
        let mut reply = match &self.automatic {
            Some(filtered) => filtered.call(request).await?,
            None => message::status(status),
        };
        if reply.status() == status
            && let Some(allow) = self.allow()
        {
            reply.headers_mut().entry(ALLOW).or_insert(allow);
        }
        Ok(reply)
    }
}

/// The service behind a group's filters where the path has no route for the method.
pub(super) fn automatic() -> AnyService {
    BoxService::new(service_fn(async |request: Request| Ok(message::status(automatic_status(request.method())))))
}

fn automatic_status(method: &Method) -> StatusCode {
    if method == Method::OPTIONS { StatusCode::NO_CONTENT } else { StatusCode::METHOD_NOT_ALLOWED }
}
