//! Requests and replies: `http`'s own types around our [`Body`], and the usual replies.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode, header};
use unary_service::{Error, Kind};

use crate::Body;

/// A request: [`http::Request`] with our body, whose context generic filters see.
pub type Request = http::Request<Body>;

/// A reply.
pub type Response = http::Response<Body>;

/// `200 OK` with plain text in UTF-8.
#[inline]
pub fn text(text: impl Into<Body>) -> Response {
    content("text/plain; charset=utf-8", text)
}

/// `200 OK` with an HTML page in UTF-8.
pub fn html(page: impl Into<Body>) -> Response {
    content("text/html; charset=utf-8", page)
}

/// `200 OK` with content of this media type.
#[inline]
pub fn content(media_type: &'static str, body: impl Into<Body>) -> Response {
    // Nobody gets hold of the response before it is whole, so that it is made where it is to be.
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    let mut response = Response::new(body.into());
    std::mem::swap(response.headers_mut(), &mut headers);
    response
}

/// A reply with this status and no more than its name as plain text.
///
/// Replies that must not have a body (1xx, 204, 304) get none.
pub fn status(status: StatusCode) -> Response {
    let bare = status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let mut response = if bare {
        Response::default()
    } else {
        let name = status.canonical_reason().unwrap_or("Unknown status");
        text(Bytes::from(format!("{} {name}\n", status.as_u16())))
    };
    *response.status_mut() = status;
    response
}

/// The reply a peer sees when the service failed: the kind decides the status, and the cause is
/// never told.
pub fn failure(error: &Error) -> Response {
    let mut response = status(status_of(error.kind()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if error.kind() == Kind::Overloaded {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The status for a kind of error: the one place where the two meet.
pub fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Overloaded | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::Upstream => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_never_tells_its_cause() {
        let response = failure(&Error::internal("opening the vault").because("the code is 1234"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.into_body().collect(99).await.unwrap(), "500 Internal Server Error\n");
    }

    #[test]
    fn a_status_without_body_gets_none() {
        assert_eq!(status(StatusCode::NO_CONTENT).body().length(), Some(0));
    }
}
