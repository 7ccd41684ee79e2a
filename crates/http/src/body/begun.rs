//! A stream that was asked for its first piece before anybody can take it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use unary_service::Error;

use super::{Body, BoxBody, Kind};

/// A stream whose first piece has come.
struct Begun {
    /// That piece, or the end, until it is taken.
    first: Option<Option<Result<Frame<Bytes>, Error>>>,
    rest: BoxBody,
}

impl Body {
    /// Asks a stream for its first piece, for the sake of what the stream asks for in turn. Nobody is woken
    /// once that is there: whoever takes the body asks again.
    pub(crate) fn begin(&mut self) {
        let Kind::Stream(stream) = &mut self.kind else { return };
        let Poll::Ready(first) = stream.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) else { return };
        if let Kind::Stream(rest) = std::mem::replace(&mut self.kind, Kind::Empty) {
            self.kind = Kind::Stream(Box::pin(Begun { first: Some(first), rest }));
        }
    }
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(first),
            None => self.rest.as_mut().poll_frame(task),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let data = |frame: &Result<Frame<Bytes>, Error>| frame.as_ref().ok()?.data_ref().map(Bytes::len);
        let first = self.first.as_ref().and_then(Option::as_ref).and_then(data).unwrap_or(0);
        let exact = self.rest.size_hint().exact();
        exact.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(rest + first as u64))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn what_was_asked_for_early_is_not_lost() {
        for pieces in [&["one", "two"][..], &["one"], &[]] {
            let frames =
                pieces.iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))));
            let mut body = Body::stream(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())));
            body.begin();
            assert_eq!(body.collect(99).await.unwrap(), pieces.concat());
        }
    }
}
