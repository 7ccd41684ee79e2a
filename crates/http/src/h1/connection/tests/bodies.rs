//! Request bodies: as they arrive, as they are asked for, and as nobody wants them.

use super::*;

/// Names everything a body gives out, its pieces joined.
fn telling() -> impl Service<Request, Reply = Response> + 'static {
    service_fn(async |mut request: Request| {
        let mut told = String::new();
        loop {
            let frame = poll_fn(|task| Pin::new(request.body_mut()).poll_frame(task)).await;
            match frame.transpose().map(|frame| frame.map(Frame::into_data)) {
                Ok(None) => return body(told + ", end"),
                Ok(Some(Ok(data))) => told += &String::from_utf8_lossy(&data),
                Ok(Some(Err(trailers))) => {
                    let trailers = trailers.into_trailers().expect("data or trailers");
                    trailers.iter().for_each(|(name, value)| told += &format!(", {name} {value:?}"));
                }
                Err(error) => return body(format!("{told}, {}", error.kind().as_str())),
            }
        }
    })
}

const CHUNKED: &str = "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn expecting(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
}

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn chunks_and_trailers_arrive_however_cut() {
    let sent = format!("{CHUNKED}3;x=y\r\ntea\r\n1\r\n!\r\n0\r\nTea-Leaf: green\r\nHost: b\r\n\r\n{}", get("/"));
    check_with(telling, sent, [ok("tea!, tea-leaf \"green\", end"), ok(", end")].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_length_arrives_however_cut() {
    let sent = [post("/", "milk"), post("/", ""), get("/")].concat();
    check_with(telling, sent, [ok("milk, end"), ok(", end"), ok(", end")].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_is_echoed_while_it_arrives() {
    let mut client = serve(site());
    client.send(CHUNKED).await;
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    client.ask("3\r\none\r\n", "3\r\none\r\n").await;
    client.ask("3\r\ntwo\r\n", "3\r\ntwo\r\n").await;
    client.ask("0\r\nTea: green\r\n\r\n", "0\r\ntea: green\r\n\r\n").await;
    client.ask(get("/ignore"), ok("ignored")).await;

    client.send("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none").await;
    client.expect("HTTP/1.1 200 OK\r\ncontent-length: 6\r\ndate: now\r\n\r\none").await;
    client.ask("two", "two").await;
    client.ask(get("/ignore"), ok("ignored")).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_body_is_echoed_through_a_narrow_wire() {
    let sent = "0123456789abcdef".repeat(10_000);
    let mut client = Server { room: 100, ..Server::default() }.start(site());
    client.send(format!("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len())).await;
    client.expect(ok("").replace(": 0", ": 160000")).await;
    for piece in sent.as_bytes().chunks(90) {
        client.send(piece).await;
        assert_eq!(client.take(piece.len(), PATIENCE).await, piece);
    }
    client.ask(get("/ignore"), ok("ignored")).await;
}

/// What a connection holds at most of a body nobody reads: one read's worth, and one more in the
/// buffer it was read into.
const HELD_BYTES_MAX: usize = 2 * 64 * 1024;

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_is_not_taken_off_the_wire() {
    const ROOM: usize = 16 * 1024;
    const MINUTE: Duration = Duration::from_secs(60);
    let read = Arc::new(Notify::new());
    let reading = read.clone();
    let mut client = Server { room: ROOM, ..Server::default() }.start(service_fn(move |request: Request| {
        let read = reading.clone();
        async move {
            let mut incoming = request.into_body();
            read.notified().await;
            incoming.next_bytes().await?;
            read.notified().await;
            let rest = incoming.collect(1 << 30).await?;
            body(format!("{} more", rest.len()))
        }
    }));
    let length = 1 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    let sent = vec![b'x'; length];
    let first = client.send_some(&sent, MINUTE).await;
    assert!(first <= ROOM + HELD_BYTES_MAX, "{first}");
    read.notify_one();
    let second = client.send_some(&sent[first..], MINUTE).await;
    assert!(second <= HELD_BYTES_MAX, "{second}");
    read.notify_one();
    assert_eq!(client.send_some(&sent[first + second..], MINUTE).await, length - first - second);
    assert!(undated(client.receive(usize::MAX, MINUTE).await).ends_with(" more"));
}

#[tokio::test(start_paused = true)]
async fn continue_is_said_once_the_body_is_asked_for() {
    let mut client = serve(service_fn(async |request: Request| {
        sleep(Duration::from_secs(5)).await;
        body(request.into_body().collect(99).await?)
    }));
    client.send(expecting("/", 6)).await;
    client.expect_silence(Duration::from_millis(4_900)).await;
    client.expect(CONTINUE).await;
    client.send("mil").await;
    client.expect_silence(Duration::from_secs(5)).await;
    client.ask("ky!", ok("milky!")).await;
    client.ask(get("/"), "").await;
}

#[tokio::test(start_paused = true)]
async fn continue_is_not_said_when_the_reply_comes_first() {
    let mut client = serve(site());
    client.ask(expecting("/ignore", 6), last("ignored")).await;
    assert!(client.expect_end().await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn continue_is_not_said_when_the_body_has_begun() {
    let mut client = serve(site());
    client.send(expecting("/echo", 6) + "mil").await;
    client.expect_silence(Duration::from_secs(1)).await;
    client.ask("ky!", ok("milky!")).await;
    client.ask(expecting("/echo", 4) + "milk", ok("milk")).await;
}

#[tokio::test(start_paused = true)]
async fn continue_is_said_when_the_reply_is_the_body_itself() {
    let mut client = serve(site());
    client.ask(expecting("/stream", 4), CONTINUE.to_owned() + ok("milk").strip_suffix("milk").unwrap()).await;
    client.ask("milk", "milk").await;
    client.ask(get("/ignore"), ok("ignored")).await;
}

#[tokio::test(start_paused = true)]
async fn continue_waits_for_the_replies_before_it() {
    let mut client = serve(site());
    let patient = expecting("/echo", 4).replace("POST", "GET");
    client.send(get("/slow/2") + &patient).await;
    client.expect(ok("/slow/2") + CONTINUE).await;
    client.ask("milk", ok("milk")).await;

    client.send(get("/big") + &expecting("/echo", 4)).await;
    client.expect(ok(&"b".repeat(BIG)) + CONTINUE).await;
    client.ask("milk", ok("milk")).await;
}

#[tokio::test(start_paused = true)]
async fn other_expectations_are_refused() {
    let sent = expecting("/", 1).replace("100-continue", "miracles");
    check(sent, refusal("417 Expectation Failed")).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_body_nobody_reads_is_passed_over() {
    let milk = "milk".repeat(50);
    check([post("/ignore", &milk), get("/")].concat(), [ok("ignored"), ok("GET / of a in HTTP/1.1")].concat()).await;
    let chunked = CHUNKED.replace("/stream", "/ignore");
    let sent = format!("{chunked}4\r\nmilk\r\n0\r\n\r\n{}", get("/"));
    check(sent, [ok("ignored"), ok("GET / of a in HTTP/1.1")].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn a_long_body_nobody_reads_ends_the_connection() {
    let mut client = serve(site());
    let length = 400 * 1024;
    client.send(format!("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")).await;
    // It is told, lest it send another request.
    client.expect(last("ignored")).await;
    // It is still taken for a while, lest the reply be lost.
    client.send(vec![b'x'; length]).await;
    client.send(get("/")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_nobody_reads_and_nobody_sends_ends_the_connection_silently() {
    let mut client = serve(site());
    client.ask("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", ok("ignored")).await;
    let waited = client.expect_end().await;
    assert!((10.0..=10.6).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_nobody_reads_may_come_as_slowly_as_any() {
    let mut client = serve(site());
    client.ask("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n", ok("ignored")).await;
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        client.send([b'x'; 1000]).await;
    }
    client.ask(get("/ignore"), ok("ignored")).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_an_error_to_its_reader() {
    let short = post("/", "milk").replace(": 4", ": 5");
    let mut client = serve(telling());
    client.send(&short).await;
    client.half_close().await;
    client.expect(last("milk, closed by the other end")).await;
    client.expect_end().await;

    let mut client = serve(telling());
    client.send(format!("{CHUNKED}4\r\nmilk\r\n")).await;
    settle().await;
    client.half_close().await;
    client.expect(last("milk, closed by the other end")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_senseless_framing_is_an_error_to_its_reader() {
    let sent = format!("{CHUNKED}4\r\nmilk\r\n4;\r\nmilk\r\n0\r\n\r\n{}", get("/"));
    check_with(telling, &sent, last("milk, invalid")).await;
    // Whoever passes it on answers what the peer deserves.
    let refused = failure("400 Bad Request").replace("now\r\n", "now\r\nconnection: close\r\n");
    check(sent.replace("/stream", "/echo"), refused).await;
    let length_twice = post("/", "milk").replace("Content-Length", "Content-Length: 4\r\nContent-Length");
    check(length_twice, refusal("400 Bad Request")).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_too_long_for_its_reader_is_answered_and_the_connection_ends() {
    let mut client = serve(service_fn(async |request: Request| body(request.into_body().collect(10).await?)));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n").await;
    client.send("0123456789a").await;
    // The body has the name the `http` crate knows.
    let refused = failure("413 Content Too Large").replace("\r\n413 Content", "\r\n413 Payload");
    client.expect(refused.replace("now\r\n", "now\r\nconnection: close\r\n")).await;
    client.send(vec![b'x'; 99999 - 11]).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_amid_a_body_ends_the_call() {
    let (told, mut tells) = mpsc::channel(1);
    let mut client = serve(service_fn(move |request: Request| {
        let told = told.clone();
        async move {
            let read = request.into_body().collect(99).await;
            told.try_send(read.map_err(|error| error.kind())).expect("room for one");
            body("nobody hears this")
        }
    }));
    client.send(post("/", "milk").replace(": 4", ": 5")).await;
    settle().await;
    drop(client);
    assert_eq!(tells.recv().await, Some(Err(Kind::Closed)));
    // The call is gone with the connection, and so is what it would have told with.
    assert_eq!(tells.recv().await, None);
}
