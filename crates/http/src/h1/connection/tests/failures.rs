//! Services that fail, and what the others on the connection see of it.

use super::*;

fn internal() -> String {
    failure("500 Internal Server Error")
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_request() {
    check([get("/ignore"), get("/oops"), get("/ignore")].concat(), [ok("ignored"), internal(), ok("ignored")].concat())
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_leaves_those_under_way_alone() {
    let mut client = serve(service_fn(async |request: Request| {
        let seconds = request.uri().path()[1..].parse().unwrap_or(0);
        sleep(Duration::from_secs(seconds)).await;
        assert_ne!(seconds, 2, "this is the second that panics");
        body(format!("after {seconds}"))
    }));
    let sent = [get("/3"), get("/2"), get("/1"), get("/2"), get("/4")].concat();
    let expected = [ok("after 3"), internal(), ok("after 1"), internal(), ok("after 4")].concat();
    client.ask(sent, &expected).await;
    client.ask(get("/1"), ok("after 1")).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_amid_a_body_leaves_the_connection_in_step() {
    let sent = post("/oops", &"milk".repeat(9)) + &get("/ignore");
    check(sent, internal() + &ok("ignored")).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_by_its_kind_only() {
    for (kind, status) in [
        (Kind::Invalid, "400 Bad Request"),
        (Kind::Forbidden, "403 Forbidden"),
        (Kind::NotFound, "404 Not Found"),
        (Kind::TooLarge, "413 Content Too Large"),
        (Kind::Internal, "500 Internal Server Error"),
        (Kind::Panicked, "500 Internal Server Error"),
        (Kind::Closed, "500 Internal Server Error"),
        (Kind::Unsupported, "501 Not Implemented"),
        (Kind::Overloaded, "503 Service Unavailable"),
        (Kind::Unavailable, "503 Service Unavailable"),
        (Kind::Timeout, "504 Gateway Timeout"),
    ] {
        let mut client = serve(service_fn(move |_: Request| {
            std::future::ready(Err(Error::new(kind, "opening the vault").because("the code is 1234")))
        }));
        let retry = if kind == Kind::Overloaded { "no-store\r\nretry-after: 1\r\n" } else { "no-store\r\n" };
        let mut expected = failure(status).replace("no-store\r\n", retry);
        if let Some(name) = http::StatusCode::from_bytes(&status.as_bytes()[..3]).unwrap().canonical_reason() {
            // The body has the name the `http` crate knows.
            let body = format!("{} {name}\n", &status[..3]);
            let (head, _) = expected.rsplit_once("\r\n\r\n").unwrap();
            let length = format!("content-length: {}", body.len());
            let head = head.replace(&format!("content-length: {}", status.len() + 1), &length);
            expected = format!("{head}\r\n\r\n{body}");
        }
        client.ask(get("/").repeat(2), expected.repeat(2)).await;
    }
}

/// A stage that loses what `/lost` asks for.
struct Losing;

impl Transducer<Exchange<Request, Response>> for Losing {
    type Out = Exchange<Request, Response>;

    async fn feed<D: Consumer<Self::Out>>(&self, exchange: Self::Out, down: &D) -> Result<(), Error> {
        match exchange.request.uri().path() {
            "/lost" => Ok(()),
            "/refused" => Err(Error::internal("passing on")),
            _ => down.accept(exchange).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_exchange_is_answered() {
    let (near, far) = far_end(1 << 20);
    let connection = Server::default().connection(near);
    let server = line(Once(connection)) >> connect(H1::default()) >> Losing >> process(site()) >> reply();
    tokio::spawn(server.drive());
    let mut client = Client(far);
    let sent = [get("/slow/1"), get("/lost"), get("/ignore"), get("/refused"), get("/ignore")].concat();
    let expected = [ok("/slow/1"), internal(), ok("ignored"), internal(), ok("ignored")].concat();
    client.ask(sent, expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_cuts_its_connection() {
    struct Panics;
    impl http_body::Body for Panics {
        type Data = Bytes;
        type Error = Error;
        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Piece>> {
            panic!("out of tea")
        }
    }
    let mut client = serve(service_fn(async |_: Request| Ok(Response::new(Body::stream(Panics)))));
    client.send(get("/")).await;
    let received = client.receive_to_end().await;
    assert!(!received.ends_with(b"0\r\n\r\n"), "{}", received.escape_ascii());
    // The thread's spare parts are as good as new.
    check(get("/ignore"), ok("ignored")).await;
}

/// A service that takes a minute, for a client that is there or for whomever.
fn a_minute(needs_client: bool) -> impl Service<Request, Reply = Response> + 'static {
    service_fn(move |request: Request| async move {
        let peer = unary_service::HasContext::context(&request).and_then(Peer::of).expect("it came over a connection");
        let _waiting = needs_client.then(|| peer.while_there());
        sleep(Duration::from_secs(60)).await;
        body("at last")
    })
}

/// Sends this and ends its half: what comes, and after how many seconds.
async fn half_closed(needs_client: bool, sent: &str) -> (String, u64) {
    let mut client = serve(a_minute(needs_client));
    let begun = Instant::now();
    client.send(sent).await;
    client.half_close().await;
    let answer = undated(&client.receive_to_end().await);
    (answer, begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_call_for_a_client_that_went_away_is_given_up() {
    assert_eq!(half_closed(true, &get("/")).await, (String::new(), 0));
    let asked = post("/", "all of it is there");
    assert_eq!(half_closed(true, &asked).await, (String::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_still_read_gets_its_reply() {
    let closing = get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(half_closed(true, &closing).await, (last("at last"), 60));
    assert_eq!(half_closed(true, &get("/").repeat(2)).await, (ok("at last").repeat(2), 60));
    assert_eq!(half_closed(false, &get("/")).await, (ok("at last"), 60));
    let (answer, seconds) = half_closed(true, &(get("/") + "GET / HT")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && seconds == 60, "it began to say more: {answer}");
}

/// A body that says one word, and nothing more for a minute; for a client that is there or for whomever.
struct Wordless {
    word: Option<Bytes>,
    minute: Pin<Box<tokio::time::Sleep>>,
    _waiting: Option<unary_net::WhileThere>,
}

impl http_body::Body for Wordless {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Piece>> {
        match self.word.take() {
            Some(word) => Poll::Ready(Some(Ok(http_body::Frame::data(word)))),
            None => self.minute.as_mut().poll(task).map(|()| None),
        }
    }
}

/// After how many seconds the connection ends of a client that leaves amid such a reply.
async fn left_amid_reply(needs_client: bool, sent: &str) -> u64 {
    let service = service_fn(move |request: Request| async move {
        let peer = unary_service::HasContext::context(&request).and_then(Peer::of).expect("it came over a connection");
        let minute = Box::pin(sleep(Duration::from_secs(60)));
        let waiting = needs_client.then(|| peer.while_there());
        let word = Some(Bytes::from_static(b"word"));
        Ok(Response::new(Body::stream(Wordless { word, minute, _waiting: waiting })))
    });
    let mut client = serve(service);
    let begun = Instant::now();
    client.send(sent).await;
    client.half_close().await;
    let received = client.receive_to_end().await;
    assert!(received.windows(4).any(|window| window == b"word"), "{}", received.escape_ascii());
    begun.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_falls_silent_is_given_up_where_its_client_has_gone() {
    assert_eq!(left_amid_reply(true, &get("/")).await, 0);
    assert_eq!(left_amid_reply(false, &get("/")).await, 60);
    let closing = get("/").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(left_amid_reply(true, &closing).await, 60);
}
