//! Strips what a route matched off the path, for services that know nothing of routes.

use http::Uri;
use http::uri::PathAndQuery;
use unary_http::{Request, Response};
use unary_service::{Error, Filter, Service};

use super::params::Matched;

/// A filter after which the request's path is what the route's wildcard took:
/// `.any("/blog/*", strip().and_then(mount(app)))` shows `/blog/2024` to `app` as `/2024`.
///
/// For services that look at the path alone, as those of other libraries do; one that looks at
/// [`rest`](super::rest) needs no such filter. [`original_path`](super::original_path) is what the
/// path was, and [`params`](super::params) stay. Without a wildcard nothing is stripped.
pub fn strip() -> Strip {
    Strip
}

/// See [`strip`].
#[derive(Clone, Copy, Debug)]
pub struct Strip;

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for Strip {
    type Reply = Response;

    async fn apply(&self, mut request: Request, next: &Next) -> Result<Response, Error> {
        let matched: Option<&Matched> = request.extensions().get();
        if let Some(rest) = matched.and_then(Matched::rest) {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            let slash = if rest.is_empty() { "/" } else { "" };
            let target = format!("{slash}{rest}{query}");
            set_target(&mut request, target)?;
        }
        next.call(request).await
    }
}

/// Gives a request another path and query; routers within go by these, whatever those around them
/// matched.
pub(crate) fn set_target(request: &mut Request, target: String) -> Result<(), Error> {
    let target = PathAndQuery::from_maybe_shared(target).map_err(impossible)?;
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(target);
    *request.uri_mut() = Uri::from_parts(parts).map_err(impossible)?;
    if let Some(matched) = request.extensions_mut().get_mut::<Matched>() {
        matched.stripped = true;
    }
    Ok(())
}

fn impossible(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("giving a request another path").because(cause)
}
