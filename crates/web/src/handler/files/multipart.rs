//! Several parts of one representation in one body (RFC 9110 §14.6).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Frame, SizeHint};
use unary_http::Body;
use unary_service::Error;

use super::nonce::nonce;
use super::range::Span;

/// A body of several parts, and its media type, which names the boundary between them.
pub(super) struct Multipart {
    pub(super) media_type: HeaderValue,
    pub(super) body: Body,
}

/// Puts parts of a representation together: `part` gives the bytes of each, `whole` is the length
/// of all of it and `media_type` its type.
pub(super) fn multipart(
    spans: &[Span],
    whole: u64,
    media_type: &HeaderValue,
    part: impl Fn(Span) -> Body,
) -> Multipart {
    let boundary = nonce(); // Nobody can have put it into the file.
    let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
    for (number, &span) in spans.iter().enumerate() {
        pieces.push(head(&boundary, number, media_type, &span.content_range(whole)).into());
        pieces.push(part(span));
    }
    pieces.push(Body::from(format!("\r\n--{boundary}--\r\n")));
    let left = pieces.iter().filter_map(Body::length).sum();
    let media_type = format!("multipart/byteranges; boundary={boundary}");
    Multipart {
        media_type: HeaderValue::try_from(media_type).expect("a boundary is hexadecimal"),
        body: Body::stream(Pieces { current: Body::empty(), rest: pieces.into_iter(), left }),
    }
}

fn head(boundary: &str, number: usize, media_type: &HeaderValue, content_range: &str) -> Bytes {
    let before = if number == 0 { "" } else { "\r\n" };
    let mut head = format!("{before}--{boundary}\r\nContent-Type: ").into_bytes();
    head.extend_from_slice(media_type.as_bytes());
    head.extend_from_slice(format!("\r\nContent-Range: {content_range}\r\n\r\n").as_bytes());
    head.into()
}

/// One body after another.
struct Pieces {
    current: Body,
    rest: vec::IntoIter<Body>,
    /// Bytes to come.
    left: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if let Some(frame) = ready!(Pin::new(&mut self.current).poll_frame(task)) {
                let length = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
                self.left = self.left.saturating_sub(length as u64);
                return Poll::Ready(Some(frame));
            }
            match self.rest.next() {
                Some(next) => self.current = next,
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_stand_between_boundaries() {
        let spans = [Span { start: 0, end: 2 }, Span { start: 7, end: 10 }];
        let part = |span: Span| Body::from(&b"0123456789"[span.start as usize..span.end as usize]);
        let made = multipart(&spans, 10, &HeaderValue::from_static("text/plain"), part);
        let media_type = made.media_type.to_str().unwrap();
        let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\
             \r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-9/10\r\n\r\n789\
             \r\n--{boundary}--\r\n"
        );
        assert_eq!(made.body.length(), Some(expected.len() as u64));
        assert_eq!(made.body.collect(1000).await.unwrap(), expected);
    }
}
