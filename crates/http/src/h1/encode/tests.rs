use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};

use super::*;

const NOON: &Date = b"Sun, 06 Nov 1994 12:00:00 GMT";

fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers
}

/// A response to a `GET` with a body of known length, on a connection that is to go on.
#[track_caller]
fn check(status: u16, fields: &[(HeaderName, &'static str)], version: Version, length: Option<u64>, expected: &str) {
    let (status, headers) = (StatusCode::from_u16(status).expect("a status"), headers(fields));
    let body = BodyPlan::of_response(&Method::GET, version, status, length, &headers);
    let persistence = Persistence::KeepAlive;
    let response = OutgoingResponse { status, headers: &headers, body, version, persistence, date: Some(NOON) };
    let mut out = b"before ".to_vec();
    let after = encode_response(&response, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("before {expected}\r\n"));
    assert_eq!(after == Persistence::Close, expected.contains("connection: close"));
}

#[test]
fn a_response_has_its_length_and_date() {
    check(
        200,
        &[(CONTENT_TYPE, "text/plain"), (SET_COOKIE, "a"), (SET_COOKIE, "b")],
        Version::HTTP_11,
        Some(13),
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a\r\nset-cookie: b\r\n\
         content-length: 13\r\ndate: Sun, 06 Nov 1994 12:00:00 GMT\r\n",
    );
    check(
        404,
        &[(DATE, "Mon, 07 Nov 1994 12:00:00 GMT")],
        Version::HTTP_11,
        Some(0),
        "HTTP/1.1 404 Not Found\r\ndate: Mon, 07 Nov 1994 12:00:00 GMT\r\ncontent-length: 0\r\n",
    );
}

#[test]
fn a_status_without_a_name_keeps_its_space() {
    let date = "date: Sun, 06 Nov 1994 12:00:00 GMT\r\n";
    check(799, &[], Version::HTTP_11, Some(0), &format!("HTTP/1.1 799 \r\ncontent-length: 0\r\n{date}"));
}

#[test]
fn a_service_does_not_frame_the_message() {
    let date = "date: Sun, 06 Nov 1994 12:00:00 GMT\r\n";
    let fields = [(CONTENT_LENGTH, "5"), (TRANSFER_ENCODING, "gzip"), (HeaderName::from_static("keep-alive"), "a")];
    check(200, &fields, Version::HTTP_11, Some(7), &format!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n{date}"));
    check(200, &fields, Version::HTTP_11, None, &format!("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n{date}"));
    let fields = [(CONTENT_LENGTH, "many"), (CONNECTION, "upgrade, x")];
    let expected = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{date}");
    check(200, &fields, Version::HTTP_11, None, &expected);
}

#[test]
fn connections_close_when_they_have_to() {
    let start = "HTTP/1.1 200 OK\r\n";
    let date = "date: Sun, 06 Nov 1994 12:00:00 GMT\r\n";
    let close = [(CONNECTION, "x, Close ")];
    let expected = format!("{start}content-length: 1\r\n{date}connection: close\r\n");
    check(200, &close, Version::HTTP_11, Some(1), &expected);
    check(200, &close, Version::HTTP_10, Some(1), &expected);
    check(200, &[], Version::HTTP_10, None, &format!("{start}{date}connection: close\r\n"));
    let expected = format!("{start}content-length: 1\r\n{date}connection: keep-alive\r\n");
    check(200, &[], Version::HTTP_10, Some(1), &expected);
}

#[test]
fn an_upgrade_is_confirmed() {
    let date = "date: Sun, 06 Nov 1994 12:00:00 GMT\r\n";
    let expected = format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n{date}connection: upgrade\r\n");
    check(101, &[(UPGRADE, "x")], Version::HTTP_11, Some(0), &expected);
}

#[test]
fn an_interim_response_is_its_fields() {
    let mut out = Vec::new();
    encode_interim(StatusCode::CONTINUE, &HeaderMap::new(), &mut out);
    encode_interim(StatusCode::EARLY_HINTS, &headers(&[(CONTENT_LENGTH, "5"), (UPGRADE, "x")]), &mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nupgrade: x\r\n\r\n");
}

/// A request without a body.
#[track_caller]
fn check_request(
    method: Method,
    uri: &'static str,
    form: TargetForm,
    fields: &[(HeaderName, &'static str)],
    expected: &str,
) {
    let (uri, headers) = (Uri::from_static(uri), headers(fields));
    let body = BodyPlan::of_request(&method, Some(0), &headers);
    let persistence = Persistence::KeepAlive;
    let request = OutgoingRequest { method: &method, uri: &uri, form, headers: &headers, body, persistence };
    let mut out = Vec::new();
    let after = encode_request(&request, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), format!("{expected}\r\n"));
    assert_eq!(after == Persistence::Close, expected.contains("connection: close"));
}

#[test]
fn a_request_names_its_target_and_host() {
    use TargetForm::{Absolute, Origin};
    let uri = "http://me:secret@example.com:81/a?b";
    check_request(Method::GET, uri, Origin, &[], "GET /a?b HTTP/1.1\r\nhost: example.com:81\r\n");
    let absolute = "GET http://example.com:81/a?b HTTP/1.1\r\nhost: example.com:81\r\n";
    check_request(Method::GET, uri, Absolute, &[], absolute);
    check_request(Method::CONNECT, "a:443", Absolute, &[], "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n");
    check_request(Method::OPTIONS, "*", Absolute, &[(HOST, "a")], "OPTIONS * HTTP/1.1\r\nhost: a\r\n");
    check_request(Method::GET, "http://a", Origin, &[(HOST, "b")], "GET / HTTP/1.1\r\nhost: b\r\n");
    check_request(Method::GET, "http://a?b", Origin, &[], "GET /?b HTTP/1.1\r\nhost: a\r\n");
}

#[test]
fn a_request_that_has_a_body_by_its_method_says_that_it_is_empty() {
    let expected = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n";
    check_request(Method::POST, "http://a", TargetForm::Origin, &[], expected);
    let expected = "DELETE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    check_request(Method::DELETE, "http://a", TargetForm::Origin, &[(CONNECTION, "close")], expected);
}

#[test]
fn bodies_are_framed_as_request_and_status_allow() {
    use Announced::{Chunked, Length, Nothing};
    #[track_caller]
    fn check(
        request: (Method, Version),
        status: u16,
        length: Option<u64>,
        declared: Option<&'static str>,
        expected: (Announced, Framing),
    ) {
        let fields: Vec<_> = declared.map(|declared| (CONTENT_LENGTH, declared)).into_iter().collect();
        let status = StatusCode::from_u16(status).expect("a status");
        let plan = BodyPlan::of_response(&request.0, request.1, status, length, &headers(&fields));
        assert_eq!((plan.announced, plan.framing), expected);
    }
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    let (get, head, connect) = (|| Method::GET, || Method::HEAD, || Method::CONNECT);

    check((get(), new), 200, Some(5), None, (Length(5), Framing::Length(5)));
    check((get(), new), 200, Some(5), Some("6"), (Length(5), Framing::Length(5)));
    check((get(), new), 200, Some(0), Some("6"), (Length(0), Framing::Empty));
    check((get(), new), 200, None, Some("6"), (Length(6), Framing::Length(6)));
    check((get(), new), 200, None, None, (Chunked, Framing::Chunked));
    check((get(), old), 200, Some(5), None, (Length(5), Framing::Length(5)));
    check((get(), old), 200, None, None, (Nothing, Framing::UntilClose));

    check((head(), new), 200, Some(5), None, (Length(5), Framing::Empty));
    check((head(), new), 200, Some(0), Some("6"), (Length(6), Framing::Empty));
    check((head(), new), 200, Some(0), None, (Nothing, Framing::Empty));
    check((head(), old), 200, None, None, (Nothing, Framing::Empty));

    check((get(), new), 304, Some(0), Some("6"), (Length(6), Framing::Empty));
    check((get(), new), 304, Some(0), None, (Nothing, Framing::Empty));
    check((get(), new), 204, Some(5), Some("5"), (Nothing, Framing::Empty));
    check((get(), new), 205, Some(5), None, (Length(0), Framing::Empty));
    check((get(), new), 101, Some(5), Some("5"), (Nothing, Framing::Empty));
    check((connect(), new), 200, Some(5), Some("5"), (Nothing, Framing::Empty));
    check((connect(), new), 403, Some(5), None, (Length(5), Framing::Length(5)));
}
