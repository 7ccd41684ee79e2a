//! Pages of the site's own in place of bare failures: [`ErrorPage`].

mod page;
mod statuses;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode};
use unary_http::{Request, Response, failed, message};
use unary_service::{Context, Error, Filter, HasContext, Service};

pub use page::Page;
pub use statuses::Statuses;

use super::compress::DIGESTS;
use crate::scheme::Scheme;
use page::Content;

/// A longer page is none.
pub const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// How long a service may take to make a page: whoever hears of a failure should hear of it soon.
pub const PAGE_TIME_MAX: Duration = Duration::from_secs(5);

/// What tells of the content that is replaced.
const REPLACED: [HeaderName; 9] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_DISPOSITION,
    header::ETAG,
    header::LAST_MODIFIED,
    header::ACCEPT_RANGES,
];

/// What a page's own reply says of its content.
const TAKEN: [HeaderName; 4] = [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::VARY];

/// Gives replies with some statuses a page of the site's own. Status and other headers stay.
///
/// Replaced is what says no more than its status: a failure of what stands further in, a reply
/// without content, and one whose content is the status in plain text, as this server's own are. An
/// application that says more knows better; with [`replace_all`](Self::replace_all) its pages are
/// replaced, too. A page that cannot be had (it is missing, takes more than 5 s or is longer than
/// 1 MiB) leaves the reply as it was, and is told to the operator once.
///
/// A failure is told to the operator here, since whoever is further out sees a reply.
///
/// ```
/// use unary_web::filter::error_page::{ErrorPage, Page};
///
/// let pages = ErrorPage::new()
///     .on("404".parse()?, Page::path("/errors/missing.html")?) // What the site has there.
///     .on("5xx".parse()?, Page::content("text/html; charset=utf-8", "<h1>Soon back</h1>")?);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ErrorPage {
    rules: Vec<(Statuses, Page)>,
    /// Whether any page is made by a service, which wants to know what was asked for.
    asks_services: bool,
    replaces_all: bool,
    /// That a page cannot be had was told.
    is_told: Arc<AtomicBool>,
}

impl ErrorPage {
    /// Replaces nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has this page for these statuses. Where several do, the first counts.
    pub fn on(mut self, statuses: Statuses, page: Page) -> Self {
        self.asks_services |= page.asks_a_service();
        self.rules.push((statuses, page));
        self
    }

    /// Replaces the pages of applications, too.
    pub fn replace_all(self) -> Self {
        Self { replaces_all: true, ..self }
    }

    fn page_for(&self, status: StatusCode) -> Option<&Page> {
        self.rules.iter().find(|(statuses, _)| statuses.contain(status)).map(|(_, page)| page)
    }

    /// The same reply with the page as its content, if that can be had.
    async fn replaced<Next>(&self, mut reply: Response, page: &Page, asked: &Asked, next: &Next) -> Response
    where
        Next: Service<Request, Reply = Response>,
    {
        let made = tokio::time::timeout(PAGE_TIME_MAX, page.get(asked, next)).await;
        match made.unwrap_or_else(|_| Err(Error::timeout("making an error page"))) {
            Ok(content) => replace(&mut reply, content),
            Err(error) if !self.is_told.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, ?page, "an error page cannot be had");
            }
            Err(_) => {}
        }
        reply
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for ErrorPage {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        let asked = Asked::of(&request, self.asks_services);
        match next.call(request).await {
            Ok(reply) => match self.page_for(reply.status()) {
                Some(page) if self.replaces_all || is_bare(&reply, &asked.method) => {
                    Ok(Box::pin(self.replaced(reply, page, &asked, next)).await)
                }
                _ => Ok(reply),
            },
            Err(error) => {
                let reply = message::failure(&error);
                let Some(page) = self.page_for(reply.status()) else { return Err(error) };
                failed::log(asked.context.id, &asked.method, &asked.context.peer, &error);
                Ok(Box::pin(self.replaced(reply, page, &asked, next)).await)
            }
        }
    }
}

/// What is kept of a request for when it fails.
struct Asked {
    method: Method,
    context: Context,
    scheme: Scheme,
    /// What a page may depend on.
    headers: HeaderMap,
}

impl Asked {
    fn of(request: &Request, asks_services: bool) -> Self {
        let mut headers = HeaderMap::new();
        if asks_services {
            for name in [header::HOST, header::ACCEPT, header::ACCEPT_LANGUAGE] {
                if let Some(value) = request.headers().get(&name) {
                    headers.insert(name, value.clone());
                }
            }
        }
        let context = request.context().cloned().unwrap_or_default();
        Self { method: request.method().clone(), context, scheme: Scheme::of(request), headers }
    }
}

/// Whether a reply says no more than its status.
fn is_bare(reply: &Response, method: &Method) -> bool {
    let headers = reply.headers();
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let media_type = headers.get(header::CONTENT_TYPE);
    let length = match reply.body().length() {
        // The content was left out, or there is none.
        Some(0) if method == Method::HEAD => said.or(media_type.is_none().then_some(0)),
        length => length,
    };
    match length {
        Some(0) => true,
        Some(length) => media_type.is_some_and(|value| value == PLAIN) && length == named_length(reply.status()),
        None => false,
    }
}

/// The media type of [`message::status`].
const PLAIN: &str = "text/plain; charset=utf-8";

/// The length of what [`message::status`] says.
fn named_length(status: StatusCode) -> u64 {
    let name = status.canonical_reason().unwrap_or("Unknown status");
    ("404 ".len() + name.len() + "\n".len()) as u64
}

fn replace(reply: &mut Response, content: Content) {
    let headers = reply.headers_mut();
    for name in REPLACED.iter().chain(&DIGESTS) {
        headers.remove(name);
    }
    for (name, value) in content.headers.iter().filter(|(name, _)| TAKEN.contains(name)) {
        headers.append(name, value.clone());
    }
    *reply.body_mut() = content.bytes.into();
}

#[cfg(test)]
mod tests;
