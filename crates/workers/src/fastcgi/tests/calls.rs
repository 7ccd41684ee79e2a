//! What a worker is told, and what becomes of what it says.

use unary_testkit::TempDir;

use super::*;
use crate::local_redirect::LocalRedirect;
use crate::send_file::{SendFile, SendFiles};

fn value<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_what_a_program_is() {
    let (host, mut workers) = host(Settings::default());
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    let (params, body) = question(&mut worker).await;
    for (name, expected) in [
        ("REQUEST_METHOD", Some("GET")),
        ("REQUEST_URI", Some("/a%20b?c=d")),
        ("SCRIPT_NAME", Some("")),
        ("PATH_INFO", Some("/a b")),
        ("QUERY_STRING", Some("c=d")),
        ("GATEWAY_INTERFACE", Some("CGI/1.1")),
        ("CONTENT_LENGTH", None),
    ] {
        assert_eq!(value(&params, name), expected, "{name}");
    }
    assert!(body.is_empty());
    worker.send(hello()).await;
    let reply = call.await.unwrap().unwrap();
    assert_eq!((reply.status(), &reply.headers()["content-type"]), (StatusCode::OK, &"text/plain".parse().unwrap()));
    assert_eq!(reply.body().length(), Some(5), "what is there whole has a length");
    assert_eq!(body_of(reply).await.unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_with_its_length() {
    let (host, mut workers) = host(Settings::default());
    let long = "x".repeat(200_000);
    let call = begin(&host, request(Method::POST, "/", long.clone()));
    let mut worker = workers.recv().await.unwrap();
    let (params, body) = question(&mut worker).await;
    assert_eq!(value(&params, "CONTENT_LENGTH"), Some("200000"));
    assert_eq!(body, long.as_bytes());
    worker.send(hello()).await;
    assert_eq!(body_of(call.await.unwrap().unwrap()).await.unwrap(), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_body_without_a_length_is_gathered_first() {
    let (host, mut workers) = host(Settings::default());
    let (sender, body) = pieces(None);
    let call = begin(&host, request(Method::POST, "/", body));
    sender.send("one ").await.unwrap();
    settle().await;
    assert!(workers.try_recv().is_err(), "the length is not known");
    sender.send("two").await.unwrap();
    drop(sender);
    let mut worker = workers.recv().await.unwrap();
    let (params, body) = question(&mut worker).await;
    assert_eq!((value(&params, "CONTENT_LENGTH"), &body[..]), (Some("7"), &b"one two"[..]));
    worker.send(hello()).await;
    call.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_to_gather_is_refused() {
    let (host, mut workers) = host(Settings { kept_bytes_max: 5, ..Settings::default() });
    let (sender, body) = pieces(None);
    let call = begin(&host, request(Method::POST, "/", body));
    sender.send("one ").await.unwrap();
    sender.send("two").await.unwrap();
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::TooLarge);
    assert!(workers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn both_ways_stream_at_once() {
    let (host, mut workers) = host(Settings::default());
    let (sender, body) = pieces(Some(6));
    let call = begin(&host, request(Method::POST, "/", body));
    let mut worker = workers.recv().await.unwrap();
    sender.send("one").await.unwrap();
    beginning(&mut worker).await;
    assert_eq!(record(&mut worker).await, Record::Stream { request: 1, stream: Stream::Stdin, content: "one".into() });
    worker.send(wire(&[out("A: b\n\n"), out("first ")])).await;
    let mut reply = call.await.unwrap().unwrap();
    assert_eq!(reply.body_mut().next_bytes().await.unwrap().unwrap(), "first ");
    // Nobody reads the reply now, and yet the request goes on.
    sender.send("two").await.unwrap();
    assert_eq!(record(&mut worker).await, Record::Stream { request: 1, stream: Stream::Stdin, content: "two".into() });
    assert_eq!(record(&mut worker).await, Record::Stream { request: 1, stream: Stream::Stdin, content: "".into() });
    worker.send(wire(&[out("second"), end()])).await;
    assert_eq!(body_of(reply).await.unwrap(), "second");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_a_reply_holds_its_worker_up() {
    let (host, mut workers) = host(Settings::default());
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    let piece = Record::Stream { request: 1, stream: Stream::Stdout, content: vec![b'x'; 8 * 1024].into() };
    let mut all = wire(&[out("A: b\n\n")]);
    (0..100).for_each(|_| piece.encode(&mut all));
    let taken = worker.send_some(&all, SOON).await;
    assert!((1..all.len() / 2).contains(&taken), "{taken} of {} bytes were taken", all.len());
    let mut reply = call.await.unwrap().unwrap();
    let mut read = 0;
    let reading = tokio::spawn(async move {
        while let Some(bytes) = reply.body_mut().next_bytes().await.unwrap() {
            read += bytes.len();
        }
        read
    });
    worker.send(&all[taken..]).await;
    worker.send(wire(&[end()])).await;
    assert_eq!(reading.await.unwrap(), 100 * 8 * 1024);
}

/// The reply to a request that a worker answers like this; the worker goes on for a while, and its connection is kept.
async fn replied(host: Host, mut workers: Receiver<FarEnd>, call: Call, said: String) -> Result<Response, Error> {
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    let mut bytes = BytesMut::new();
    Record::Stream { request: 1, stream: Stream::Stdout, content: said.into() }.encode(&mut bytes);
    worker.send(bytes).await;
    let reply = call.await.unwrap();
    worker.send(wire(&[out("what it says besides"), end()])).await;
    settle().await;
    assert_eq!(host.crew.counts(), [(1, 1)], "it is not told to stop");
    reply
}

#[tokio::test(start_paused = true)]
async fn a_path_alone_is_answered_within_the_server() {
    let (host, workers) = host(Settings::default());
    let call = begin(&host, request(Method::POST, "http://a.example/x?y", "a body"));
    let mut reply = replied(host, workers, call, "Location: /elsewhere?z\n\n".into()).await.unwrap();
    assert_eq!((reply.status(), &reply.headers()["location"]), (StatusCode::FOUND, &"/elsewhere?z".parse().unwrap()));
    let request = LocalRedirect::of(&mut reply).unwrap().request().unwrap();
    assert_eq!((request.method(), request.uri()), (&Method::GET, &"http://a.example/elsewhere?z".parse().unwrap()));
    assert_eq!(request.body().length(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn nothing_leads_back_to_itself() {
    let (host, workers) = host(Settings::default());
    let call = get(&host);
    let error = replied(host, workers, call, "Location: /a%20b?c=d\n\n".into()).await.unwrap_err();
    assert!(error.kind() == Kind::Upstream && error.to_string().contains("where it has been"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_sent_in_a_programs_place() {
    let folder = TempDir::with([("files/a", "content"), ("secret", "")]);
    let allowed = SendFile { folder: folder.join("files"), beneath: Some("/protected".to_owned()) };
    for (field, expected) in [
        (format!("X-Sendfile: {}", folder.join("files/a").display()), Ok("content")),
        ("X-Accel-Redirect: /protected/a".to_owned(), Ok("content")),
        (format!("X-Sendfile: {}", folder.join("secret").display()), Err(Kind::Upstream)),
    ] {
        let (dial, workers) = dialling();
        let host = FastCgi::over(["127.0.0.1:9".parse().unwrap()], &dial, Mount::default(), Settings::default());
        let host = Arc::new(host.sending(SendFiles::open(std::slice::from_ref(&allowed)).unwrap()));
        let call = get(&host);
        let reply = replied(host, workers, call, format!("{field}\nContent-Length: 3\nA: b\n\n")).await;
        match (reply, expected) {
            (Ok(reply), Ok(text)) => {
                assert!(reply.headers().len() == 1 && reply.headers()["a"] == "b", "{:?}", reply.headers());
                assert_eq!(body_of(reply).await.unwrap(), text, "{field}");
            }
            (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{field}: {error}"),
            (seen, expected) => panic!("{field}: {seen:?} is not {expected:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_without_a_body_does_not_wait_for_one() {
    let (host, mut workers) = host(Settings::default());
    let call = begin(&host, request(Method::HEAD, "/", ()));
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    worker.send(wire(&[out("Content-Length: 5\n\nhello")])).await;
    let reply = call.await.unwrap().unwrap();
    assert_eq!(&reply.headers()["content-length"], "5");
    assert!(body_of(reply).await.unwrap().is_empty());
    worker.send(wire(&[end()])).await;
    settle().await;
    assert_eq!(host.crew.counts(), [(1, 1)], "the connection is kept");
}

#[tokio::test(start_paused = true)]
async fn what_is_for_the_log_is_not_for_the_client() {
    let (host, mut workers) = host(Settings::default());
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    let log = |content: &'static str| Record::Stream { request: 1, stream: Stream::Stderr, content: content.into() };
    worker.send(wire(&[log("before\n"), out("A: b\n\nbo"), log("amid"), out("dy"), end()])).await;
    assert_eq!(body_of(call.await.unwrap().unwrap()).await.unwrap(), "body");
}
