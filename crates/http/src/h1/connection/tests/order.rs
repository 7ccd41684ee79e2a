//! One request after another, and several at once.

use unary_service::HasContext;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_another() {
    let mut client = serve(site());
    for _ in 0..3 {
        client.ask(get("/"), ok("GET / of a in HTTP/1.1")).await;
        client.ask(post("/echo", "tea"), ok("tea")).await;
    }
    client.half_close().await;
    assert!(client.expect_end().await.is_zero());
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_however_cut() {
    let sent = [get("/"), post("/echo", "one"), get("/slow/1"), post("/echo", ""), get("/ignore")].concat();
    let expected = [ok("GET / of a in HTTP/1.1"), ok("one"), ok("/slow/1"), ok(""), ok("ignored")].concat();
    check(sent, expected).await;
}

#[tokio::test(start_paused = true)]
async fn the_shortest_requests_are_answered_wherever_they_are_cut() {
    check("GET / HTTP/1.0\r\n\r\n", last("GET / of nobody in HTTP/1.0")).await;
    check("\r\nGET / HTTP/1.1\r\nHost:a\r\n\r\n", ok("GET / of a in HTTP/1.1")).await;
}

#[tokio::test(start_paused = true)]
async fn safe_requests_run_at_once_and_are_answered_in_order() {
    let started = Arc::new(AtomicUsize::new(0));
    let seen = started.clone();
    let mut client = serve(service_fn(move |request: Request| {
        let started = started.clone();
        async move {
            started.fetch_add(1, Ordering::Relaxed);
            let slow = request.uri().path() == "/slow";
            sleep(Duration::from_secs(if slow { 5 } else { 1 })).await;
            body(request.uri().path().to_owned())
        }
    }));
    client.send([get("/slow"), get("/fast"), get("/fast")].concat()).await;
    settle().await;
    assert_eq!(seen.load(Ordering::Relaxed), 3);
    // The fast ones are done after a second, and have to wait for their turn.
    client.expect_silence(Duration::from_secs(4)).await;
    let begun = Instant::now();
    client.expect([ok("/slow"), ok("/fast"), ok("/fast")].concat()).await;
    assert!(begun.elapsed() < Duration::from_millis(1100), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_request_runs_beside_no_other() {
    let running = Arc::new(AtomicUsize::new(0));
    let mut client = serve(service_fn(move |request: Request| {
        let running = running.clone();
        async move {
            let beside = running.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            body(format!("{} beside {beside}", request.method()))
        }
    }));
    let sent = [get("/"), get("/"), post("/", ""), post("/", ""), get("/"), get("/")].concat();
    let begun = Instant::now();
    let expected =
        ["GET beside 0", "GET beside 1", "POST beside 0", "POST beside 0", "GET beside 0", "GET beside 1"].map(ok);
    client.ask(sent, expected.concat()).await;
    assert_eq!(begun.elapsed().as_secs(), 4, "two safe ones, each unsafe one, two safe ones");
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_the_bound() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let limits = Limits { pipelined_max: 3, ..Limits::default() };
    let mut client = Server { limits, ..Server::default() }.start(service_fn(move |_: Request| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            sleep(Duration::from_secs(1)).await;
            running.fetch_sub(1, Ordering::Relaxed);
            body("done")
        }
    }));
    client.ask(get("/").repeat(10), ok("done").repeat(10)).await;
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_bound_of_none_still_serves() {
    let limits = Limits { pipelined_max: 0, ..Limits::default() };
    let mut client = Server { limits, ..Server::default() }.start(site());
    client.ask(get("/ignore").repeat(2), ok("ignored").repeat(2)).await;
}

#[tokio::test(start_paused = true)]
async fn replies_ready_together_leave_together() {
    let mut client = serve(site());
    let expected = ok("ignored").repeat(16);
    client.send(get("/ignore").repeat(16)).await;
    // One read finds them all.
    let first = client.take(1, PATIENCE).await;
    let rest = client.take(usize::MAX, Duration::ZERO).await;
    assert_eq!(undated(&[first, rest].concat()), expected);
}

#[tokio::test(start_paused = true)]
async fn large_replies_keep_their_place() {
    let big = "b".repeat(BIG);
    let mut client = serve(site());
    let sent = [get("/ignore"), get("/big"), get("/ignore"), get("/big"), get("/slow/1"), get("/big")].concat();
    let (small, slow, big) = (ok("ignored"), ok("/slow/1"), ok(&big));
    let expected = [&*small, &big, &small, &big, &slow, &big];
    client.ask(sent, expected.concat()).await;
}

#[tokio::test(start_paused = true)]
async fn a_streamed_reply_holds_up_those_after_it() {
    let (feed, stream) = piped();
    let mut client = serve(first(Response::new(stream)));
    client.send(get("/").repeat(2)).await;
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    client.expect_silence(Duration::from_secs(20)).await;
    feed.send(data("first")).await.unwrap();
    client.expect("5\r\nfirst\r\n").await;
    client.expect_silence(Duration::from_secs(20)).await;
    drop(feed);
    client.expect(format!("0\r\n\r\n{}", ok("after"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_all_its_replies() {
    let mut client = serve(site());
    client.send([get("/slow/3"), post("/echo", "two"), get("/big")].concat()).await;
    client.half_close().await;
    client.expect([ok("/slow/3"), ok("two"), ok(&"b".repeat(BIG))].concat()).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_half_closed_client_gets_replies_to_what_had_to_wait() {
    for (request, reply) in [(get("/slow/3"), ok("/slow/3")), (post("/slow/3", ""), ok("/slow/3"))] {
        let mut client = serve(site());
        client.send(request.repeat(40)).await;
        client.half_close().await;
        client.expect(reply.repeat(40)).await;
        client.expect_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn more_requests_than_fit_a_read_are_all_answered() {
    let mut client = Server { room: 512, ..Server::default() }.start(site());
    let sent = get("/ignore").repeat(3_000);
    let (sending, answer) = (sent.as_bytes(), undated(&[]));
    assert!(answer.is_empty());
    let mut received = Vec::new();
    for piece in sending.chunks(4096) {
        client.send(piece).await;
        received.extend(client.take(usize::MAX, Duration::from_millis(1)).await);
    }
    client.half_close().await;
    received.extend(client.receive_to_end().await);
    assert_eq!(undated(&received), ok("ignored").repeat(3_000));
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_request_waits_for_the_end_of_the_reply_before_it() {
    let (feed, stream) = piped();
    let stream = Mutex::new(Some(stream));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let mut client = serve(service_fn(move |_: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        let stream = stream.lock().expect("no panic while the lock is held").take();
        std::future::ready(Ok(Response::new(stream.unwrap_or_default())))
    }));
    client.send(post("/a", "x") + &post("/b", "y")).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 1, "its reply is still being sent");
    drop(feed);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn early_hints_leave_in_the_turn_of_their_reply() {
    let hinting = || {
        service_fn(async |request: Request| {
            let id = request.body().context().expect("bodies have one").id;
            let links = HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static("</a>"))]);
            let [first, late] = ["/first", "/late"].map(|path| request.uri().path() == path);
            if first {
                crate::early_hints::leave(id, &links);
            }
            sleep(Duration::from_secs(if late { 2 } else { 1 })).await;
            if late {
                crate::early_hints::leave(id, &links);
            }
            body("hi")
        })
    };
    let hint = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    check_with(hinting, get("/first") + &get("/late"), format!("{hint}{0}{hint}{0}", ok("hi"))).await;
    // Whatever is left out of turn, or by a request of HTTP/1.0, is for nobody.
    check_with(hinting, get("/") + &get("/first"), ok("hi").repeat(2)).await;
    check_with(hinting, "GET /first HTTP/1.0\r\n\r\n", last("hi")).await;
}
