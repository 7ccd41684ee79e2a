use http::StatusCode;
use proptest::prelude::*;

use super::*;
use crate::cgi::environment::{self, Client, Environment, Facts, Script, Settings};
use crate::cgi::head::{Head, HeadDecoder};

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn variables(pairs: Pairs<'_>) -> Variables {
    pairs
        .iter()
        .map(|(name, value)| (Bytes::copy_from_slice(name.as_bytes()), Bytes::copy_from_slice(value.as_bytes())))
        .collect()
}

/// A GET with these variables besides.
fn asked(pairs: Pairs<'_>) -> Result<Asked, VariableError> {
    Asked::decode(variables(&[&[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")], pairs].concat()))
}

#[track_caller]
fn check_target(pairs: Pairs<'_>, expected: Result<&str, VariableError>) {
    let asked = Asked::decode(variables(&[&[("REQUEST_METHOD", "OPTIONS")], pairs].concat()));
    assert_eq!(asked.map(|asked| asked.head.uri().to_string()), expected.map(str::to_owned), "{pairs:?}");
}

#[test]
fn the_target_is_what_the_client_wrote() {
    check_target(&[("REQUEST_URI", "/a%20b/../c?d=%2F"), ("SCRIPT_NAME", "/x")], Ok("/a%20b/../c?d=%2F"));
    check_target(&[("REQUEST_URI", "*")], Ok("*"));
    check_target(&[("REQUEST_URI", "http://a.example/b")], Ok("http://a.example/b"));
}

#[test]
fn the_target_is_put_together_where_nobody_says_it() {
    check_target(
        &[("SCRIPT_NAME", "/cgi-bin/a"), ("PATH_INFO", "/b c?%"), ("QUERY_STRING", "d=%20")],
        Ok("/cgi-bin/a/b%20c%3F%25?d=%20"),
    );
    check_target(&[("REQUEST_URI", ""), ("PATH_INFO", "/\u{e9}")], Ok("/%C3%A9"));
    check_target(&[("SCRIPT_NAME", ""), ("QUERY_STRING", "")], Ok("/"));
}

#[test]
fn refuses_a_target_that_two_would_read_differently() {
    for wrong in ["/a#b", "/a b", "a", "http://a/b#c", "//", "/\u{1}"] {
        let error = VariableError::Target(Bytes::copy_from_slice(wrong.as_bytes()));
        let expected = if wrong == "//" { Ok("//") } else { Err(error) };
        check_target(&[("REQUEST_URI", wrong)], expected);
    }
    check_target(&[("QUERY_STRING", "a b")], Err(VariableError::Target("/?a b".into())));
}

#[track_caller]
fn check_fields(pairs: Pairs<'_>, expected: Pairs<'_>) {
    let asked = asked(pairs).unwrap();
    let seen: Vec<_> =
        asked.head.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(seen, expected, "{pairs:?}");
}

#[test]
fn fields_are_variables_that_say_so() {
    check_fields(&[("HTTP_X_FORWARDED_FOR", "a, b"), ("X", "c"), ("HTTPS", "on")], &[("x-forwarded-for", "a, b")]);
    check_fields(
        &[("CONTENT_TYPE", "text/plain"), ("HTTP_CONTENT_TYPE", "text/html")],
        &[("content-type", "text/plain")],
    );
    check_fields(&[("CONTENT_TYPE", ""), ("HTTP_", "a"), ("HTTP_A\u{1}", "b")], &[]);
    check_fields(&[("HTTP_A", "1"), ("HTTP_A", "2")], &[("a", "1"), ("a", "2")]);
}

#[test]
fn leaves_out_what_is_between_client_and_host() {
    check_fields(&[("HTTP_PROXY", "http://evil.example"), ("HTTP_TRANSFER_ENCODING", "chunked")], &[]);
    check_fields(&[("HTTP_CONTENT_LENGTH", "9"), ("CONTENT_LENGTH", "7")], &[("content-length", "7")]);
}

#[test]
fn refuses_what_no_field_may_have() {
    let error = asked(&[("HTTP_A", "b\r\nc: d")]).unwrap_err();
    assert_eq!(error, VariableError::Field("HTTP_A".into()));
}

#[test]
fn fields_are_bounded() {
    let many = |count| {
        Asked::decode(
            std::iter::once(("REQUEST_METHOD".into(), "GET".into()))
                .chain((0..count).map(|number| (format!("HTTP_A{number}").into(), "".into())))
                .collect(),
        )
    };
    assert_eq!(many(FIELDS_MAX).unwrap().head.headers().len(), FIELDS_MAX);
    assert_eq!(many(FIELDS_MAX + 1).unwrap_err(), VariableError::TooManyFields(FIELDS_MAX));
}

#[test]
fn a_body_is_as_long_as_the_host_counted() {
    let check = |pairs: Pairs<'_>, expected| {
        assert_eq!(asked(pairs).map(|asked| asked.body), expected, "{pairs:?}");
    };
    check(&[], Ok(BodyLength::Empty));
    check(&[("CONTENT_LENGTH", "")], Ok(BodyLength::Empty));
    check(&[("CONTENT_LENGTH", "0")], Ok(BodyLength::Empty));
    check(&[("CONTENT_LENGTH", "12"), ("HTTP_TRANSFER_ENCODING", "chunked")], Ok(BodyLength::Bytes(12)));
    check(&[("HTTP_TRANSFER_ENCODING", "chunked")], Ok(BodyLength::Unknown));
    for wrong in ["+1", "-1", "1 ", "0x1", "99999999999999999999"] {
        check(&[("CONTENT_LENGTH", wrong)], Err(VariableError::Length(Bytes::copy_from_slice(wrong.as_bytes()))));
    }
}

#[test]
fn addresses_are_those_the_host_knows() {
    let check = |pairs, expected: Option<&str>| {
        assert_eq!(asked(pairs).unwrap().remote.map(|address| address.to_string()).as_deref(), expected, "{pairs:?}");
    };
    check(&[("REMOTE_ADDR", "192.0.2.1"), ("REMOTE_PORT", "7")], Some("192.0.2.1:7"));
    check(&[("REMOTE_ADDR", "2001:db8::1")], Some("[2001:db8::1]:0"));
    check(&[("REMOTE_ADDR", "[::1]"), ("REMOTE_PORT", "x")], Some("[::1]:0"));
    check(&[("REMOTE_ADDR", "unix:"), ("REMOTE_PORT", "7")], None);
    check(&[], None);
}

#[test]
fn the_scheme_is_that_of_the_client() {
    let check = |pairs, expected| assert_eq!(asked(pairs).unwrap().scheme, expected, "{pairs:?}");
    check(&[("HTTPS", "on")], Scheme::HTTPS);
    check(&[("HTTPS", "off"), ("REQUEST_SCHEME", "https")], Scheme::HTTP);
    check(&[("HTTPS", ""), ("REQUEST_SCHEME", "https")], Scheme::HTTPS);
    check(&[], Scheme::HTTP);
}

#[test]
fn refuses_who_is_no_host() {
    assert_eq!(Asked::decode(variables(&[])).unwrap_err(), VariableError::NoMethod);
    assert_eq!(asked(&[("REQUEST_METHOD", "G T")]).unwrap_err(), VariableError::Method("G T".into()));
}

/// What a call says, and what is left on standard input behind it.
fn said(pairs: Pairs<'_>, input: &str) -> (String, String) {
    let mut guest = CgiGuest::new(variables(&[&[("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/")], pairs].concat()));
    let (mut told, mut output) = (String::new(), BytesMut::new());
    let mut buffer = BytesMut::new();
    let mut rest = input.as_bytes();
    loop {
        match guest.decode(&mut buffer, &mut output).unwrap() {
            Some(Said::Request(asked)) => told.push_str(if asked.is_ok() { "asked " } else { "refused " }),
            Some(Said::Body(bytes)) => told.push_str(str::from_utf8(&bytes).unwrap()),
            Some(Said::End) => told.push_str(" end"),
            Some(Said::Abort | Said::Cut) => panic!("a call of CGI cannot say that"),
            None if guest.listens() && !rest.is_empty() => {
                let (piece, more) = rest.split_at(3.min(rest.len()));
                buffer.extend_from_slice(piece);
                rest = more;
            }
            None => return (told, format!("{}{}", str::from_utf8(&buffer).unwrap(), str::from_utf8(rest).unwrap())),
        }
    }
}

#[test]
fn reads_the_body_and_not_a_byte_more() {
    assert_eq!(said(&[], "not ours").1, "not ours");
    assert_eq!(said(&[("CONTENT_LENGTH", "6")], "abcdefghi"), ("asked abcdef end".into(), "ghi".into()));
    assert_eq!(said(&[("CONTENT_LENGTH", "9")], "abc"), ("asked abc".into(), String::new()));
    assert_eq!(said(&[("HTTP_TRANSFER_ENCODING", "chunked")], "abcd"), ("asked abcd".into(), String::new()));
    assert_eq!(said(&[("CONTENT_LENGTH", "x")], "abcd").0, "refused  end");
}

fn encoded(status: u16, fields: Pairs<'_>, length: Option<u64>) -> BytesMut {
    let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let mut output = BytesMut::new();
    encode_head(&ReplyHead { status: StatusCode::from_u16(status).unwrap(), headers: &headers, length }, &mut output);
    output
}

#[test]
fn a_reply_begins_with_its_status() {
    let check = |status, fields, length, expected: &str| assert_eq!(encoded(status, fields, length), expected);
    check(
        200,
        &[("content-type", "text/plain")],
        Some(3),
        "Status: 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\n",
    );
    check(599, &[("status", "200"), ("content-length", "9")], None, "Status: 599 Status\r\n\r\n");
    let hop_by_hop: Pairs<'_> =
        &[("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "x"), ("te", "x")];
    check(404, hop_by_hop, None, "Status: 404 Not Found\r\n\r\n");
}

#[test]
fn a_redirect_is_the_clients_to_follow() {
    let mut output = encoded(302, &[("location", "/elsewhere")], None);
    let head = HeadDecoder::default().decode(&mut output).unwrap();
    assert!(matches!(head, Some(Head::Reply { status: StatusCode::FOUND, .. })), "{head:?}");
}

proptest! {
    #[test]
    fn what_a_host_says_is_what_was_asked(
        method in "GET|POST|PURGE",
        target in "/([a-z/.]|%[0-9A-F]{2}){0,9}(\\?[a-z&=]{0,9})?",
        fields in prop::collection::btree_map("x-[a-z]{1,5}", "[!-~]([ -~]{0,9}[!-~])?", 0..9),
        version in prop::sample::select(vec![Version::HTTP_10, Version::HTTP_11, Version::HTTP_2]),
        length in prop::option::of(1u64..1 << 62),
        secure: bool,
        client: SocketAddr,
    ) {
        let mut request = Request::builder().method(method.as_str()).uri(&target).version(version);
        for (name, value) in &fields {
            request = request.header(name, value);
        }
        if let Some(length) = length {
            request = request.header("content-length", length).header("content-type", "text/plain");
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let told = if secure { environment::Scheme::Https } else { environment::Scheme::Http };
        let facts = Facts { client: Client::Address(client), scheme: told, ..Facts::default() };
        let environment = Environment::of(&parts, &facts, &Script::default(), length, &Settings::default());
        let pairs = environment.iter().map(|(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value)));
        let asked = Asked::decode(pairs.collect()).unwrap();
        let head = asked.head.into_parts().0;
        prop_assert_eq!((head.method, head.uri, head.version, head.headers), (parts.method, parts.uri, parts.version, parts.headers));
        prop_assert_eq!(asked.body, length.map_or(BodyLength::Empty, BodyLength::Bytes));
        prop_assert_eq!(asked.scheme == Scheme::HTTPS, secure);
        let expected = SocketAddr::new(client.ip().to_canonical(), client.port());
        prop_assert_eq!(asked.remote, Some(expected));
    }

    #[test]
    fn what_is_encoded_a_host_decodes(
        status in 200u16..600,
        fields in prop::collection::vec(("x-[a-z]{1,5}", "[!-~][ -~]{0,9}[!-~]"), 0..9),
        length in prop::option::of(0u64..1 << 62),
    ) {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut output = encoded(status, &pairs, length);
        output.extend_from_slice(b"body");
        let head = HeadDecoder::default().decode(&mut output).unwrap();
        let Some(Head::Reply { status: seen, headers }) = head else { panic!("no reply: {head:?}") };
        let mut expected: HeaderMap = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        if let Some(length) = length {
            expected.insert(header::CONTENT_LENGTH, length.into());
        }
        prop_assert_eq!((seen.as_u16(), headers), (status, expected));
        prop_assert_eq!(&output[..], b"body");
    }

    #[test]
    fn no_variables_panic(pairs in prop::collection::vec(("(HTTP_|REQUEST_|CONTENT_|REMOTE_|)[A-Z_]{0,6}", any::<Vec<u8>>()), 0..9)) {
        let variables = pairs.into_iter().map(|(name, value)| (Bytes::from(name), Bytes::from(value)));
        let method = (Bytes::from_static(b"REQUEST_METHOD"), Bytes::from_static(b"GET"));
        let _ = Asked::decode(std::iter::once(method).chain(variables).collect());
    }
}
