//! Where a page comes from.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use unary_http::{Body, Request, Response};
use unary_service::{BoxService, Error, Kind, Service};

use super::{Asked, PAGE_BYTES_MAX};
use crate::filter::headers::shared;
use crate::handler::Files;
use crate::handler::files::Listing;
use crate::scheme::Scheme;
use crate::setting::BadSetting;

const STEP: &str = "making an error page";

/// A page for failures.
#[derive(Clone)]
pub struct Page(Source);

#[derive(Clone)]
enum Source {
    Content(HeaderValue, Bytes),
    /// Of what stands further in.
    Path(PathAndQuery),
    Service(BoxService<Request, Response>, PathAndQuery),
}

/// What a page turned out to be.
pub(super) struct Content {
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Page {
    /// This content.
    ///
    /// # Errors
    ///
    /// If the media type is no header's value, or it is longer than 1 MiB.
    pub fn content(media_type: &str, content: impl Into<Bytes>) -> Result<Self, BadSetting> {
        let content = content.into();
        if content.len() > PAGE_BYTES_MAX {
            return Err(BadSetting::new(format!("an error page has {PAGE_BYTES_MAX} bytes at most")));
        }
        Ok(Self(Source::Content(shared(media_type)?, content)))
    }

    /// What `GET` of this path gives further in, where the failed request went.
    ///
    /// # Errors
    ///
    /// If it is no path.
    pub fn path(path: &str) -> Result<Self, BadSetting> {
        Ok(Self(Source::Path(path_of(path)?)))
    }

    /// What this service answers to `GET` of the path.
    ///
    /// # Errors
    ///
    /// If it is no path.
    pub fn of<S>(service: S, path: &str) -> Result<Self, BadSetting>
    where
        S: Service<Request, Reply = Response> + 'static,
    {
        Ok(Self(Source::Service(BoxService::new(service), path_of(path)?)))
    }

    /// This file. When it changes, the page does, within a second.
    ///
    /// Waits for the disk: call it at the start, not on an event loop.
    ///
    /// # Errors
    ///
    /// If there is none that may be read, or it is hidden (begins with a dot).
    pub fn file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let step = || format!("opening the error page {}", path.display());
        let file = std::fs::File::open(path).map_err(|cause| Error::new(Kind::NotFound, step()).because(cause))?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let name = path.file_name().map(|name| name.as_encoded_bytes()).filter(|name| !name.starts_with(b"."));
        let Some(name) = name.filter(|_| is_file) else {
            return Err(Error::new(Kind::NotFound, step()).because("it is hidden, or no file"));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let files = Files::new(folder)?.listing(Listing::Off).without_precompressed();
        let target = format!("/{}", percent_encode(name, NON_ALPHANUMERIC));
        Self::of(files, &target).map_err(|cause| Error::internal(step()).because(cause))
    }

    /// Whether a service makes it.
    pub(super) fn asks_a_service(&self) -> bool {
        !matches!(self.0, Source::Content(..))
    }

    /// The page, as somebody gets it who asked for something else.
    pub(super) async fn get<Next>(&self, asked: &Asked, next: &Next) -> Result<Content, Error>
    where
        Next: Service<Request, Reply = Response>,
    {
        let reply = match &self.0 {
            Source::Content(media_type, bytes) => {
                let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, media_type.clone())]);
                return Ok(Content { headers, bytes: bytes.clone() });
            }
            Source::Path(path) => next.call(request(asked, path)).await?,
            Source::Service(service, path) => service.call(request(asked, path)).await?,
        };
        if reply.status() != StatusCode::OK {
            return Err(Error::internal(STEP).because(format!("it was answered with {}", reply.status())));
        }
        let (head, body) = reply.into_parts();
        Ok(Content { headers: head.headers, bytes: body.collect(PAGE_BYTES_MAX).await? })
    }
}

fn path_of(text: &str) -> Result<PathAndQuery, BadSetting> {
    let path = text.parse().ok().filter(|_| text.starts_with('/'));
    path.ok_or_else(|| BadSetting::new(format!("`{text}` is no path to a page: it begins with a `/`")))
}

fn request(asked: &Asked, path: &PathAndQuery) -> Request {
    let mut request = Request::new(Body::empty().with_context(asked.context.clone()));
    *request.uri_mut() = Uri::from(path.clone());
    *request.headers_mut() = asked.headers.clone();
    if asked.scheme == Scheme::Https {
        request.extensions_mut().insert(Scheme::Https);
    }
    request
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Content(media_type, bytes) => write!(f, "{} bytes of {media_type:?}", bytes.len()),
            Source::Path(path) | Source::Service(_, path) => write!(f, "{path}"),
        }
    }
}
