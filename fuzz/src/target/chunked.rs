//! Chunked bodies.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use unary_http::h1::body::Piece;
use unary_http::h1::chunked::{ChunkedDecoder, encode_chunk, encode_end};
use unary_http::h1::error::DecodeError;

use super::model::{self, Verdict};
use super::{Shape, ways_to_cut};

/// Decodes `data` as a chunked body, and as content to encode.
///
/// Seeds are whole requests, so what is before an empty line may be left out too.
pub fn chunked(data: &[u8]) -> Shape {
    let body = data.windows(4).position(|window| window == b"\r\n\r\n").map(|end| &data[end + 4..]);
    let shapes = [Some(data), body].map(|body| {
        let body = body?;
        let whole = Reading::of(&[body]);
        for pieces in ways_to_cut(body) {
            assert_eq!(Reading::of(&pieces), whole);
        }
        agrees_with_model(body, &whole);
        Some(whole.shape())
    });
    comes_back(data);
    Shape::of(shapes)
}

#[derive(Debug, PartialEq, Eq)]
struct Reading {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// How many bytes the body took up, if it has ended.
    length: Option<usize>,
    error: Option<DecodeError>,
}

impl Reading {
    fn of(pieces: &[&[u8]]) -> Self {
        let mut decoder = ChunkedDecoder::new();
        let mut input = BytesMut::new();
        let mut reading = Self { data: Vec::new(), trailers: None, length: None, error: None };
        let mut fed = 0;
        for piece in pieces {
            input.extend_from_slice(piece);
            fed += piece.len();
            while reading.length.is_none() {
                match decoder.decode(&mut input) {
                    Ok(None) => break,
                    Ok(Some(Piece::Data(data))) => {
                        assert!(!data.is_empty(), "a piece of nothing");
                        reading.data.extend_from_slice(&data);
                    }
                    Ok(Some(Piece::End(trailers))) => {
                        reading.trailers = Some(trailers);
                        reading.length = Some(fed - input.len());
                    }
                    Err(error) => return Self { error: Some(error), ..reading },
                }
            }
        }
        let length = input.len();
        assert_eq!(decoder.has_ended(), reading.length.is_some());
        if decoder.has_ended() {
            assert_eq!(decoder.decode(&mut input), Ok(Some(Piece::End(HeaderMap::new()))));
            assert_eq!(input.len(), length, "the end was consumed twice");
        }
        assert!(reading.data.len() <= fed && reading.trailers.iter().all(|trailers| trailers.len() <= 32));
        reading
    }

    fn shape(&self) -> Shape {
        let error = self.error.as_ref().map(|error| std::mem::discriminant(error.reason()));
        let trailers = self.trailers.as_ref().map(|trailers| trailers.len().min(3));
        Shape::of((self.data.len().min(3), trailers, error))
    }
}

fn agrees_with_model(body: &[u8], found: &Reading) {
    match model::chunked(body) {
        Verdict::Open => {}
        Verdict::Refused => assert!(found.error.is_some(), "accepted as {found:?}"),
        Verdict::Accepted(expected) => {
            assert_eq!((&found.error, found.length), (&None, Some(expected.length)));
            assert_eq!(found.data, expected.data);
        }
    }
}

/// What is encoded decodes to the same.
fn comes_back(data: &[u8]) {
    let size = data.first().map_or(1, |&byte| usize::from(byte) + 1);
    let mut trailers = HeaderMap::new();
    if let Some(value) = data.get(..9).and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok()) {
        trailers.append(HeaderName::from_static("x-checked"), value);
    }
    let mut wire = Vec::new();
    data.chunks(size).for_each(|chunk| encode_chunk(chunk, &mut wire));
    encode_end(&trailers, &mut wire);
    let length = wire.len();
    wire.extend_from_slice(b"GET");
    let found = Reading::of(&[&wire]);
    let expected = Reading { data: data.to_vec(), trailers: Some(trailers), length: Some(length), error: None };
    assert_eq!(found, expected);
}
