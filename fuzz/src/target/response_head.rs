//! Heads of responses.

use bytes::BytesMut;
use http::{Method, Version};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::encode::{Announced, BodyPlan, OutgoingResponse, Persistence, encode_response};
use unary_http::h1::error::DecodeError;
use unary_http::h1::head::{Framing, HeadLimits, ResponseHead};

use super::head::{ENCODERS_OWN, TIGHT};
use super::{Shape, ways_to_cut};

/// Decodes `data` as heads of responses to one method, one right after the other.
pub fn response_head(data: &[u8]) -> Shape {
    let mut shapes = Vec::new();
    for method in [Method::GET, Method::HEAD, Method::CONNECT] {
        for limits in [HeadLimits::default(), TIGHT] {
            let (heads, error) = decode(limits, &method, &[data]);
            let whole = (format!("{heads:?}"), &error);
            for pieces in ways_to_cut(data) {
                let (heads, error) = decode(limits, &method, &pieces);
                assert_eq!((format!("{heads:?}"), &error), whole);
            }
            assert!(heads.iter().all(|head| head.headers.len() <= limits.headers_max));
            shapes.push((heads.len().min(4), error.map(|error| std::mem::discriminant(error.reason()))));
            heads.iter().for_each(|head| comes_back(head, &method));
        }
    }
    Shape::of(shapes)
}

fn decode(limits: HeadLimits, method: &Method, pieces: &[&[u8]]) -> (Vec<ResponseHead>, Option<DecodeError>) {
    let mut decoder = HeadDecoder::new(limits);
    let mut input = BytesMut::new();
    let mut heads = Vec::new();
    let mut head = ResponseHead::default();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode_response(&mut input, method, &mut head) {
                Ok(true) => heads.push(head.clone()),
                Ok(false) => break,
                Err(error) => return (heads, Some(error)),
            }
        }
        assert!(input.len() < limits.head_bytes_max, "it waits for more than the limit allows");
    }
    (heads, None)
}

/// What is encoded decodes to the same.
fn comes_back(head: &ResponseHead, method: &Method) {
    let mut kept = head.headers.clone();
    ENCODERS_OWN.iter().for_each(|name| drop(kept.remove(*name)));
    let announced = match head.framing {
        Framing::Empty if has_no_body(head, method) => Announced::Nothing,
        Framing::Empty => Announced::Length(0),
        Framing::Length(length) => Announced::Length(length),
        Framing::Chunked => Announced::Chunked,
        Framing::UntilClose => Announced::Nothing,
    };
    let mut wire = Vec::new();
    encode_response(
        &OutgoingResponse {
            status: head.status,
            headers: &kept,
            body: BodyPlan { announced, framing: head.framing },
            version: Version::HTTP_11,
            persistence: if head.keep_alive { Persistence::KeepAlive } else { Persistence::Close },
            date: None,
        },
        &mut wire,
    );
    let limits = HeadLimits { head_bytes_max: 1 << 20, headers_max: 1000, ..HeadLimits::default() };
    let (again, error) = decode(limits, method, &[&wire]);
    let [again] = &again[..] else { panic!("{head:?} came back as {again:?}, {error:?}: {}", wire.escape_ascii()) };
    assert_eq!((again.status, again.framing, again.keep_alive), (head.status, head.framing, head.keep_alive));
    assert!(again.upgrade || !head.upgrade);
    let mut headers = again.headers.clone();
    ENCODERS_OWN.iter().for_each(|name| drop(headers.remove(*name)));
    assert_eq!(headers, kept);
}

/// RFC 9112 §6.3: whatever its fields say.
fn has_no_body(head: &ResponseHead, method: &Method) -> bool {
    let status = head.status;
    *method == Method::HEAD
        || status.is_informational()
        || [204, 304].contains(&status.as_u16())
        || (*method == Method::CONNECT && status.is_success())
}
