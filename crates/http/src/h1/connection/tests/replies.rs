//! Replies: how they are framed, how their bodies end, and what they hold on to.

use super::*;

/// A service that answers every request with what `make` makes.
fn answering<F>(make: F) -> impl Fn() -> BoxService<Request, Response>
where
    F: Fn() -> Response + Clone + Send + Sync + 'static,
{
    move || {
        let make = make.clone();
        BoxService::new(service_fn(move |_: Request| std::future::ready(Ok(make()))))
    }
}

fn with_length(length: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static(length));
    response
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn head_tells_the_length_of_a_body_it_does_not_get() {
    let head = get("/").replace("GET", "HEAD");
    check([head, get("/ignore")].concat(), [ok("").replace(": 0", ": 23"), ok("ignored")].concat()).await;
    let chunked = answering(|| Response::new(pieces([data("tea")])));
    let head = get("/").replace("GET", "HEAD");
    check_with(chunked, head.repeat(2), "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n".repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_status_without_content_gets_none() {
    let sent = [get("/status/204"), get("/status/304"), get("/status/205"), get("/status/404")].concat();
    let expected = [
        "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\ndate: now\r\n\r\n",
        "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\ndate: now\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 6\r\ndate: now\r\n\r\na body",
    ];
    check(sent, expected.concat()).await;
}

#[tokio::test(start_paused = true)]
async fn an_interim_status_is_no_answer() {
    let refused = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\n\
                   content-length: 26\r\ndate: now\r\n\r\n500 Internal Server Error\n";
    check(
        [get("/status/103"), get("/status/101"), get("/ignore")].concat(),
        [refused, refused, &ok("ignored")].concat(),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn http_1_0_closes_unless_told_otherwise() {
    let once = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    check([once, once].concat(), last("GET / of a in HTTP/1.0")).await;
    let again = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let kept = ok("GET / of a in HTTP/1.0").replace("now\r\n", "now\r\nconnection: keep-alive\r\n");
    check([again, again, once].concat(), [&kept, &kept, &last("GET / of a in HTTP/1.0")].map(String::as_str).concat())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_ends_a_http_1_0_connection() {
    let unknown = answering(|| Response::new(pieces([data("tea"), data("pot"), trailers("leaf", "green")])));
    let until_close = "HTTP/1.1 200 OK\r\ndate: now\r\nconnection: close\r\n\r\nteapot";
    check_with(&unknown, "GET / HTTP/1.0\r\n\r\n", until_close).await;
    check_with(&unknown, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", until_close).await;
    let chunked = format!("{CHUNKED}3\r\ntea\r\n3\r\npot\r\n0\r\nleaf: green\r\n\r\n");
    check_with(&unknown, get("/").repeat(2), chunked.repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn close_ends_the_connection_whoever_says_it() {
    let close = get("/").replace("Host", "Connection: close\r\nHost");
    check([get("/ignore"), close, get("/")].concat(), [ok("ignored"), last("GET / of a in HTTP/1.1")].concat()).await;
    check([get("/ignore"), get("/close"), get("/")].concat(), [ok("ignored"), last("closing")].concat()).await;
    let mut client = serve(site());
    client.ask(get("/close"), last("closing")).await;
    assert!(client.expect_end().await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn every_form_of_target_is_answered() {
    let line = |line: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
    let sent = [line("GET http://b:81/tea?leaf=1"), line("OPTIONS *"), line("GET /?q")].concat();
    let answer =
        |request: Request| body(format!("{} {} {:?}", request.method(), request.uri(), request.headers()["host"]));
    let service = || service_fn(move |request: Request| std::future::ready(answer(request)));
    let expected = ["GET http://b:81/tea?leaf=1 \"b:81\"", "OPTIONS * \"a\"", "GET /?q \"a\""].map(ok);
    check_with(service, sent, expected.concat()).await;
}

#[tokio::test(start_paused = true)]
async fn a_date_of_the_services_own_is_the_only_one() {
    let dated = answering(|| {
        let mut response = Response::new("tea".into());
        response.headers_mut().insert("date", HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"));
        response
    });
    check_with(dated, get("/"), "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 3\r\n\r\ntea").await;
}

#[tokio::test(start_paused = true)]
async fn framing_is_not_the_services_to_write() {
    let muddled = answering(|| {
        let mut response = with_length("7", "tea".into());
        for (name, value) in [("transfer-encoding", "gzip"), ("keep-alive", "timeout=5"), ("connection", "te")] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    });
    check_with(muddled, get("/").repeat(2), ok("tea").repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_keeps_no_promise_is_cut() {
    let head = ok("").replace(": 0", ": 6");
    // What was answered before it arrives whole, and so does the part of it there is.
    let short = answering(|| with_length("6", pieces([data("tea")])));
    check_with(short, get("/").repeat(2), head.clone() + "tea").await;
    let long = answering(|| with_length("6", pieces([data("tea"), data("pots")])));
    check_with(long, get("/").repeat(2), head.clone() + "tea").await;
    let failing = answering(|| with_length("6", pieces([data("tea"), Err(Error::internal("brewing"))])));
    check_with(failing, get("/").repeat(2), head + "tea").await;
    let failing = answering(|| Response::new(pieces([data("tea"), Err(Error::internal("brewing"))])));
    check_with(failing, get("/").repeat(2), format!("{CHUNKED}3\r\ntea\r\n")).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_body_has_beyond_its_length_is_left_unsent() {
    let longer = answering(|| with_length("3", pieces([data("tea"), data("pot")])));
    check_with(longer, get("/").repeat(2), ok("tea").repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_reply_does_not_take_the_one_before_it_along() {
    let served = AtomicUsize::new(0);
    let mut client = serve(service_fn(move |_: Request| {
        let first = served.fetch_add(1, Ordering::Relaxed) == 0;
        let broken = || pieces([Err(Error::internal("brewing"))]);
        std::future::ready(Ok(Response::new(if first { "tea".into() } else { broken() })))
    }));
    client.send(get("/").repeat(3)).await;
    client.expect(ok("tea") + CHUNKED).await;
    client.expect_end().await;
}

/// A body of `BIG` bytes, in one or in many.
fn big(streamed: bool) -> Body {
    match streamed {
        true => pieces(std::iter::repeat_n("b".repeat(1024).leak() as &'static str, BIG / 1024).map(data)),
        false => "b".repeat(BIG).into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_holds_is_kept_until_its_last_byte_has_left() {
    const ROOM: usize = 4096;
    for streamed in [true, false] {
        let guard = Arc::new(());
        let held = Arc::downgrade(&guard);
        let reply = Mutex::new(Some(Response::new(big(streamed)).holding(guard)));
        let mut client = Server { room: ROOM, ..Server::default() }.start(service_fn(move |_: Request| {
            let reply = reply.lock().unwrap().take();
            async move {
                match reply {
                    Some(reply) => Ok(reply),
                    None => std::future::pending().await,
                }
            }
        }));
        client.send(get("/").repeat(2)).await;
        settle().await;
        // All but a few bytes more than the wire holds.
        let length = Sized { streamed }.wire_bytes();
        client.take(length - ROOM - 10, PATIENCE).await;
        settle().await;
        assert!(held.upgrade().is_some(), "streamed: {streamed}");
        client.take(10, PATIENCE).await;
        settle().await;
        assert!(held.upgrade().is_none(), "streamed: {streamed}");
    }
}

/// How many bytes a reply with a [`big`] body has on the wire.
struct Sized {
    streamed: bool,
}

impl Sized {
    fn wire_bytes(&self) -> usize {
        let longer_date = DATE_BYTES - "now".len();
        match self.streamed {
            true => CHUNKED.len() + longer_date + BIG / 1024 * (1024 + "400\r\n\r\n".len()) + "0\r\n\r\n".len(),
            false => ok("").len() + "102400".len() - "0".len() + longer_date + BIG,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_reply_to_head_holds_is_dropped_with_its_head_sent() {
    let guard = Arc::new(());
    let held = Arc::downgrade(&guard);
    let mut client = serve(first(Response::new(big(true)).holding(guard)));
    client.ask(get("/").replace("GET", "HEAD"), "HTTP/1.1 200 OK\r\ndate: now\r\n\r\n").await;
    settle().await;
    assert!(held.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_a_body_that_streams() {
    let deadline = Instant::now() + Duration::from_secs(5);
    let (feed, stream) = piped();
    feed.send(data("tea")).await.unwrap();
    let mut client = serve(first(Response::new(stream).until(deadline)));
    client.ask(get("/"), format!("{CHUNKED}3\r\ntea\r\n")).await;
    assert_eq!(client.expect_end().await.as_secs(), 5);
    assert!(feed.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_frees_what_is_held_even_if_the_peer_takes_nothing() {
    let deadline = Instant::now() + Duration::from_secs(5);
    let guard = Arc::new(());
    let held = Arc::downgrade(&guard);
    let mut client = Server { room: 1024, ..Server::default() }
        .start(first(Response::new(big(true)).holding(guard).until(deadline)));
    client.send(get("/")).await;
    sleep(Duration::from_millis(4_900)).await;
    assert!(held.upgrade().is_some());
    sleep(Duration::from_millis(200)).await;
    assert!(held.upgrade().is_none());
}
