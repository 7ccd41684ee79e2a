//! Limits at their exact bounds, and what the fixtures in `tests/h1` cannot show.

use super::*;

/// The verdict on one head, which must not depend on how the bytes are cut.
#[track_caller]
fn decode(limits: HeadLimits, wire: &[u8]) -> Result<bool, DecodeError> {
    let mut head = RequestHead::default();
    let whole = HeadDecoder::new(limits).decode_request(&mut BytesMut::from(wire), &mut head);
    let (mut decoder, mut input) = (HeadDecoder::new(limits), BytesMut::new());
    for &byte in wire {
        input.extend_from_slice(&[byte]);
        let early = decoder.decode_request(&mut input, &mut head);
        if early != Ok(false) {
            assert_eq!(early, whole, "a byte at a time");
            return whole;
        }
    }
    assert_eq!(whole, Ok(false), "decided only as a whole");
    whole
}

/// `wire` is within the limits; a byte more, put at `grow`, is refused.
#[track_caller]
fn check_bound(limits: HeadLimits, wire: &str, grow: usize, expected: Reason) {
    assert_eq!(decode(limits, wire.as_bytes()), Ok(true));
    let mut longer = wire.to_owned();
    longer.insert(grow, 'a');
    let refused = decode(limits, longer.as_bytes()).expect_err("beyond the limit");
    assert_eq!(refused.reason(), &expected);
}

#[test]
fn a_head_may_be_as_long_as_the_limit() {
    let wire = "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
    let limits = HeadLimits { head_bytes_max: wire.len(), ..HeadLimits::default() };
    check_bound(limits, wire, wire.len() - 5, Reason::HeadTooLong(wire.len()));
    check_bound(limits, wire, 5, Reason::HeadTooLong(wire.len()));
}

#[test]
fn a_target_may_be_as_long_as_the_limit() {
    let limits = HeadLimits { target_bytes_max: 9, ..HeadLimits::default() };
    check_bound(limits, "GET /23456789 HTTP/1.1\r\nHost: a\r\n\r\n", 12, Reason::TargetTooLong(9));
    check_bound(limits, "POST /23456789 HTTP/1.0\r\nHost: a\r\n\r\n", 12, Reason::TargetTooLong(9));
}

#[test]
fn a_method_may_be_as_long_as_the_limit() {
    let wire = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(start_line::METHOD_BYTES_MAX));
    check_bound(HeadLimits::default(), &wire, 2, Reason::MethodTooLong(start_line::METHOD_BYTES_MAX));
}

#[test]
fn there_may_be_as_many_fields_as_the_limit() {
    let limits = HeadLimits { headers_max: 2, ..HeadLimits::default() };
    assert_eq!(decode(limits, b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n"), Ok(true));
    let refused = decode(limits, b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nY: c\r\n").expect_err("a field too many");
    assert_eq!(refused.reason(), &Reason::TooManyFields(2));
}

#[test]
fn an_unfinished_line_is_refused_for_the_part_that_is_too_long() {
    #[track_caller]
    fn check(head_bytes_max: usize, target_bytes_max: usize, line: &str, expected: Reason) {
        let limits = HeadLimits { head_bytes_max, target_bytes_max, headers_max: 9 };
        assert_eq!(decode(limits, line.as_bytes()).expect_err("too long").reason(), &expected);
    }
    let endless = "x".repeat(200);
    check(100, 20, &format!("GET /{endless}"), Reason::TargetTooLong(20));
    check(100, 100, &format!("GET /{endless}"), Reason::HeadTooLong(100));
    check(20, 5, &endless, Reason::HeadTooLong(20));
    check(100, 20, &endless, Reason::MethodTooLong(start_line::METHOD_BYTES_MAX));
    check(100, 50, &format!("GET / {endless}"), Reason::InvalidVersion("x".repeat(90).into()));
    check(30, 50, &format!("GET / {endless}"), Reason::HeadTooLong(30));
    check(0, 0, "G", Reason::HeadTooLong(0));
}

#[test]
fn values_and_targets_are_slices_of_what_was_read() {
    let mut input = BytesMut::from("GET /a/b HTTP/1.1\r\nHost: example.com\r\nX-Own: value\r\n\r\n");
    let read = input.as_ptr_range();
    let mut head = RequestHead::default();
    assert_eq!(HeadDecoder::new(HeadLimits::default()).decode_request(&mut input, &mut head), Ok(true));
    let slices = [head.uri.path().as_bytes(), head.headers[HOST].as_bytes(), head.headers["x-own"].as_bytes()];
    for slice in slices {
        assert!(read.contains(&slice.as_ptr()), "{slice:?} was copied");
    }
}

#[test]
fn the_memory_of_a_header_map_is_used_again() {
    let mut head = RequestHead { headers: HeaderMap::with_capacity(200), ..RequestHead::default() };
    head.headers.insert("x-left", HeaderValue::from_static("over"));
    let capacity = head.headers.capacity();
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let mut input = BytesMut::from("GET / HTTP/1.1\r\nHost");
    assert_eq!(decoder.decode_request(&mut input, &mut head), Ok(false));
    assert_eq!(head.headers["x-left"], "over");
    input.extend_from_slice(b": a\r\n\r\n");
    assert_eq!(decoder.decode_request(&mut input, &mut head), Ok(true));
    assert_eq!((head.headers.len(), head.headers.capacity()), (1, capacity));
}

#[test]
fn a_head_decoded_into_leaves_nothing_of_the_one_before() {
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let mut head = RequestHead::default();
    let mut input = BytesMut::from(
        "PUT /a HTTP/1.0\r\nHost: a\r\nX: y\r\nContent-Length: 1\r\n\r\n\
         POST / HTTP/1.1\r\nHost: b\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
         GET / HTTP/1.1\r\nHost: c\r\nConnection: close\r\n\r\nGET",
    );
    let mut seen = Vec::new();
    while decoder.decode_request(&mut input, &mut head).expect("valid") {
        seen.push(format!(
            "{} {} {} {:?} {} {}",
            head.method,
            head.uri,
            head.headers.len(),
            head.framing,
            head.keep_alive,
            head.expect_continue
        ));
    }
    assert_eq!(seen, ["PUT /a 3 Length(1) false false", "POST / 3 Chunked true true", "GET / 2 Empty false false"]);
    assert!(decoder.is_amid_head());
}

#[test]
fn what_opens_http2_is_left_to_whoever_speaks_it() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut input = BytesMut::from(preface);
    let mut decoder = HeadDecoder::new(HeadLimits::default());
    let refused = decoder.decode_request(&mut input, &mut RequestHead::default()).expect_err("not HTTP/1.1");
    assert_eq!((refused.reason(), &input[..]), (&Reason::Http2Preface, preface.as_bytes()));
}
