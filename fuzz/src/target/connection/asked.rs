//! What the bytes ask, read plainly: one head, its body, the next head.

use bytes::BytesMut;
use http::{StatusCode, Version};
use unary_http::h1::body::{BodyDecoder, Piece};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::head::{HeadLimits, RequestHead};

use super::site::{Page, Seen};

/// Everything a client asks.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) requests: Vec<Whole>,
    /// How what comes after the requests is to be refused.
    pub(super) refusal: Option<StatusCode>,
    pub(super) expects_continue: bool,
    /// A reply without a length ends the connection of a client of HTTP/1.0.
    is_old: bool,
}

/// A request with its body.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) seen: Seen,
    /// `None` if it is cut short or broken.
    pub(super) body: Option<Vec<u8>>,
    /// Where the bytes after it begin.
    pub(super) end: usize,
}

/// Reads `data` to its end, or to where nothing more can be asked.
pub(super) fn asked(data: &[u8]) -> Asked {
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let mut input = BytesMut::from(data);
    let mut asked = Asked::default();
    let mut head = RequestHead::default();
    loop {
        match decoder.decode_request(&mut input, &mut head) {
            Ok(true) => {}
            Ok(false) => return asked,
            Err(error) => {
                asked.refusal = Some(error.status());
                return asked;
            }
        }
        let page = Page::of(&head.method, head.uri.path());
        let seen = Seen { method: head.method.clone(), target: head.uri.to_string(), page };
        let body = body(&mut input, &head);
        let goes_on = body.is_some() && head.keep_alive;
        asked.expects_continue |= head.expect_continue;
        asked.is_old |= head.version == Version::HTTP_10;
        asked.requests.push(Whole { seen, body, end: data.len() - input.len() });
        if !goes_on {
            return asked;
        }
    }
}

fn body(input: &mut BytesMut, head: &RequestHead) -> Option<Vec<u8>> {
    let mut decoder = BodyDecoder::new(head.framing);
    let mut body = Vec::new();
    loop {
        match decoder.decode(input).ok()?? {
            Piece::Data(data) => body.extend_from_slice(&data),
            Piece::End(_) => return Some(body),
        }
    }
}

impl Asked {
    /// The site was asked this, in this order, and all of it if nothing came between.
    pub(super) fn check(&self, seen: &[Seen]) {
        for (at, seen) in seen.iter().enumerate() {
            let expected = self.requests.get(at).map(|request| &request.seen);
            assert_eq!(Some(seen), expected, "request {at}");
        }
        let may_end = self.expects_continue || self.is_old || seen.iter().any(|seen| seen.page.may_end());
        assert!(seen.len() == self.requests.len() || may_end, "not asked: {:?}", self.requests[seen.len()]);
    }
}
