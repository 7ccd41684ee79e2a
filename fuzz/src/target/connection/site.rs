//! The site: a page for each way to answer, and a record of what was asked.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Frame;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;
use unary_http::h1::connection::Upgrade;
use unary_http::message::status;
use unary_http::{Body, Request, Response};
use unary_service::{Error, Kind, Service, service_fn};

use super::super::INPUT_BYTES_MAX;

/// What is known of a request when it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) page: Page,
}

/// How a page answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Page {
    /// With the body, once it is there.
    Echo,
    /// With the body, as it comes.
    Stream,
    /// The same, after a while.
    Slow,
    /// Without a look at the body.
    Ignore,
    /// With more than leaves at once.
    Big,
    /// With chunks and trailers.
    Chunks,
    /// With less than promised.
    Short,
    /// With an error.
    Fail,
    /// With a panic.
    Panic,
    /// For the last time.
    Close,
    /// In another protocol, if that is offered; it begins with the body.
    Leave,
    /// In another protocol, whether or not that is offered.
    Force,
    /// With 404.
    Missing,
}

impl Page {
    /// Any path has a page: its first letter decides.
    pub(super) fn of(method: &Method, path: &str) -> Self {
        if *method == Method::CONNECT {
            return Self::Leave;
        }
        match path.as_bytes().get(1) {
            None | Some(b'e') => Self::Echo,
            Some(b's') => Self::Stream,
            Some(b'w') => Self::Slow,
            Some(b'i') => Self::Ignore,
            Some(b'b') => Self::Big,
            Some(b'c') => Self::Chunks,
            Some(b't') => Self::Short,
            Some(b'f') => Self::Fail,
            Some(b'p') => Self::Panic,
            Some(b'l') => Self::Close,
            Some(b'u') => Self::Leave,
            Some(b'o') => Self::Force,
            Some(_) => Self::Missing,
        }
    }

    /// Whether the connection may have to be cut amid its reply.
    pub(super) fn may_break(self) -> bool {
        matches!(self, Self::Stream | Self::Short)
    }

    /// Whether its reply may be the connection's last by its own wish.
    pub(super) fn may_end(self) -> bool {
        self.may_break() || matches!(self, Self::Close | Self::Leave | Self::Force)
    }
}

/// What a page that promises too much promises.
pub(super) const PROMISED_BYTES: usize = 10;
pub(super) const BIG: &str = match str::from_utf8(&[b'b'; 70_000]) {
    Ok(text) => text,
    Err(_) => "",
};
pub(super) const CHUNKS: [&str; 3] = ["one", "two", "three"];

/// Everything the site has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Record(Arc<Mutex<Vec<Seen>>>);

impl Record {
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().expect("no panic while the lock is held"))
    }

    fn note(&self, seen: Seen) {
        self.0.lock().expect("no panic while the lock is held").push(seen);
    }
}

/// The site, and its record.
pub(super) fn site() -> (Record, impl Service<Request, Reply = Response> + 'static) {
    let record = Record::default();
    let noting = record.clone();
    let service = service_fn(move |request: Request| {
        let (method, target) = (request.method().clone(), request.uri().to_string());
        let page = Page::of(&method, request.uri().path());
        noting.note(Seen { method, target, page });
        answer(page, request)
    });
    (record, service)
}

async fn answer(page: Page, mut request: Request) -> Result<Response, Error> {
    match page {
        Page::Echo => Ok(Response::new(request.into_body().collect(INPUT_BYTES_MAX).await?.into())),
        Page::Stream => Ok(Response::new(request.into_body())),
        Page::Slow => {
            sleep(Duration::from_secs(1)).await;
            Ok(Response::new(request.into_body().collect(INPUT_BYTES_MAX).await?.into()))
        }
        Page::Ignore => Ok(Response::new("ignored".into())),
        Page::Big => Ok(Response::new(BIG.into())),
        Page::Chunks => Ok(Response::new(Body::stream(Chunks(CHUNKS.into())))),
        Page::Short => {
            let mut response = Response::new(Body::stream(Chunks(["short"].into())));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(PROMISED_BYTES));
            Ok(response)
        }
        Page::Fail => Err(Error::new(Kind::Forbidden, "failing")),
        // Without the noise of a panic that is news.
        Page::Panic => std::panic::resume_unwind(Box::new("a page panics")),
        Page::Close => {
            let mut response = Response::new("closing".into());
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok(response)
        }
        Page::Leave => leave(&mut request).await,
        Page::Force => Ok(switching()),
        Page::Missing => Ok(status(StatusCode::NOT_FOUND)),
    }
}

/// Takes the connection over, if it is offered, and says back everything that comes.
async fn leave(request: &mut Request) -> Result<Response, Error> {
    let upgrade = Upgrade::of(request);
    // At once or later, as the length of the target has it.
    sleep(Duration::from_secs(request.uri().to_string().len() as u64 % 2)).await;
    let body = std::mem::take(request.body_mut()).collect(INPUT_BYTES_MAX).await?;
    let Some(upgrade) = upgrade else { return Ok(Response::new(body.into())) };
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(upgrade.taken().await?);
        to.write_all(&body).await?;
        tokio::io::copy(&mut from, &mut to).await?;
        Ok::<_, Error>(())
    });
    match *request.method() {
        Method::CONNECT => Ok(Response::default()),
        _ => Ok(switching()),
    }
}

fn switching() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("repeat"));
    response
}

/// A body of these chunks and a trailer, each of which is not there at once.
struct Chunks(VecDeque<&'static str>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match self.0.pop_front() {
            Some("") => None,
            Some(chunk) => Some(Ok(Frame::data(chunk.into()))),
            None => {
                self.0.push_back("");
                let field = (http::header::ETAG, HeaderValue::from_static("\"3\""));
                Some(Ok(Frame::trailers(HeaderMap::from_iter([field]))))
            }
        })
    }
}
