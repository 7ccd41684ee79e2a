//! Replies arrive whole, as their service meant them, and no faster than they are taken.

use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use http_body::Frame;
use unary_net::file::{FileRange, OpenFile};
use unary_service::{Kind, Lasting};
use unary_testkit::TempDir;

use unary_service::HasContext;

use super::*;

/// What a fresh client gets for this path.
#[track_caller]
fn check(path: &str, expected: Got) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let got = Server::default().meet(site()).await.get(path).await;
        assert_eq!(got.unwrap(), expected, "at {caller}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_as_by_http_1_1() {
    check("/?a=b", said(200, "GET /?a=b of a in HTTP/2.0")).await;
    check("/slow/3", said(200, "/slow/3")).await;
}

#[tokio::test(start_paused = true)]
async fn crumbs_of_a_cookie_come_as_one() {
    let mut client = Server::default().meet(site()).await;
    let mut request = head(Method::GET, "/");
    request.headers_mut().append("cookie", "a=b".parse().unwrap());
    request.headers_mut().append("cookie", "c=d".parse().unwrap());
    let (reply, _) = client.send(request, true).await;
    assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(200, "GET / of a in HTTP/2.0a=b; c=d"));
}

#[tokio::test(start_paused = true)]
async fn failures_cost_their_request_alone() {
    let mut client = Server::default().meet(site()).await;
    for (path, status) in [("/fail", 503), ("/status/100", 500), ("/status/101", 500), ("/panic", 500)] {
        assert_eq!(client.get(path).await.unwrap().status, status, "{path}");
    }
    assert_eq!(client.get("/status/404").await.unwrap(), said(404, "a body"));
    assert_eq!(client.get("/status/204").await.unwrap(), said(204, ""));
}

/// Loses every exchange.
struct Losing;

impl Consumer<unary_net::Exchange<Request, Response>> for Losing {
    async fn accept(&self, exchange: unary_net::Exchange<Request, Response>) -> Result<(), Error> {
        drop(exchange);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_exchange_is_answered() {
    use unary_net::Protocol;
    let (near, far) = duplex(ROOM);
    tokio::spawn(async move { H2::default().serve(Connection::new(near, Peer::new(None, None)), &Losing).await });
    let (mut requests, connection) = ::h2::client::handshake(far).await.unwrap();
    tokio::spawn(connection);
    let (reply, _) = requests.send_request(head(Method::GET, "/"), true).unwrap();
    assert_eq!(reply.await.unwrap().status(), 500);
}

#[tokio::test(start_paused = true)]
async fn calls_run_beside_each_other() {
    let mut client = Server::default().meet(site()).await;
    let begun = Instant::now();
    let mut replies = Vec::new();
    for second in (1..=50).rev() {
        replies.push((second, client.send(head(Method::GET, &format!("/slow/{second}")), true).await.0));
    }
    for (second, reply) in replies {
        assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(200, &format!("/slow/{second}")));
    }
    assert_eq!(begun.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_long_reply_arrives_through_narrow_windows() {
    let mut narrow = ::h2::client::Builder::new();
    narrow.initial_window_size(1000);
    let mut client = Server::default().meet_client(narrow, site()).await;
    let got = client.get("/big/300000").await.unwrap();
    assert_eq!((got.status, got.body.len()), (200, 300_000));
}

#[tokio::test(start_paused = true)]
async fn head_gets_the_length_and_no_body() {
    let mut client = Server::default().meet(site()).await;
    let (reply, _) = client.send(head(Method::HEAD, "/big/300000"), true).await;
    let reply = reply.await.unwrap();
    assert_eq!(reply.headers()["content-length"], "300000");
    assert_eq!(got(reply).await.unwrap(), said(200, ""));
}

/// A body of chunks without end, which counts how many it was asked for.
struct Endless {
    asked: Arc<AtomicUsize>,
}

const CHUNK: usize = 10_000;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'e'; CHUNK])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_made_no_faster_than_it_is_taken() {
    let asked = Arc::new(AtomicUsize::new(0));
    let endless = asked.clone();
    let service =
        service_fn(move |_: Request| ready(Ok(Response::new(Body::stream(Endless { asked: endless.clone() })))));
    let mut client = Server::default().meet(service).await;
    let (reply, _) = client.send(head(Method::GET, "/"), true).await;
    let mut stream = reply.await.unwrap().into_body();
    settle().await;
    // The client's first window, 65,535, and the chunk in hand.
    assert_eq!(asked.load(Ordering::Relaxed), 7);
    stream.flow_control().release_capacity(0).unwrap();
    let mut taken = 0;
    while taken < 400_000 {
        let data = stream.data().await.unwrap().unwrap();
        taken += data.len();
        stream.flow_control().release_capacity(data.len()).unwrap();
    }
    settle().await;
    let made = asked.load(Ordering::Relaxed) * CHUNK;
    assert!((taken..taken + 65_535 + CHUNK).contains(&made), "{made} bytes made for {taken} taken");
    drop(stream);
    settle().await;
    assert_eq!(client.started.counters.read().resets, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_which_nothing_is_taken_is_reset() {
    let mut client = Server::default().meet(site()).await;
    let (reply, _) = client.send(head(Method::GET, "/big"), true).await;
    let mut stream = reply.await.unwrap().into_body();
    let mut kept = Vec::new();
    let begun = Instant::now();
    let failed = loop {
        match stream.data().await {
            Some(Ok(data)) => kept.push(data), // And no word that there is room again.
            Some(Err(error)) => break error,
            None => panic!("it ended"),
        }
    };
    assert_eq!(failed.reason(), Some(Reason::CANCEL));
    assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(client.started.counters.read().stalls, 1);
    drop((stream, kept));
    assert_eq!(client.get("/slow").await.unwrap(), said(200, "/slow"));
}

/// A body of `frames`, its length as told.
struct Frames {
    frames: Vec<Result<Frame<Bytes>, Error>>,
    length: Option<u64>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(if self.frames.is_empty() { None } else { Some(self.frames.remove(0)) })
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(Default::default, http_body::SizeHint::with_exact)
    }
}

/// What a client gets of a body made so.
async fn of(
    length: Option<u64>,
    frames: impl Fn() -> Vec<Result<Frame<Bytes>, Error>> + Send + Sync + 'static,
) -> Result<Got, ::h2::Error> {
    let service = service_fn(move |_: Request| {
        let body = Body::boxed(Frames { frames: frames(), length });
        ready(Ok(Response::new(body)))
    });
    Server::default().meet(service).await.get("/").await
}

fn data(bytes: &'static str) -> Result<Frame<Bytes>, Error> {
    Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))
}

#[tokio::test(start_paused = true)]
async fn trailers_end_a_reply_but_for_those_that_may_not() {
    let trailers = || {
        HeaderMap::from_iter(
            [("x-sum", "9"), ("content-length", "4")]
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())),
        )
    };
    let got = of(None, move || vec![data("on"), data(""), data("e"), Ok(Frame::trailers(trailers()))]).await.unwrap();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "9".parse().unwrap())]);
    assert_eq!(got, Got { status: 200, body: "one".to_owned(), trailers: Some(trailers) });
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_as_announced_is_cut() {
    assert_eq!(of(Some(3), || vec![data("on"), data("e")]).await.unwrap(), said(200, "one"));
    assert_eq!(of(None, || vec![data("on"), data("e"), data("")]).await.unwrap(), said(200, "one"));
    let cut = Some(Reason::INTERNAL_ERROR);
    assert_eq!(reason(of(Some(4), || vec![data("one")]).await), cut);
    assert_eq!(reason(of(Some(2), || vec![data("one")]).await), cut);
    assert_eq!(reason(of(None, || vec![data("one"), Err(Error::new(Kind::Internal, "making more"))]).await), cut);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_file_is_read_in_pieces() {
    let content = (0..100_000).map(|line| format!("{line:06}\n")).collect::<String>();
    let folder = TempDir::with([("file", &*content)]);
    let file = Arc::new(OpenFile::new(std::fs::File::open(folder.join("file")).unwrap()));
    let service = service_fn(move |_: Request| {
        let range = FileRange { file: file.clone(), offset: 7, length: 600_000 };
        ready(Ok(Response::new(Body::file(range))))
    });
    let got = Server::default().meet(service).await.get("/").await.unwrap();
    assert!(got.body == content[7..600_007]);
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_last_byte_has_left() {
    let held = Arc::new(());
    let hold = held.clone();
    let service = service_fn(move |_: Request| ready(Ok(text("b".repeat(100_000)).holding(hold.clone()))));
    let mut client = Server::default().meet(service).await;
    let (reply, _) = client.send(head(Method::GET, "/"), true).await;
    let reply = reply.await.unwrap();
    settle().await;
    let service_and_reply = 3;
    assert_eq!(Arc::strong_count(&held), service_and_reply);
    assert_eq!(got(reply).await.unwrap().body.len(), 100_000);
    settle().await;
    assert_eq!(Arc::strong_count(&held), service_and_reply - 1);
}

#[tokio::test(start_paused = true)]
async fn what_never_left_of_a_reply_does_not_count() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    let service = service_fn(move |_: Request| {
        let body = Body::from("b".repeat(1 << 20)).counted(counter.clone());
        std::future::ready(Ok(Response::new(body)))
    });
    let mut client = Server::default().meet(service).await;
    let (reply, mut stream) = client.send(head(Method::GET, "/"), true).await;
    let reply = reply.await.unwrap();
    settle().await;
    stream.send_reset(Reason::CANCEL);
    drop(reply);
    settle().await;
    assert_eq!(sent.load(Ordering::Relaxed), 65_535, "what its window has room for");
}

#[tokio::test(start_paused = true)]
async fn early_hints_come_before_their_reply() {
    let service = service_fn(async |request: Request| {
        let id = request.body().context().expect("bodies have one").id;
        crate::early_hints::leave(id, &HeaderMap::from_iter([(http::header::LINK, "</a>".parse().unwrap())]));
        sleep(Duration::from_secs(1)).await;
        Ok(text("hi"))
    });
    let mut client = Server::default().meet(service).await;
    for _ in 0..2 {
        let (mut reply, _) = client.send(head(Method::GET, "/"), true).await;
        let hint = poll_fn(|task| reply.poll_informational(task)).await.unwrap().unwrap();
        assert_eq!((hint.status().as_u16(), hint.headers()["link"].as_bytes()), (103, &b"</a>"[..]));
        assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(200, "hi"));
    }
}
