use unary_testkit::cuts;

use super::*;

/// What pieces say, in words, until they end or make no sense.
fn said(pieces: &[&[u8]]) -> String {
    let (mut guest, mut input, mut output) = (ScgiGuest::new(), BytesMut::new(), BytesMut::new());
    let mut told = String::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match guest.decode(&mut input, &mut output) {
                Ok(Some(Said::Request(Ok(asked)))) => {
                    told.push_str(&format!("{} {} {:?} ", asked.head.method(), asked.head.uri(), asked.body));
                }
                Ok(Some(Said::Request(Err(error)))) => told.push_str(&format!("({error}) ")),
                Ok(Some(Said::Body(bytes))) => told.push_str(str::from_utf8(&bytes).unwrap()),
                Ok(Some(Said::End)) => told.push_str(" end"),
                Ok(Some(Said::Abort | Said::Cut)) => panic!("the wire cannot say that"),
                Ok(None) => break,
                Err(error) => return format!("{told}{error}"),
            }
        }
    }
    assert!(output.is_empty(), "the wire has no words of its own");
    told
}

#[track_caller]
fn check(wire: &str, expected: &str) {
    assert_eq!(said(&[wire.as_bytes()]), expected);
    for pieces in cuts(wire.as_bytes()) {
        assert_eq!(said(&pieces), expected, "{pieces:?}");
    }
}

const POST: &str = "70:CONTENT_LENGTH\x0027\0SCGI\x001\0REQUEST_METHOD\0POST\0REQUEST_URI\0/deepthought\0,";

#[test]
fn reads_the_example_of_the_protocol() {
    let body = "What is the answer to life?";
    check(&format!("{POST}{body}"), &format!("POST /deepthought Bytes(27) {body} end"));
    check(&format!("{POST}{body}\r\nand more"), &format!("POST /deepthought Bytes(27) {body} end"));
    check(&format!("{POST}What"), "POST /deepthought Bytes(27) What");
}

#[test]
fn a_request_without_a_body_is_whole_with_its_head() {
    let wire = "60:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0/a?b\0,";
    check(wire, "GET /a?b Empty  end");
}

#[test]
fn tells_a_request_that_is_none_from_what_is_no_wire() {
    check("24:CONTENT_LENGTH\x000\0SCGI\x001\0,", "(there is no REQUEST_METHOD)  end");
    check("GET / HTTP/1.1\r\n", "invalid while reading SCGI: byte 0 is 'G', where a length in digits and a colon are");
}
