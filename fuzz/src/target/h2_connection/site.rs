//! The site: a page for each way to answer, and a record of what was asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body::Frame;
use tokio::time::sleep;
use unary_http::message::text;
use unary_http::{Body, Request, Response};
use unary_service::{Error, Service, service_fn};

use super::super::INPUT_BYTES_MAX;

/// A request as the site saw it.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

impl Asked {
    /// It is what HTTP/1.1 could have asked, its version aside.
    pub(super) fn check(&self) {
        assert_eq!(self.version, Version::HTTP_2);
        assert_eq!(self.headers.get_all("host").iter().count(), 1, "{self:?}");
        assert!(self.headers.get_all("cookie").iter().count() <= 1, "{self:?}");
        for name in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection"] {
            assert!(!self.headers.contains_key(name), "{self:?}");
        }
        for (name, value) in &self.headers {
            assert!(!name.as_str().starts_with(':'), "{self:?}");
            assert_eq!(value.as_bytes().trim_ascii().len(), value.len(), "{self:?}");
        }
        match self.method {
            Method::CONNECT => assert!(self.uri.authority().is_some() && self.uri.path_and_query().is_none()),
            _ => assert!(self.uri.authority().is_none(), "{self:?}"),
        }
        let path = self.uri.path();
        let fits = path.starts_with('/') || (path == "*" && self.method == Method::OPTIONS);
        assert!(fits || self.method == Method::CONNECT, "{self:?}");
    }
}

/// What was asked so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<Vec<Asked>>>);

impl Record {
    /// All of it.
    pub(super) fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.0.lock().expect("no panic while the lock is held"))
    }
}

/// The site, and what it is asked.
pub(super) fn site() -> (Record, impl Service<Request, Reply = Response> + 'static) {
    let record = Record::default();
    let asked = record.clone();
    let service = service_fn(move |request: Request| {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let (version, headers) = (request.version(), request.headers().clone());
        let seen = Asked { method, uri, version, headers };
        asked.0.lock().expect("no panic while the lock is held").push(seen);
        answer(request)
    });
    (record, service)
}

async fn answer(request: Request) -> Result<Response, Error> {
    match request.uri().path().get(1..2) {
        // With the body, once it is there.
        Some("e") => Ok(text(request.into_body().collect(INPUT_BYTES_MAX).await?)),
        // With the body, as it comes.
        Some("s") => Ok(Response::new(request.into_body())),
        // The same, after a while.
        Some("w") => {
            sleep(Duration::from_secs(1)).await;
            Ok(Response::new(request.into_body()))
        }
        // With more than leaves at once.
        Some("b") => Ok(text("b".repeat(100_000))),
        // With pieces and trailers.
        Some("c") => Ok(Response::new(Body::stream(Pieces(3)))),
        Some("f") => Err(Error::overloaded("being asked")),
        // Without the noise of a panic that is news.
        Some("p") => std::panic::resume_unwind(Box::new("a page panics")),
        // Without a look at the body.
        _ => Ok(text("hello")),
    }
}

/// A body of so many pieces, then trailers.
struct Pieces(usize);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let left = self.0;
        self.0 = left.saturating_sub(1);
        match left {
            0 => Poll::Ready(None),
            1 => {
                let sum = [(http::HeaderName::from_static("x-sum"), HeaderValue::from_static("9"))];
                Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::from_iter(sum)))))
            }
            2 => {
                self.0 = 1;
                task.waker().wake_by_ref();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
            }
            _ => Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
        }
    }
}
