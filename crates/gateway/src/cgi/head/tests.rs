use super::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

/// The verdict must not depend on how the pipe cut the output.
#[track_caller]
fn check(output: &str, expected: Result<(u16, Fields<'_>, &str), Reason>) {
    let decode = |pieces: &[&str]| {
        let (mut decoder, mut buffer) = (HeadDecoder::default(), BytesMut::new());
        for piece in pieces {
            buffer.extend_from_slice(piece.as_bytes());
            if let Some(head) = decoder.decode(&mut buffer).transpose() {
                return head.map(|head| (head, buffer)).map_err(|error| error.reason);
            }
        }
        decoder.decode_eof(&mut buffer).map(|head| (head, buffer)).map_err(|error| error.reason)
    };
    match (decode(&[output]), expected) {
        (Ok((Head::Reply { status, headers }, body)), Ok((code, fields, rest))) => {
            let seen: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            assert_eq!((status.as_u16(), &seen[..], &body[..]), (code, fields, rest.as_bytes()), "{output:?}");
        }
        (Ok((Head::LocalRedirect(path), _)), Ok((0, [], expected))) => assert_eq!(path, expected, "{output:?}"),
        (Err(seen), Err(reason)) => assert_eq!(seen, reason, "{output:?}"),
        (seen, expected) => panic!("{output:?}: {seen:?} is not {expected:?}"),
    }
    for cut in (0..output.len()).step_by(output.len() / 500 + 1) {
        let (whole, halves) = (decode(&[output]), decode(&[&output[..cut], &output[cut..]]));
        assert_eq!(whole.map(|(head, _)| head), halves.map(|(head, _)| head), "cut at byte {cut}");
    }
}

#[test]
fn reads_documents_with_either_end_of_line() {
    let fields: Fields<'_> = &[("content-type", "text/plain")];
    check("Content-Type: text/plain\n\nbody", Ok((200, fields, "body")));
    check("content-type:text/plain\r\n\r\nbody\n\n", Ok((200, fields, "body\n\n")));
    check("Status: 404 Not Found\nContent-Type: text/plain\n\n", Ok((404, fields, "")));
    check("Status: 599\nContent-Type: text/plain\n\n", Ok((599, fields, "")));
}

#[test]
fn a_location_redirects_the_client_or_within() {
    check("Location: /elsewhere?x\n\n", Ok((0, &[], "/elsewhere?x")));
    check("Location: https://b.example/\n\n", Ok((302, &[("location", "https://b.example/")], "")));
    check("Location: //b.example/\n\n", Ok((302, &[("location", "//b.example/")], "")));
    check("Location: /x#y\n\n", Ok((302, &[("location", "/x#y")], "")));
    check("Status: 301\nLocation: /x\n\n", Ok((301, &[("location", "/x")], "")));
    let with_cookie: Fields<'_> = &[("location", "/x"), ("set-cookie", "a=1")];
    check("Location: /x\nSet-Cookie: a=1\n\n", Ok((302, with_cookie, "")));
}

#[test]
fn leaves_out_what_is_not_the_programs_to_say() {
    let kept: Fields<'_> = &[("set-cookie", "a=1"), ("set-cookie", "b=2")];
    check("Set-Cookie: a=1\nConnection: close\nKeep-Alive: 5\nSet-Cookie: b=2\nTE: x\n\n", Ok((200, kept, "")));
    check("X: a\u{1}b\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n", Ok((200, kept, "")));
    check("Transfer-Encoding: chunked\n\n", Err(Reason::TransferEncoding));
}

#[test]
fn reads_a_status_line_of_programs_that_write_one() {
    let fields: Fields<'_> = &[("content-type", "text/plain")];
    check("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n\r\nbody", Ok((404, fields, "body")));
    check("HTTP/1.0 200\n\n", Ok((200, &[], "")));
    check("HTTP/1.1 302 Found\nLocation: /x\n\n", Ok((302, &[("location", "/x")], "")));
    check("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n", Err(Reason::TransferEncoding));
    check("HTTP/1.1\n\n", Err(Reason::InvalidStatus("".into())));
    check("HTTP/1.1 100 Continue\n\n", Err(Reason::InvalidStatus("100 Continue".into())));
    check("A: x\nHTTP/1.1 200 OK\n\n", Err(Reason::NoField("HTTP/1.1 200 OK".into())));
}

#[test]
fn only_who_leaves_http_says_so() {
    check("Content-Type: a/b\nUpgrade: h2c\n\n", Ok((200, &[("content-type", "a/b")], "")));
    check("Status: 101\nUpgrade: websocket\n\n", Ok((101, &[("upgrade", "websocket")], "")));
}

#[test]
fn refuses_lengths_that_could_mean_two_replies() {
    check("Content-Length: 5\nContent-Length: 5\n\n", Ok((200, &[("content-length", "5")], "")));
    for wrong in ["5, 5", "+5", "-1", "", "0x5", "99999999999999999999"] {
        let output = format!("Content-Length: {wrong}\n\n");
        check(&output, Err(Reason::InvalidLength(Bytes::copy_from_slice(wrong.as_bytes()))));
    }
    check("Content-Length: 5\nContent-Length: 6\n\n", Err(Reason::InvalidLength("6".into())));
}

#[test]
fn refuses_what_is_no_header_block() {
    check("", Err(Reason::Missing));
    check("Content-Type: text/plain\n", Err(Reason::Missing));
    check("\n\n", Err(Reason::Empty));
    check("<html>\n\n", Err(Reason::NoField("<html>".into())));
    check(": x\n\n", Err(Reason::NoField(": x".into())));
    check("a b: x\n\n", Err(Reason::NoField("a b: x".into())));
    check("A: x\n y\n\n", Err(Reason::FoldedLine));
    for status in ["", "20", "abc", "2000", "999", "100 Continue"] {
        check(&format!("Status: {status}\n\n"), Err(Reason::InvalidStatus(Bytes::copy_from_slice(status.as_bytes()))));
    }
    check(&"A: x\n".repeat(101), Err(Reason::Missing));
    check(&format!("{}\n", "A: x\n".repeat(101)), Err(Reason::TooManyFields(100)));
    check(&"x".repeat(70_000)[..65_536], Err(Reason::TooLong(65_536)));
}
