//! Files as a client sees them: requests against a folder made for the test.

mod changes;
mod listing;
mod replies;
mod serving;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use unary_http::Body;
use unary_testkit::TempDir;

use super::*;

/// A reply, read to its end.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    /// A header as text; empty if there is none.
    #[track_caller]
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("a header is text"))
    }
}

/// Files whose clock is ahead by an hour: what was just written was written long ago.
pub(super) fn files(folder: &TempDir) -> Files {
    let clock = || SystemTime::now() + Duration::from_secs(3600);
    Files { clock, ..Files::new(folder.path()).expect("the folder exists") }
}

/// `GET` of a path, with these headers.
pub(super) async fn get(files: &Files, path: &str, headers: &[(&str, &str)]) -> Got {
    send(files, "GET", path, headers).await
}

pub(super) async fn send(files: &Files, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = http::Request::builder().method(method).uri(path);
    for &(name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(Body::empty()).expect("the request is valid");
    let response = match files.call(request).await {
        Ok(response) => response,
        Err(error) => message::failure(&error),
    };
    let (head, body) = response.into_parts();
    let body = body.collect(64 * 1024 * 1024).await.expect("the body can be read");
    Got { status: head.status.as_u16(), headers: head.headers, body }
}
