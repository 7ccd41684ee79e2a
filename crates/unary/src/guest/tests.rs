//! Guests over connections in memory, in paused time: the far end is a host.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Frame;
use tokio::task::JoinHandle;
use unary_gateway::fastcgi::host::{self, Reply, put_abort, put_body, put_body_end, put_request};
use unary_gateway::fastcgi::record::{self, Outcome, Record, Role, Stream, Then};
use unary_gateway::scgi::head;
use unary_http::Body;
use unary_http::message::text;
use unary_net::pipeline::Drain;
use unary_net::{Peer, connect, process, reply};
use unary_service::flow::{Producer, line};
use unary_service::{HasContext, Kind, service_fn};
use unary_testkit::{FarEnd, far_end};
use unary_web::scheme::Scheme;

use super::exchange::OUTPUT_BYTES;
use super::wire::{DRAIN_GRACE, HEAD_TIME_MAX, IDLE_TIME_MAX, STALL_TIME_MAX};
use super::*;

struct Once(Connection<tokio::io::DuplexStream>);

impl Producer for Once {
    type Item = Connection<tokio::io::DuplexStream>;

    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(self.0).await
    }
}

/// What there is to be asked for.
async fn app(request: Request) -> Result<Response, Error> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/who" => {
            let peer = Peer::of(request.context().expect("it has one")).expect("it is one");
            let told = request.extensions().get::<Variables>().and_then(|told| told.get("X")).cloned();
            Ok(text(format!("{:?} {:?} {told:?}", peer.address(), Scheme::of(&request))))
        }
        "/echo" => Ok(Response::new(request.into_body())),
        "/length" => Ok(text(request.into_body().collect(1 << 20).await?.len().to_string())),
        "/unread" => Ok(text("no need")),
        "/large" => Ok(text(Bytes::from(vec![b'x'; 3 * OUTPUT_BYTES]))),
        "/fails" => Err(Error::internal("trying").because("it\nis Monday")),
        "/full" => Err(Error::overloaded("queueing")),
        "/panics" => panic!("on purpose"),
        "/interim" => Ok(unary_http::message::status(StatusCode::SWITCHING_PROTOCOLS)),
        "/never" => std::future::pending().await,
        "/awaited" => {
            let peer = Peer::of(request.context().expect("it has one")).expect("it is one");
            let _there = peer.while_there();
            std::future::pending().await
        }
        "/breaks" => {
            let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err(Error::new(Kind::Internal, "going on"))];
            Ok(Response::new(Body::stream(http_body_util::StreamBody::new(futures_util::stream::iter(frames)))))
        }
        _ => Err(Error::new(Kind::NotFound, "looking")),
    }
}

/// A guest that runs, and its host. Bytes wait for their reader beyond `room`.
fn start<P>(guest: P, room: usize) -> (FarEnd, Drain, JoinHandle<Result<(), Error>>)
where
    P: Protocol<Connection<tokio::io::DuplexStream>, Request = Request, Reply = Response> + 'static,
{
    let (near, far) = far_end(room);
    let mut connection = Connection::new(near, Peer::new(None, None));
    let drain = Drain::new();
    connection.watch = drain.watch(1);
    let server = line(Once(connection)) >> connect(guest) >> process(service_fn(app)) >> reply();
    (far, drain, tokio::spawn(server.drive()))
}

fn variables(method: &str, path: &str) -> Vec<(Bytes, Bytes)> {
    let pairs = [("REQUEST_METHOD", method), ("REQUEST_URI", path), ("REMOTE_ADDR", "192.0.2.7"), ("REMOTE_PORT", "9")];
    let pairs = pairs.into_iter().chain([("HTTPS", "on"), ("X", "y")]);
    pairs.map(|(name, value)| (name.into(), Bytes::copy_from_slice(value.as_bytes()))).collect()
}

fn scgi_head(method: &str, path: &str, content_length: u64) -> BytesMut {
    let mut wire = BytesMut::new();
    head::encode(&head::Head { content_length, variables: variables(method, path) }, &mut wire);
    wire
}

/// A whole request by SCGI is answered so.
#[track_caller]
fn check_scgi(method: &str, path: &str, body: &str, expected: &str) {
    let run = async {
        let (mut host, ..) = start(scgi(), 1 << 20);
        host.send(scgi_head(method, path, body.len() as u64)).await;
        host.send(body).await;
        String::from_utf8(host.receive_to_end().await).unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    assert_eq!(runtime.block_on(run), expected, "{method} {path}");
}

fn reply_of(status: &str, body: &str) -> String {
    let length = body.len();
    format!("Status: {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[test]
fn the_service_sees_what_the_host_was_asked() {
    check_scgi("GET", "/who", "", &reply_of("200 OK", "Some(192.0.2.7:9) Https Some(b\"y\")"));
    check_scgi("POST", "/length", "twelve bytes", &reply_of("200 OK", "12"));
    check_scgi("POST", "/echo", "said", "Status: 200 OK\r\ncontent-length: 4\r\n\r\nsaid");
    check_scgi("GET", "/echo", "", "Status: 200 OK\r\ncontent-length: 0\r\n\r\n");
    check_scgi(
        "HEAD",
        "/large",
        "",
        &reply_of("200 OK", &"x".repeat(3 * OUTPUT_BYTES)).replace('x', "").replace("tet/", "text/"),
    );
}

#[test]
fn failures_are_the_statuses_of_the_engine() {
    let failed = |status: &str, more: &str| {
        let body = format!("{status}\n");
        let length = body.len();
        let fields = format!("content-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n{more}");
        format!("Status: {status}\r\n{fields}content-length: {length}\r\n\r\n{body}")
    };
    check_scgi("GET", "/nowhere", "", &failed("404 Not Found", ""));
    check_scgi("GET", "/fails", "", &failed("500 Internal Server Error", ""));
    check_scgi("GET", "/panics", "", &failed("500 Internal Server Error", ""));
    check_scgi("GET", "/interim", "", &failed("500 Internal Server Error", ""));
    check_scgi("GET", "/full", "", &failed("503 Service Unavailable", "retry-after: 1\r\n"));
    check_scgi("GET", "not a target", "", &failed("400 Bad Request", ""));
}

#[tokio::test(start_paused = true)]
async fn bodies_stream_both_ways_at_once() {
    let (mut host, ..) = start(scgi(), 64);
    host.send(scgi_head("POST", "/echo", 100_000)).await;
    host.expect("Status: 200 OK\r\ncontent-length: 100000\r\n\r\n").await;
    for number in 0..10_000 {
        let piece = format!("{number:010}");
        host.send(&piece).await;
        host.expect(&piece).await;
    }
    host.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_reply_comes_whole_before_a_body_that_nobody_reads() {
    let (mut host, ..) = start(scgi(), 256);
    host.send(scgi_head("POST", "/unread", 1_000_000)).await;
    host.expect(reply_of("200 OK", "no need")).await;
    assert!(host.send_some(&[0; 100_000], Duration::from_secs(1)).await > 50_000, "it is read and thrown away");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_off_fails_its_reader() {
    let (mut host, ..) = start(scgi(), 256);
    host.send(scgi_head("POST", "/length", 12)).await;
    host.send("half").await;
    host.half_close().await;
    let reply = host.receive_to_end().await;
    assert!(reply.starts_with(b"Status: 500 "), "{}", reply.escape_ascii());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_says_nothing_is_left() {
    let (mut host, ..) = start(scgi(), 256);
    let waited = host.expect_end().await;
    assert!(waited >= IDLE_TIME_MAX && waited < IDLE_TIME_MAX + Duration::from_secs(1), "{waited:?}");
    let (mut host, ..) = start(scgi(), 256);
    host.send("70:CONTENT_LENGTH").await;
    let waited = host.expect_end().await;
    assert!(waited >= HEAD_TIME_MAX && waited < HEAD_TIME_MAX + Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_given_up() {
    let (mut host, ..) = start(scgi(), 256);
    host.send(scgi_head("POST", "/length", 12)).await;
    host.expect_silence(STALL_TIME_MAX).await;
    host.expect("Status: 504 ").await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_takes_nothing_is_left() {
    let (mut host, _, server) = start(scgi(), 16);
    host.send(scgi_head("GET", "/large", 0)).await;
    let begun = tokio::time::Instant::now();
    server.await.unwrap().unwrap();
    let waited = begun.elapsed();
    assert!(waited >= STALL_TIME_MAX && waited < STALL_TIME_MAX + Duration::from_secs(1), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_with_its_host_where_it_is_for_the_peer() {
    for (path, ends) in [("/awaited", true), ("/never", false)] {
        let (mut host, _, server) = start(scgi(), 256);
        host.send(scgi_head("GET", path, 0)).await;
        host.half_close().await;
        let ended = tokio::time::timeout(Duration::from_secs(60), server).await;
        assert_eq!(ended.is_ok(), ends, "{path}");
    }
}

/// A request's beginning by FastCGI, with its body if there is one.
fn fastcgi_request(then: Then, method: &str, path: &str, body: Option<&str>) -> BytesMut {
    let mut pairs = variables(method, path);
    if let Some(body) = body {
        pairs.push(("CONTENT_LENGTH".into(), body.len().to_string().into()));
    }
    let mut wire = BytesMut::new();
    put_request(Role::Responder, then, pairs.iter().map(|(name, value)| (&name[..], &value[..])), &mut wire);
    put_body(body.unwrap_or_default().as_bytes(), &mut wire);
    put_body_end(&mut wire);
    wire
}

/// What a worker says of one request: its output, what is for the log, and how it ends.
async fn hear(host: &mut FarEnd) -> (String, String, u32) {
    let (mut reply, mut input, mut output, mut log) = (Reply::default(), BytesMut::new(), String::new(), String::new());
    loop {
        match reply.decode(&mut input).unwrap() {
            Some(host::Said::Output(bytes)) => output.push_str(str::from_utf8(&bytes).unwrap()),
            Some(host::Said::Log(bytes)) => log.push_str(str::from_utf8(&bytes).unwrap()),
            Some(host::Said::End { exit_status }) => return (output, log, exit_status),
            None => {
                let byte = host.take(1, Duration::from_secs(5)).await;
                assert!(!byte.is_empty(), "it ended after {output:?} {log:?}");
                input.extend_from_slice(&byte);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn requests_follow_each_other_on_one_connection() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    for round in ["one", "two", "three"] {
        host.send(fastcgi_request(Then::Keep, "POST", "/echo", Some(round))).await;
        let length = round.len();
        let expected = format!("Status: 200 OK\r\ncontent-length: {length}\r\n\r\n{round}");
        assert_eq!(hear(&mut host).await, (expected, String::new(), 0));
    }
    host.send(fastcgi_request(Then::Close, "GET", "/echo", None)).await;
    assert_eq!(hear(&mut host).await, ("Status: 200 OK\r\ncontent-length: 0\r\n\r\n".into(), String::new(), 0));
    host.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_to_the_hosts_log() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    host.send(fastcgi_request(Then::Keep, "GET", "/fails", None)).await;
    let (output, log, exit_status) = hear(&mut host).await;
    assert!(output.starts_with("Status: 500 "), "{output}");
    assert_eq!((log.as_str(), exit_status), ("GET /fails: failed while trying: it\\nis Monday\n", 0));
    host.send(fastcgi_request(Then::Keep, "GET", "/nowhere", None)).await;
    assert_eq!(hear(&mut host).await.1, "", "what is not there is no failure");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_request_is_dropped_and_the_next_one_answered() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    for path in ["/never", "/awaited"] {
        host.send(fastcgi_request(Then::Keep, "GET", path, None)).await;
        host.expect_silence(Duration::from_secs(9)).await;
        let mut abort = BytesMut::new();
        put_abort(&mut abort);
        host.send(abort).await;
        assert_eq!(hear(&mut host).await, (String::new(), String::new(), 1));
    }
    host.send(fastcgi_request(Then::Keep, "POST", "/length", Some("four"))).await;
    assert_eq!(hear(&mut host).await.0, reply_of("200 OK", "4"));
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_at_rest_and_amid_a_request() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    for amid in [false, true] {
        if amid {
            host.send(fastcgi_request(Then::Keep, "GET", "/never", None)).await;
        }
        let mut question = BytesMut::new();
        host::put_question(&mut question);
        host.send(question).await;
        let mut answer = BytesMut::from(&host.take(usize::MAX, Duration::from_secs(1)).await[..]);
        let values = host::decode_answer(&mut answer).unwrap().unwrap();
        assert_eq!(values.multiplexes, Some(false));
        assert!(values.connections_max.is_some_and(|connections| connections > 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_request_at_the_same_time_is_refused() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    host.send(fastcgi_request(Then::Keep, "GET", "/never", None)).await;
    let mut second = BytesMut::new();
    Record::Begin { request: 2, role: Role::Responder, then: Then::Keep }.encode(&mut second);
    host.send(second).await;
    let mut said = BytesMut::from(&host.take(16, Duration::from_secs(1)).await[..]);
    let refused = Record::End { request: 2, exit_status: 0, outcome: Outcome::CannotMultiplex };
    assert_eq!(record::decode(&mut said).unwrap(), Some(refused));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_breaks_off_has_no_end() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    host.send(fastcgi_request(Then::Keep, "GET", "/breaks", None)).await;
    let mut said = BytesMut::from(&host.receive_to_end().await[..]);
    let mut streams = Vec::new();
    while let Some(record) = record::decode(&mut said).unwrap() {
        let Record::Stream { stream, content, .. } = record else { panic!("it ends: {record:?}") };
        assert!(!content.is_empty(), "a stream ends");
        streams.push(stream);
    }
    assert_eq!(streams, [Stream::Stdout, Stream::Stdout, Stream::Stderr]);
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_outlasts_a_reply_before_its_body() {
    let (mut host, ..) = start(fastcgi(), 1 << 20);
    let mut wire = fastcgi_request(Then::Keep, "POST", "/unread", Some(&"x".repeat(200_000)));
    host.send(wire.split_to(100_000)).await;
    assert_eq!(hear(&mut host).await.0, reply_of("200 OK", "no need"));
    host.send(wire).await;
    host.send(fastcgi_request(Then::Close, "POST", "/length", Some("four"))).await;
    assert_eq!(hear(&mut host).await.0, reply_of("200 OK", "4"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_request_under_way_finish() {
    let (mut host, drain, _) = start(fastcgi(), 256);
    host.send(fastcgi_request(Then::Keep, "GET", "/large", None)).await;
    drain.start();
    assert!(hear(&mut host).await.0.ends_with("xxx"));
    assert!(host.expect_end().await < DRAIN_GRACE);
    let (mut host, drain, _) = start(fastcgi(), 256);
    drain.start();
    let waited = host.expect_end().await;
    assert!(waited >= DRAIN_GRACE && waited < DRAIN_GRACE * 2, "{waited:?}");
}
