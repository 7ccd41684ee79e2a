//! What holds for all input: the cuts do not matter, nothing panics, what is encoded is decoded.

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use unary_http::h1::body::{BodyDecoder, Piece};
use unary_http::h1::chunked::{encode_chunk, encode_end};
use unary_http::h1::decode::HeadDecoder;
use unary_http::h1::encode::{
    BodyPlan, OutgoingRequest, OutgoingResponse, Persistence, TargetForm, encode_request, encode_response,
};
use unary_http::h1::head::{Framing, HeadLimits, RequestHead, ResponseHead};

use super::{Direction, Reader};

/// Whatever the cuts, the events are the same; what is said early stands.
fn check_cuts(direction: &Direction, wire: &[u8], cuts: &[Index]) -> Result<(), TestCaseError> {
    let whole = Reader::read(direction, [wire]);
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(wire.len());
    let mut reader = Reader::new(direction.clone());
    let mut start = 0;
    for cut in cuts {
        reader.feed(&wire[start..cut]);
        prop_assert!(whole.events.starts_with(&reader.events), "up to {}: {:#?}", cut, reader.events);
        start = cut;
    }
    reader.close();
    prop_assert_eq!(reader.events, whole.events);
    Ok(())
}

/// After an error a decoder may be asked again, by mistake. It answers something.
fn check_no_panic_after_an_error(wire: &[u8]) {
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let mut input = BytesMut::from(wire);
    for _ in 0..4 {
        let _ = decoder.decode_request(&mut input, &mut RequestHead::default());
        input.extend_from_slice(b"\r\n\r\n");
    }
}

fn directions() -> impl Strategy<Value = Direction> {
    select(vec![
        Direction::Requests,
        Direction::Responses(Method::GET),
        Direction::Responses(Method::HEAD),
        Direction::Responses(Method::CONNECT),
    ])
}

/// What messages and attacks are made of. Strung together at random, they get deeper than random bytes.
const FRAGMENTS: &[&str] = &[
    "GET ",
    "POST ",
    "CONNECT ",
    "OPTIONS ",
    "PRI ",
    "/",
    "*",
    "http://a/",
    "a:1",
    "/?q",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "HTTP/1.1 ",
    "HTTP/1.0 ",
    "200",
    "204",
    "304",
    "101",
    " OK",
    "\r\n",
    "\r",
    "\n",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "\"",
    "\\",
    "\0",
    "\u{e9}",
    "Host: a\r\n",
    "Host:",
    "Content-Length: 3\r\n",
    "Content-Length:",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:",
    "chunked",
    "gzip",
    "Connection: ",
    "close",
    "keep-alive",
    "upgrade",
    "Upgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "Expect:",
    "X: y\r\n",
    "X",
    "0",
    "3",
    "a",
    "abc",
    "0\r\n\r\n",
    "3\r\nabc\r\n",
    "3;x=y\r\nabc\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\n",
];

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    vec(select(FRAGMENTS), 0..24).prop_map(|fragments| fragments.concat().into_bytes())
}

fn methods() -> impl Strategy<Value = Method> {
    select(vec![
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::from_bytes(b"M-SEARCH").expect("valid"),
    ])
}

fn names() -> impl Strategy<Value = HeaderName> {
    "(x|accept|cookie|user-agent|sec-[a-z]{1,20}|[!#-'*+.^_`|~0-9a-z-]{2,40})"
        .prop_map(|name| HeaderName::from_bytes(name.as_bytes()).expect("a token"))
        .prop_filter("a field the encoder writes itself", |name| {
            let own = ["connection", "content-length", "transfer-encoding", "keep-alive", "proxy-connection"];
            let told = ["host", "date", "upgrade", "expect"];
            !own.contains(&name.as_str()) && !told.contains(&name.as_str())
        })
}

fn values() -> impl Strategy<Value = HeaderValue> {
    let inner = vec(prop_oneof![32..=126u8, 128..=255u8, Just(b'\t')], 0..60);
    inner.prop_map(|bytes| HeaderValue::from_bytes(trim(&bytes)).expect("no control bytes"))
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn fields() -> impl Strategy<Value = HeaderMap> {
    vec((names(), values()), 0..12).prop_map(HeaderMap::from_iter)
}

fn trailers() -> impl Strategy<Value = HeaderMap> {
    let names = "x-[a-z0-9]{1,5}".prop_map(|name| HeaderName::from_bytes(name.as_bytes()).expect("a token"));
    vec((names, values()), 0..4).prop_map(HeaderMap::from_iter)
}

/// A body: what is sent of it at once, and whether its length is known beforehand.
fn bodies() -> impl Strategy<Value = (Vec<Vec<u8>>, bool)> {
    (vec(vec(any::<u8>(), 0..50), 0..5), any::<bool>())
}

/// Appends the body as planned.
fn encode_body(plan: BodyPlan, pieces: &[Vec<u8>], trailers: &HeaderMap, out: &mut Vec<u8>) {
    match plan.framing {
        Framing::Empty => {}
        Framing::Length(_) | Framing::UntilClose => out.extend(pieces.concat()),
        Framing::Chunked => {
            pieces.iter().for_each(|piece| encode_chunk(piece, out));
            encode_end(trailers, out);
        }
    }
}

fn decode_body(framing: Framing, input: &mut BytesMut) -> Option<(Vec<u8>, HeaderMap)> {
    let mut decoder = BodyDecoder::new(framing);
    let mut body = Vec::new();
    loop {
        match decoder.decode(input).expect("what was encoded") {
            Some(Piece::Data(data)) => body.extend_from_slice(&data),
            Some(Piece::End(trailers)) => return Some((body, trailers)),
            None => decoder.decode_eof().ok()?,
        }
    }
}

/// The fields without those the encoder adds.
fn without_own(mut headers: HeaderMap) -> HeaderMap {
    for own in ["content-length", "transfer-encoding", "connection", "host"] {
        headers.remove(own);
    }
    headers
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(5000))]

    #[test]
    fn any_bytes_are_read_alike_however_cut(
        direction in directions(),
        wire in vec(any::<u8>(), 0..200),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        check_cuts(&direction, &wire, &cuts)?;
        check_no_panic_after_an_error(&wire);
    }

    #[test]
    fn fragments_of_messages_are_read_alike_however_cut(
        direction in directions(),
        wire in fragments(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        check_cuts(&direction, &wire, &cuts)?;
        check_no_panic_after_an_error(&wire);
    }

}

proptest! {
    #![proptest_config(cases(300))] // Making the messages takes longer than reading them.

    #[test]
    fn an_encoded_request_is_decoded(
        method in methods(),
        path in "/[a-z0-9/._~%-]{0,40}(\\?[a-z0-9=&]{0,20})?",
        sent in fields(),
        (pieces, known) in bodies(),
        trailers in trailers(),
        keep_alive in any::<bool>(),
    ) {
        let uri: Uri = format!("http://example.com:81{path}").parse().expect("a URI");
        let length = known.then(|| pieces.concat().len() as u64);
        let plan = BodyPlan::of_request(&method, length, &sent);
        let persistence = if keep_alive { Persistence::KeepAlive } else { Persistence::Close };
        let form = TargetForm::Origin;
        let request = OutgoingRequest { method: &method, uri: &uri, form, headers: &sent, body: plan, persistence };
        let mut out = Vec::new();
        encode_request(&request, &mut out);
        encode_body(plan, &pieces, &trailers, &mut out);

        let mut input = BytesMut::from(&out[..]);
        let mut head = RequestHead::default();
        prop_assert_eq!(HeadDecoder::new(HeadLimits::default()).decode_request(&mut input, &mut head), Ok(true));
        prop_assert_eq!(&head.method, &method);
        prop_assert_eq!(head.uri.to_string(), path);
        prop_assert_eq!(head.version, Version::HTTP_11);
        prop_assert_eq!(head.keep_alive, keep_alive);
        prop_assert_eq!(&head.headers["host"], "example.com:81");
        prop_assert_eq!(without_own(head.headers), sent);
        let (body, trailed) = decode_body(head.framing, &mut input).expect("a whole body");
        prop_assert_eq!(body, pieces.concat());
        if plan.framing == Framing::Chunked {
            prop_assert_eq!(trailed, trailers);
        }
        prop_assert!(input.is_empty());
    }

    #[test]
    fn an_encoded_response_is_decoded(
        method in select(vec![Method::GET, Method::HEAD, Method::POST]),
        status in 200..600u16,
        version in select(vec![Version::HTTP_10, Version::HTTP_11]),
        sent in fields(),
        (pieces, known) in bodies(),
        keep_alive in any::<bool>(),
    ) {
        let status = StatusCode::from_u16(status).expect("a status");
        let length = known.then(|| pieces.concat().len() as u64);
        let plan = BodyPlan::of_response(&method, version, status, length, &sent);
        let persistence = if keep_alive { Persistence::KeepAlive } else { Persistence::Close };
        let response = OutgoingResponse { status, headers: &sent, body: plan, version, persistence, date: None };
        let mut out = Vec::new();
        let after = encode_response(&response, &mut out);
        encode_body(plan, &pieces, &HeaderMap::new(), &mut out);

        let mut input = BytesMut::from(&out[..]);
        let mut head = ResponseHead::default();
        let decoded = HeadDecoder::new(HeadLimits::default()).decode_response(&mut input, &method, &mut head);
        prop_assert_eq!(decoded, Ok(true));
        prop_assert_eq!(head.status, status);
        prop_assert_eq!(head.framing, plan.framing);
        prop_assert_eq!(head.keep_alive, after == Persistence::KeepAlive);
        prop_assert_eq!(without_own(head.headers), sent);
        let (body, _) = decode_body(head.framing, &mut input).expect("a whole body");
        prop_assert_eq!(body, if plan.framing == Framing::Empty { Vec::new() } else { pieces.concat() });
        prop_assert!(input.is_empty());
    }
}
