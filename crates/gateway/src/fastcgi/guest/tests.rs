use http::{HeaderMap, StatusCode};
use unary_testkit::cuts;

use super::*;
use crate::fastcgi::host::{self, Reply, put_abort, put_body, put_body_end, put_request};

type Pairs<'a> = &'a [(&'a str, &'a str)];

const GET: Pairs<'_> = &[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a?b"), ("CONTENT_LENGTH", "")];

fn post(length: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/"), ("CONTENT_LENGTH", length)]
}

/// A request's beginning as a host writes it.
fn request(role: Role, then: Then, pairs: Pairs<'_>) -> BytesMut {
    let mut wire = BytesMut::new();
    put_request(role, then, pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())), &mut wire);
    wire
}

/// What pieces say, in words, until they end or make no sense; and what the wire answers by itself.
fn said<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, BytesMut) {
    let (mut guest, mut input, mut output) = (FastcgiGuest::new(99), BytesMut::new(), BytesMut::new());
    let mut told = String::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match guest.decode(&mut input, &mut output) {
                Ok(Some(Said::Request(Ok(asked)))) => {
                    told.push_str(&format!("{} {} {:?}", asked.head.method(), asked.head.uri(), asked.body));
                }
                Ok(Some(Said::Request(Err(error)))) => told.push_str(&format!("({error})")),
                Ok(Some(Said::Body(bytes))) => told.push_str(&format!(" {}", str::from_utf8(&bytes).unwrap())),
                Ok(Some(Said::End)) => told.push_str(" end"),
                Ok(Some(Said::Cut)) => told.push_str(" cut"),
                Ok(Some(Said::Abort)) => told.push_str(" abort"),
                Ok(None) => break,
                Err(error) => return (format!("{told} {error}"), output),
            }
        }
    }
    (told, output)
}

/// The verdict must not depend on how the network cut the bytes.
#[track_caller]
fn check(wire: &[u8], expected: &str, answered: &[Record]) {
    let mut answers = BytesMut::new();
    answered.iter().for_each(|record| record.encode(&mut answers));
    assert_eq!(said([wire]), (expected.to_owned(), answers.clone()));
    for pieces in cuts(wire) {
        assert_eq!(said(pieces), (expected.to_owned(), answers.clone()), "{pieces:?}");
    }
}

#[test]
fn reads_what_a_host_writes() {
    let mut wire = request(Role::Responder, Then::Close, GET);
    put_body_end(&mut wire);
    check(&wire, "GET /a?b Unknown end", &[]);
    let mut wire = request(Role::Responder, Then::Keep, &post("6"));
    put_body(b"abc", &mut wire);
    put_body(b"def", &mut wire);
    put_body_end(&mut wire);
    check(&wire, "POST / Bytes(6) abc def end", &[]);
}

#[test]
fn a_body_is_as_long_as_was_said() {
    let body = |length, content: &[u8]| {
        let mut wire = request(Role::Responder, Then::Close, &post(length));
        put_body(content, &mut wire);
        put_body_end(&mut wire);
        wire
    };
    check(&body("3", b"abcdef"), "POST / Bytes(3) abc end", &[]);
    check(&body("9", b"abcdef"), "POST / Bytes(9) abcdef cut", &[]);
    check(&body("0", b"abcdef"), "POST / Empty end", &[]);
    check(&body("", b"abcdef"), "POST / Unknown abcdef end", &[]);
}

#[test]
fn an_authorizer_has_no_body() {
    let mut wire = request(Role::Authorizer, Then::Close, &post("6"));
    put_body(b"abcdef", &mut wire);
    check(&wire, "POST / Empty end", &[]);
}

#[test]
fn what_the_client_no_longer_waits_for_is_aborted() {
    let mut wire = request(Role::Responder, Then::Keep, GET);
    put_abort(&mut wire);
    check(&wire, "GET /a?b Unknown abort", &[]);
}

#[test]
fn questions_are_answered_as_far_as_they_are_known() {
    let ask =
        |names: &[&'static str]| names.iter().map(|name| (Bytes::from_static(name.as_bytes()), Bytes::new())).collect();
    let mut wire = BytesMut::new();
    host::put_question(&mut wire);
    Record::GetValues(ask(&["FCGI_COLOUR"])).encode(&mut wire);
    Record::Other { kind: 99, request: 0, content: "x".into() }.encode(&mut wire);
    Record::Other { kind: 99, request: 7, content: "x".into() }.encode(&mut wire);
    let value = |name: &'static str, value: &'static str| {
        (Bytes::from_static(name.as_bytes()), Bytes::from_static(value.as_bytes()))
    };
    let known = vec![value("FCGI_MAX_CONNS", "99"), value("FCGI_MAX_REQS", "99"), value("FCGI_MPXS_CONNS", "0")];
    let answers = [Record::GetValuesResult(known), Record::GetValuesResult(vec![]), Record::UnknownType(99)];
    check(&wire, "", &answers);
}

#[test]
fn one_request_at_a_time_is_taken() {
    let mut wire = request(Role::Responder, Then::Keep, GET);
    Record::Begin { request: 2, role: Role::Responder, then: Then::Keep }.encode(&mut wire);
    Record::Stream { request: 2, stream: Stream::Stdin, content: "x".into() }.encode(&mut wire);
    put_body_end(&mut wire);
    check(
        &wire,
        "GET /a?b Unknown end",
        &[Record::End { request: 2, exit_status: 0, outcome: Outcome::CannotMultiplex }],
    );
}

#[test]
fn other_roles_are_refused() {
    let filter = Record::End { request: 1, exit_status: 0, outcome: Outcome::UnknownRole };
    check(&request(Role::Filter, Then::Keep, GET), "", &[filter]);
}

#[test]
fn refuses_what_no_host_says() {
    let wire_of = |record: Record| {
        let mut wire = BytesMut::new();
        record.encode(&mut wire);
        wire
    };
    let said_of = |record| said([&wire_of(record)[..]]).0;
    let told = " invalid while reading FastCGI: a host sends what only programs send";
    assert_eq!(said_of(Record::UnknownType(9)), told);
    assert_eq!(said_of(Record::Stream { request: 1, stream: Stream::Stdout, content: "x".into() }), told);
    let twice = [request(Role::Responder, Then::Keep, GET), request(Role::Responder, Then::Keep, GET)].concat();
    check(&twice, "GET /a?b Unknown invalid while reading FastCGI: request 1 begins twice", &[]);
    assert!(said([&b"GET / HTTP/1.1\r\n"[..]]).0.contains("where the version, 1, is"));
}

#[test]
fn a_host_that_reads_no_answers_is_given_up() {
    let mut question = BytesMut::new();
    host::put_question(&mut question);
    let questions = question.repeat(10_000);
    let (told, answers) = said([&questions[..]]);
    assert!(told.contains("too large while reading FastCGI"), "{told}");
    assert!(answers.len() < ANSWERS_BYTES_MAX + 1024);
}

/// A guest that has heard a whole request.
fn asked(then: Then) -> FastcgiGuest {
    let (mut guest, mut wire) = (FastcgiGuest::new(1), request(Role::Responder, then, GET));
    put_body_end(&mut wire);
    while guest.decode(&mut wire, &mut BytesMut::new()).unwrap().is_some() {}
    guest
}

/// What a host reads of it.
fn heard(mut wire: BytesMut) -> (String, String, Option<u32>) {
    let (mut reply, mut output, mut log) = (Reply::default(), String::new(), String::new());
    while let Some(said) = reply.decode(&mut wire).unwrap() {
        match said {
            host::Said::Output(bytes) => output.push_str(str::from_utf8(&bytes).unwrap()),
            host::Said::Log(bytes) => log.push_str(str::from_utf8(&bytes).unwrap()),
            host::Said::End { exit_status } => return (output, log, Some(exit_status)),
        }
    }
    (output, log, None)
}

#[test]
fn a_host_reads_what_is_answered() {
    for then in [Then::Keep, Then::Close] {
        let (mut guest, mut output) = (asked(then), BytesMut::new());
        let long = "0123456789".repeat(20_000);
        guest.head(&ReplyHead { status: StatusCode::OK, headers: &HeaderMap::new(), length: None }, &mut output);
        guest.body(long.as_bytes(), &mut output);
        assert!(guest.log("it went well", &mut output));
        let next = guest.end(&mut output);
        assert_eq!(next, if then == Then::Keep { Next::Request } else { Next::End });
        assert_eq!(heard(output), (format!("Status: 200 OK\r\n\r\n{long}"), "it went well\n".into(), Some(0)));
    }
}

#[test]
fn what_is_aborted_is_ended() {
    let (mut guest, mut output) = (asked(Then::Keep), BytesMut::new());
    assert_eq!(guest.abort(&mut output), Next::Request);
    assert_eq!(heard(output), (String::new(), String::new(), Some(1)));
    // And the next one may come, with what was left of the body before it.
    let mut wire = BytesMut::new();
    put_body(b"late", &mut wire);
    wire.extend_from_slice(&request(Role::Responder, Then::Keep, GET));
    let said = guest.decode(&mut wire, &mut BytesMut::new()).unwrap();
    assert!(matches!(said, Some(Said::Request(Ok(_)))), "{said:?}");
}
