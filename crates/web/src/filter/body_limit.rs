//! A bound on the bodies of requests: [`BodyLimit`].

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use unary_http::{Body, Request, Response};
use unary_service::{Error, Filter, HasContext, Kind, Service};

const STEP: &str = "reading a request's body";

/// Refuses requests whose body is longer than so many bytes, with 413.
///
/// One that says its length is refused before anything of it is read. Another is read as far as the
/// bound, where whoever reads it is told of a failure ([`Kind::TooLarge`]); a service that hands that
/// on answers with 413, and one that has begun its reply has it cut.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimit {
    bytes_max: u64,
}

impl BodyLimit {
    /// Lets bodies of up to `bytes_max` bytes pass; with 0 none.
    pub fn new(bytes_max: u64) -> Self {
        Self { bytes_max }
    }

    fn refusal(self) -> Error {
        Error::new(Kind::TooLarge, STEP).because(format!("it is longer than {} bytes", self.bytes_max))
    }
}

impl<Next: Service<Request, Reply = Response>> Filter<Request, Next> for BodyLimit {
    type Reply = Response;

    async fn apply(&self, request: Request, next: &Next) -> Result<Response, Error> {
        match request.body().length() {
            Some(length) if length > self.bytes_max => Err(self.refusal()),
            Some(_) => next.call(request).await,
            None => next.call(request.map(|body| self.limited(body))).await,
        }
    }
}

impl BodyLimit {
    fn limited(self, body: Body) -> Body {
        let context = body.context().cloned().unwrap_or_default();
        Body::stream(Limited { body, left: self.bytes_max, limit: self }).with_context(context)
    }
}

/// A body of unknown length that ends with a failure where it would exceed the bound.
struct Limited {
    body: Body,
    left: u64,
    limit: BodyLimit,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let limited = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut limited.body).poll_frame(task));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        match limited.left.checked_sub(bytes as u64) {
            Some(left) => limited.left = left,
            None => {
                limited.body = Body::empty(); // Whoever sends it is told that nobody reads on.
                return Poll::Ready(Some(Err(limited.limit.refusal())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;
    use unary_http::message;
    use unary_service::{Compose, Context, service_fn};

    use super::*;

    /// A body that does not say its length.
    fn streamed(pieces: &'static [&'static str]) -> Body {
        let frames = pieces.iter().map(|piece| Ok::<_, Error>(Frame::data(Bytes::from_static(piece.as_bytes()))));
        Body::stream(StreamBody::new(stream::iter(frames)))
    }

    /// Sends the body to a service that reads all of it, behind a limit of five bytes.
    async fn check(body: Body, expected: Result<&str, Kind>) {
        let app = BodyLimit::new(5).and_then(service_fn(async |request: Request| {
            assert_eq!(request.context().unwrap().attempt, 7, "the context stays");
            Ok(message::text(request.into_body().collect(99).await?))
        }));
        let context = Context { attempt: 7, ..Context::default() };
        let reply = app.call(Request::new(body.with_context(context))).await;
        match reply {
            Ok(reply) => assert_eq!(Ok(&*reply.into_body().collect(99).await.unwrap()), expected.map(str::as_bytes)),
            Err(error) => assert_eq!(Err(error.kind()), expected),
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_bound_is_refused_unread() {
        let app = BodyLimit::new(5).and_then(service_fn(async |_: Request| panic!("it was not to be called")));
        let failed = app.call(Request::new(Body::from("123456"))).await.map(|_: Response| ()).unwrap_err();
        assert_eq!(failed.kind(), Kind::TooLarge);
        assert_eq!(message::status_of(failed.kind()), 413);
    }

    #[tokio::test]
    async fn bodies_up_to_the_bound_pass() {
        check(Body::empty(), Ok("")).await;
        check(Body::from("12345"), Ok("12345")).await;
        check(streamed(&[]), Ok("")).await;
        check(streamed(&["123", "45"]), Ok("12345")).await;
    }

    #[tokio::test]
    async fn a_stream_fails_at_the_bound() {
        check(streamed(&["123", "456"]), Err(Kind::TooLarge)).await;
        check(streamed(&["1234567"]), Err(Kind::TooLarge)).await;
    }

    #[tokio::test]
    async fn other_failures_stay_what_they_were() {
        let closed = [Ok(Frame::data(Bytes::from_static(b"1"))), Err(Error::closed("testing"))];
        check(Body::stream(StreamBody::new(stream::iter(closed))), Err(Kind::Closed)).await;
    }
}
