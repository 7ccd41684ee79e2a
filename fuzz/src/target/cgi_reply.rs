//! What a CGI program writes.

use bytes::BytesMut;
use http::Method;
use unary_gateway::cgi::head::{Head, HeadError, HeadLimits};
use unary_gateway::cgi::reply::{Part, ReplyDecoder};

use super::{Shape, ways_to_cut};

/// Limits that inputs reach.
const TIGHT: HeadLimits = HeadLimits { head_bytes_max: 60, fields_max: 2 };

/// Decodes `data` as the answer to a GET and to a HEAD.
pub fn cgi_reply(data: &[u8]) -> Shape {
    let mut shapes = Vec::new();
    for method in [Method::GET, Method::HEAD] {
        for limits in [HeadLimits::default(), TIGHT] {
            let whole = decode(limits, &method, &[data]);
            for pieces in ways_to_cut(data) {
                assert_eq!(decode(limits, &method, &pieces), whole);
            }
            let (head, body, end) = whole;
            assert!(body.is_empty() || (head.is_some() && method == Method::GET));
            if let Some(Head::Reply { headers, .. }) = &head {
                assert!(headers.len() <= limits.fields_max);
                assert!(!headers.contains_key("transfer-encoding") && !headers.contains_key("connection"));
            }
            let kind = end.err().map(|error| std::mem::discriminant(&error.reason));
            shapes.push((head.map(|head| std::mem::discriminant(&head)), body.is_empty(), kind));
        }
    }
    Shape::of(shapes)
}

type Answer = (Option<Head>, Vec<u8>, Result<(), HeadError>);

fn decode(limits: HeadLimits, method: &Method, pieces: &[&[u8]]) -> Answer {
    let mut decoder = ReplyDecoder::new(limits, method);
    let (mut output, mut head, mut body) = (BytesMut::new(), None, Vec::new());
    for piece in pieces {
        output.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut output) {
                Ok(Some(Part::Head(first))) => {
                    assert!(head.is_none(), "a second head");
                    head = Some(first);
                }
                Ok(Some(Part::Body(bytes))) => body.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(error) => return (head, body, Err(error)),
            }
        }
        assert!(output.len() < limits.head_bytes_max, "it waits for more than the limit allows");
    }
    let end = decoder.decode_eof(&output);
    (head, body, end)
}
