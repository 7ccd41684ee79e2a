//! Workers at fault: whatever they do is bounded, and no client is told less than that something failed.

use super::*;

/// What becomes of a call whose worker says this, and then nothing more or the end.
async fn outcome(said: &[u8], then: Then) -> Result<Bytes, Kind> {
    let (host, mut workers) = host(Settings::default());
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    worker.send_some(said, SOON).await;
    if then == Then::Close {
        worker.half_close().await;
    }
    let reply = call.await.unwrap().map_err(|error| error.kind())?;
    let body = body_of(reply).await.map_err(|error| error.kind());
    drop(worker);
    body
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_closes_anywhere_is_seen_to() {
    let whole = hello();
    for cut in 0..whole.len() {
        assert_eq!(outcome(&whole[..cut], Then::Close).await, Err(Kind::Upstream), "closed after {cut} bytes");
    }
    assert_eq!(outcome(&whole, Then::Close).await, Ok("hello".into()));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_falls_silent_anywhere_is_given_up() {
    let whole = hello();
    for cut in [0, 1, 8, 20, 40, whole.len() - 1] {
        let begun = Instant::now();
        assert_eq!(outcome(&whole[..cut], Then::Keep).await, Err(Kind::Timeout), "silent after {cut} bytes");
        assert!((60..=62).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_takes_nothing_is_given_up() {
    let (host, mut workers) = host(Settings::default());
    let call = begin(&host, request(Method::POST, "/", "x".repeat(100_000)));
    let _worker = workers.recv().await.unwrap();
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_no_reply() {
    for garbage in
        [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"\x01\x06\0\x02\0\0\0\0", b"\x01\x01\0\x01\0\x08\0\0\0\x01\0\0\0\0\0\0"]
    {
        assert_eq!(outcome(garbage, Then::Keep).await, Err(Kind::Upstream), "{}", garbage.escape_ascii());
    }
    for content in ["", "no header block", "\n\n", "Transfer-Encoding: chunked\n\n", "Status: 101\nUpgrade: x\n\n"] {
        assert_eq!(outcome(&wire(&[out(content), end()]), Then::Keep).await, Err(Kind::Upstream), "{content:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn endless_headers_are_refused() {
    let line = Record::Stream { request: 1, stream: Stream::Stdout, content: vec![b'x'; 10_000].into() };
    let mut wire = BytesMut::new();
    (0..1000).for_each(|_| line.encode(&mut wire));
    assert_eq!(outcome(&wire, Then::Keep).await, Err(Kind::Upstream));
}

#[tokio::test(start_paused = true)]
async fn endless_talk_for_the_log_is_no_reply() {
    let (host, mut workers) = host(Settings::default());
    let mut call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    question(&mut worker).await;
    let line = Record::Stream { request: 1, stream: Stream::Stderr, content: vec![b'x'; 10_000].into() };
    let line = wire(&[line]);
    let begun = Instant::now();
    let reply = loop {
        tokio::select! {
            reply = &mut call => break reply.unwrap(),
            () = tokio::time::sleep(SOON) => drop(worker.send_some(&line, SOON).await),
        }
    };
    assert_eq!(reply.unwrap_err().kind(), Kind::Timeout);
    assert!(begun.elapsed().as_secs() <= 62, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_short_fails() {
    let short = wire(&[out("Content-Length: 9\n\nhello"), end()]);
    assert_eq!(outcome(&short, Then::Keep).await, Err(Kind::Upstream));
    let long = wire(&[out("Content-Length: 3\n\nhello"), end()]);
    assert_eq!(outcome(&long, Then::Keep).await, Ok("hel".into()));
}
