//! Against a collector: a plain HTTP server that keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::thread;

use tokio::runtime::Builder;
use unary_service::Service;
use unary_testkit::TempDir;
use unary_workers::keeper::Files;
use unary_workers::spawner::Spawner;

use super::super::app::App;
use crate::config::Kept;
use crate::error_log::ErrorLog;

/// A field of a message of Protocol Buffers: its number, and what it is.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn number(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

/// All values of the field of this number in a message.
fn fields(mut message: &[u8], wanted: u64) -> Vec<Field> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = number(&mut message);
        let value = match key & 7 {
            0 => Field::Number(number(&mut message)),
            1 => Field::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = number(&mut message) as usize;
                Field::Bytes(take(&mut message, length).to_vec())
            }
            5 => Field::Number(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("{other} is no type of a field"),
        };
        found.extend((key >> 3 == wanted).then_some(value));
    }
    found
}

/// The one message, or text, at the end of this way into a message.
fn within(message: &[u8], way: &[u64]) -> Vec<u8> {
    way.iter().fold(message.to_vec(), |message, wanted| match &fields(&message, *wanted)[..] {
        [Field::Bytes(bytes), ..] => bytes.clone(),
        other => panic!("{wanted} is {other:?}"),
    })
}

/// `key=value` for all attributes.
fn attributes(span: &[u8]) -> Vec<String> {
    let all = fields(span, 9).into_iter().map(|attribute| {
        let Field::Bytes(attribute) = attribute else { panic!("{attribute:?}") };
        let value = within(&attribute, &[2]);
        let value = match (&fields(&value, 1)[..], &fields(&value, 3)[..]) {
            ([Field::Bytes(text)], _) => String::from_utf8(text.clone()).unwrap(),
            (_, [Field::Number(number)]) => number.to_string(),
            other => panic!("{other:?}"),
        };
        format!("{}={value}", String::from_utf8(within(&attribute, &[1])).unwrap())
    });
    all.collect()
}

/// A request's head and body.
type Asked = (String, Vec<u8>);

/// Answers so many requests with this status, and gives what was posted.
fn collector(count: usize, status: &'static str) -> (u16, thread::JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let collect = move || {
        let posted = (0..count).map(|_| {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut target, mut length) = (String::new(), 0);
            stream.read_line(&mut target).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                match line.trim_end().to_ascii_lowercase().split_once(": ") {
                    Some(("content-length", value)) => length = value.parse().unwrap(),
                    Some(_) => {}
                    None => break,
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.get_mut().write_all(reply.as_bytes()).unwrap();
            (target, body)
        });
        posted.collect()
    };
    (port, thread::spawn(collect))
}

/// A server with a route that answers, and one that cannot.
fn served(port: u16) -> App {
    let config = format!(
        "server {{ admin \"off\"; trace otlp=\"http://127.0.0.1:{port}\" service=\"shop\" }}
         site \"*\" {{
             tls off
             route \"/broken/*\" {{ proxy \"http://127.0.0.1:1\" }}
             route \"/items/*\" {{ respond \"an item\" }}
         }}"
    );
    let folder = TempDir::with([("unary.kdl", &*config)]);
    let (_, kept) = Kept::read(&folder.join("unary.kdl")).unwrap_or_else(|_| panic!("it is a config"));
    App::new(&kept.to_bytes(), Files::default(), Spawner::default(), ErrorLog::start()).unwrap().1
}

fn ask(app: &App, path: &str) {
    let request = http::Request::get(path)
        .header("host", "shop.test:8080")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("tracestate", "other=1");
    let request = request.body(unary_http::Body::empty()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { drop(app.call(request).await) });
}

#[test]
fn a_request_is_a_span_at_the_collector() {
    let (port, collected) = collector(1, "200 OK");
    let app = served(port);
    ask(&app, "/items/7?size=9");
    let posted = collected.join().unwrap();
    let (target, body) = &posted[0];
    assert!(target.starts_with("POST /v1/traces HTTP/1.1"), "{target}");
    let spans = within(body, &[1]);
    assert_eq!(within(&spans, &[1, 1, 1]), b"service.name");
    assert_eq!(within(&spans, &[1, 1, 2, 1]), b"shop");
    let span = within(&spans, &[2, 2]);
    assert_eq!(within(&span, &[1]), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(within(&span, &[4]), 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(within(&span, &[3]), b"other=1");
    assert_eq!(within(&span, &[5]), b"GET /items/*");
    assert_eq!(fields(&span, 6), [Field::Number(2)], "a server's");
    let mut said = attributes(&span);
    said.sort();
    let expected = [
        "http.request.method=GET",
        "http.response.status_code=200",
        "http.route=/items/*",
        "network.protocol.version=1.1",
        "server.address=shop.test",
        "server.port=8080",
        "url.path=/items/7",
        "url.query=size=9",
        "url.scheme=http",
    ];
    assert_eq!(said, expected);
    unary_e2e::eventually("it is counted", || app.spans_sent_and_lost() == (1, 0));
}

#[test]
fn a_failure_says_so() {
    let (port, collected) = collector(1, "200 OK");
    let app = served(port);
    ask(&app, "/broken/1");
    let span = within(&collected.join().unwrap()[0].1, &[1, 2, 2]);
    let said = attributes(&span);
    for expected in ["http.response.status_code=503", "error.type=unavailable"] {
        assert!(said.iter().any(|said| said == expected), "{said:?}");
    }
    assert_eq!(fields(&within(&span, &[15]), 3), [Field::Number(2)], "an error");
}

#[test]
fn what_the_collector_does_not_take_is_lost_and_counted() {
    let (port, collected) = collector(1, "400 Bad Request");
    let app = served(port);
    ask(&app, "/items/1");
    collected.join().unwrap();
    unary_e2e::eventually("it is counted", || app.spans_sent_and_lost() == (0, 1));
}
