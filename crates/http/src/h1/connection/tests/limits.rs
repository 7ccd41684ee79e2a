//! Limits on time: each is met late by two ticks at most, and never early.

use unary_net::timer::TICK;

use super::*;

/// The wait is over at `seconds`, or up to two ticks later.
#[track_caller]
fn assert_about(waited: Duration, seconds: u64) {
    let bound = Duration::from_secs(seconds);
    assert!((bound..=bound + 2 * TICK + Duration::from_millis(2)).contains(&waited), "{waited:?}, not {bound:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_silently() {
    let mut client = serve(site());
    assert_about(client.expect_end().await, 60);

    let mut client = serve(site());
    for _ in 0..3 {
        sleep(Duration::from_secs(50)).await;
        client.ask(get("/ignore"), ok("ignored")).await;
    }
    assert_about(client.expect_end().await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_head_has_to_be_there_in_time() {
    let late = refusal("408 Request Timeout");
    let mut client = serve(site());
    sleep(Duration::from_secs(30)).await;
    let begun = Instant::now();
    client.ask("GET", &late).await;
    assert_about(begun.elapsed(), 10);
    client.expect_end().await;

    // A byte now and then does not help.
    let mut client = serve(site());
    client.ask(get("/ignore"), ok("ignored")).await;
    let begun = Instant::now();
    for byte in get("/").as_bytes().chunks(1) {
        if client.send_some(byte, TICK).await == 0 || !client.receive(1, Duration::from_secs(1)).await.is_empty() {
            break;
        }
    }
    assert_about(Instant::now() - begun - Duration::ZERO, 10);
    client.expect(late).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_from_its_own_first_byte() {
    // Requests that overlap on the wire: part of the next is always there.
    let mut client = serve(site());
    let request = get("/ignore");
    let (start, rest) = request.split_at(7);
    client.send(start).await;
    for _ in 0..30 {
        sleep(Duration::from_secs(1)).await;
        client.ask(format!("{rest}{start}"), ok("ignored")).await;
    }
    client.ask(rest, ok("ignored")).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_may_take_its_time() {
    let mut client = serve(site());
    client.ask(get("/slow/1000"), ok("/slow/1000")).await;
    client.ask(get("/slow/1000") + "GET", ok("/slow/1000")).await;
    client.ask(" /ignore HTTP/1.1\r\nHost: a\r\n\r\n", ok("ignored")).await;
}

fn upload(length: usize) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn a_body_has_to_come_at_a_rate() {
    let mut client = serve(site());
    let begun = Instant::now();
    client.ask(upload(9), refusal("408 Request Timeout")).await;
    assert_about(begun.elapsed(), 10);
    client.expect_end().await;

    // Faster, for 30 seconds, is enough.
    let mut client = serve(site());
    let piece = "x".repeat(600);
    client.send(upload(30 * piece.len())).await;
    for _ in 0..30 {
        client.expect_silence(Duration::from_secs(1)).await;
        client.send(&piece).await;
    }
    client.expect(ok(&piece.repeat(30))).await;
}

#[tokio::test(start_paused = true)]
async fn each_body_has_its_rate_measured_anew() {
    let mut client = serve(site());
    let (body, half) = ("x".repeat(20_000), "x".repeat(10_000));
    client.send(upload(body.len()) + &half).await;
    for _ in 0..10 {
        sleep(Duration::from_secs(9)).await;
        // The end of one body and a little of the next, just before the time is up.
        let all_but_little = &half[100..];
        client.ask(half.clone() + &upload(body.len()) + "x".repeat(100).as_str(), ok(&body)).await;
        client.send(all_but_little).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_a_service_takes_is_not_the_peers() {
    // It takes ten times as long over each piece as the peer does.
    let mut client = serve(service_fn(async |request: Request| {
        let mut incoming = request.into_body();
        let mut length = 0;
        while let Some(bytes) = incoming.next_bytes().await? {
            length += bytes.len();
            sleep(Duration::from_secs(1)).await;
        }
        body(format!("{length}"))
    }));
    client.send(upload(100 * 60)).await;
    for _ in 0..100 {
        client.expect_silence(Duration::from_millis(100)).await;
        client.send([b'x'; 60]).await;
        sleep(Duration::from_secs(1)).await;
    }
    client.expect(ok("6000")).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_service_does_not_hide_a_slow_peer() {
    let mut client = serve(service_fn(async |request: Request| {
        let mut incoming = request.into_body();
        while incoming.next_bytes().await?.is_some() {
            sleep(Duration::from_millis(10)).await;
        }
        body("whole")
    }));
    client.send(upload(100_000)).await;
    let begun = Instant::now();
    while client.receive(1, Duration::from_millis(100)).await.is_empty() && begun.elapsed().as_secs() < 60 {
        client.send("x").await;
    }
    let waited = begun.elapsed();
    assert!((10.0..=12.0).contains(&waited.as_secs_f64()), "{waited:?}");
    client.expect(refusal("408 Request Timeout")).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_does_not_answer_for_the_requests_before_it() {
    let mut client = serve(site());
    client.send(get("/slow/20") + &upload(9).replace("POST", "GET")).await;
    client.expect(ok("/slow/20") + &refusal("408 Request Timeout")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_waits_for_our_word_is_not_slow() {
    let mut client = serve(site());
    let patient = upload(4).replace("POST", "GET").replace("Host", "Expect: 100-continue\r\nHost");
    client.send(get("/slow/50") + &patient).await;
    client.expect(ok("/slow/50") + "HTTP/1.1 100 Continue\r\n\r\n").await;
    let begun = Instant::now();
    client.expect(refusal("408 Request Timeout")).await;
    assert_about(begun.elapsed(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_fails_its_reader() {
    let (told, mut tells) = mpsc::channel(1);
    let mut client = serve(service_fn(move |request: Request| {
        let told = told.clone();
        async move {
            let read = request.into_body().collect(99).await;
            told.try_send(read.map_err(|error| error.kind())).expect("room for one");
            body("never sent")
        }
    }));
    client.ask(upload(9), refusal("408 Request Timeout")).await;
    assert_eq!(tells.recv().await, Some(Err(Kind::Timeout)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut() {
    let mut client = Server { room: 1024, ..Server::default() }.start(site());
    client.send(get("/big")).await;
    settle().await;
    sleep(Duration::from_secs(29)).await;
    client.take(1024, PATIENCE).await; // It took some: its time begins anew.
    let begun = Instant::now();
    settle().await;
    let cut = async {
        while client.send_some(b"x", TICK).await == 1 {
            sleep(TICK).await;
        }
    };
    cut.await;
    let waited = begun.elapsed();
    assert!((30.0..=31.1).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_eq!(client.receive_to_end().await.len(), 1024);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_a_little_now_and_then_is_not_cut() {
    let mut client = Server { room: 1024, ..Server::default() }.start(site());
    client.send(get("/big")).await;
    let mut received = Vec::new();
    while received.len() < BIG {
        sleep(Duration::from_secs(20)).await;
        received.extend(client.take(4096, PATIENCE).await);
    }
    received.extend(client.take(usize::MAX, TICK).await);
    assert_eq!(undated(&received), ok(&"b".repeat(BIG)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_pause_for_long() {
    let (feed, stream) = piped();
    let mut client = serve(first(Response::new(stream)));
    client.ask(get("/"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    for _ in 0..5 {
        client.expect_silence(Duration::from_secs(500)).await;
        feed.send(data("tea")).await.unwrap();
        client.expect("3\r\ntea\r\n").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_takes_its_time_is_no_slowness_of_the_peers() {
    // Only the end of the connection ends the body: a second reply would be part of it.
    let (feed, stream) = piped();
    let mut client = serve(first(Response::new(stream)));
    client.send("GET / HTTP/1.0\r\n\r\nX").await;
    sleep(Duration::from_secs(60)).await;
    feed.send(data("tea")).await.unwrap();
    drop(feed);
    let said = client.receive_to_end().await;
    assert!(said.ends_with(b"\r\n\r\ntea"), "{}", said.escape_ascii());

    // The rest of a body waits for the service; it is no head.
    let mut client = serve(service_fn(async |request: Request| {
        let (sender, body) = piped();
        tokio::spawn(async move {
            let mut incoming = request.into_body();
            while let Some(bytes) = incoming.next_bytes().await? {
                sleep(Duration::from_secs(15)).await;
                let _ = sender.send(Ok(Frame::data(bytes))).await;
            }
            Ok::<_, Error>(())
        });
        Ok(Response::new(body))
    }));
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        .await;
    let said = client.receive_to_end().await;
    assert!(said.ends_with(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"), "{}", said.escape_ascii());
}
