//! Heads of requests.

use bytes::BytesMut;
use http::header::HOST;
use http::{HeaderMap, Version};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::encode::{BodyPlan, OutgoingRequest, Persistence, TargetForm, encode_request};
use unary_http::h1::error::DecodeError;
use unary_http::h1::head::{Framing, HeadLimits, RequestHead};

use super::model::{self, Verdict};
use super::{Shape, ways_to_cut};

/// Limits that small inputs meet.
pub(super) const TIGHT: HeadLimits = HeadLimits { head_bytes_max: 300, target_bytes_max: 60, headers_max: 5 };

/// Fields that the encoder writes itself.
pub(super) const ENCODERS_OWN: [&str; 5] =
    ["connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection"];

/// Decodes `data` as heads of requests, one right after the other.
pub fn head(data: &[u8]) -> Shape {
    let shapes = [HeadLimits::default(), TIGHT].map(|limits| {
        let whole = Reading::of(limits, &[data]);
        for pieces in ways_to_cut(data) {
            let cut = Reading::of(limits, &pieces);
            assert_eq!(cut, whole, "cut into {:?}", pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>());
        }
        whole.shape()
    });
    let (heads, error) = decode(HeadLimits::default(), &[data]);
    agrees_with_model(data, heads.first(), error.as_ref());
    heads.iter().for_each(comes_back);
    Shape::of(shapes)
}

/// What was decoded, comparable.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    heads: Vec<String>,
    error: Option<DecodeError>,
}

impl Reading {
    fn of(limits: HeadLimits, pieces: &[&[u8]]) -> Self {
        let (heads, error) = decode(limits, pieces);
        for head in &heads {
            assert!(head.headers.len() <= limits.headers_max, "{} fields", head.headers.len());
            let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 3).sum();
            assert!(bytes <= limits.head_bytes_max + limits.target_bytes_max, "{bytes} bytes of fields");
            assert_ne!(head.framing, Framing::UntilClose);
        }
        if let Some(error) = &error {
            assert!([400, 414, 417, 431, 501, 505].contains(&error.status().as_u16()), "{error}");
        }
        Self { heads: heads.iter().map(|head| format!("{head:?}")).collect(), error }
    }

    fn shape(&self) -> Shape {
        let reason = self.error.as_ref().map(|error| std::mem::discriminant(error.reason()));
        Shape::of((self.heads.len().min(4), reason))
    }
}

fn decode(limits: HeadLimits, pieces: &[&[u8]]) -> (Vec<RequestHead>, Option<DecodeError>) {
    let mut decoder = HeadDecoder::new(limits);
    let mut input = BytesMut::new();
    let mut heads = Vec::new();
    let mut head = RequestHead::default();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode_request(&mut input, &mut head) {
                Ok(true) => heads.push(head.clone()),
                Ok(false) => break,
                Err(error) => return (heads, Some(error)),
            }
        }
        assert!(input.len() < limits.head_bytes_max, "it waits for more than the limit allows");
        assert!(input.is_empty() || decoder.is_amid_head() || input.starts_with(b"\r"), "it forgot its bytes");
    }
    (heads, None)
}

fn agrees_with_model(data: &[u8], head: Option<&RequestHead>, error: Option<&DecodeError>) {
    match model::request(data) {
        Verdict::Open => {}
        Verdict::Refused => assert!(head.is_none() && error.is_some(), "accepted as {head:?}"),
        Verdict::Accepted(expected) => {
            let Some(head) = head else { panic!("refused: {error:?}; it is {expected:?}") };
            assert_eq!(head.method.as_str(), expected.method);
            let framing = match expected.body_bytes {
                None => Framing::Chunked,
                Some(0) => Framing::Empty,
                Some(length) => Framing::Length(length),
            };
            assert_eq!((head.framing, head.keep_alive), (framing, expected.keep_alive));
            assert_eq!(head.uri, *expected.target, "the target");
            assert_eq!(sorted(&head.headers), sorted_fields(expected.fields));
        }
    }
}

/// What is encoded decodes to the same.
fn comes_back(head: &RequestHead) {
    if !head.headers.contains_key(HOST) && head.uri.authority().is_none() {
        return; // Good enough for HTTP/1.0, and what is encoded is 1.1.
    }
    let length = match head.framing {
        Framing::Length(length) => Some(length),
        Framing::Empty => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let mut kept = head.headers.clone();
    ENCODERS_OWN.iter().for_each(|name| drop(kept.remove(*name)));
    if head.version == Version::HTTP_10 {
        kept.remove("expect"); // Which means something only from 1.1 on.
    }
    let encode = |form| {
        let mut wire = Vec::new();
        let request = OutgoingRequest {
            method: &head.method,
            uri: &head.uri,
            form,
            headers: &kept,
            body: BodyPlan::of_request(&head.method, length, &kept),
            persistence: if head.keep_alive { Persistence::KeepAlive } else { Persistence::Close },
        };
        encode_request(&request, &mut wire);
        wire
    };
    let is_absolute = head.uri.scheme().is_some();
    let wire = encode(if is_absolute { TargetForm::Absolute } else { TargetForm::Origin });
    let limits = HeadLimits { head_bytes_max: 1 << 20, target_bytes_max: 1 << 20, headers_max: 1000 };
    let (again, error) = decode(limits, &[&wire]);
    let [again] = &again[..] else { panic!("{head:?} came back as {again:?}, {error:?}: {}", wire.escape_ascii()) };
    assert_eq!((&again.method, &again.uri, again.framing), (&head.method, &head.uri, head.framing));
    assert_eq!(again.keep_alive, head.keep_alive);
    if is_absolute {
        let wire = encode(TargetForm::Origin);
        let path = |head: &RequestHead| (head.uri.path().to_owned(), head.uri.query().map(str::to_owned));
        let (origin, error) = decode(limits, &[&wire]);
        assert_eq!(origin.first().map(path), Some(path(head)), "{error:?}: {}", wire.escape_ascii());
    }
    assert!(again.upgrade || !head.upgrade);
    let mut headers = again.headers.clone();
    ENCODERS_OWN.iter().for_each(|name| drop(headers.remove(*name)));
    if !kept.contains_key(HOST) {
        headers.remove(HOST); // It is made of the target.
    }
    assert_eq!(headers, kept);
}

fn sorted(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let fields = headers.iter().filter(|(name, _)| *name != HOST);
    sorted_fields(fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
}

/// By name alone: of one name, the order is kept.
fn sorted_fields(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}
