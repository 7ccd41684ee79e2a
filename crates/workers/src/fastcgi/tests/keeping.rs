//! Connections that are kept, and what becomes of those whose call is given up.

use unary_net::Peer;
use unary_service::Context;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_is_used_again() {
    let (host, mut workers, mut worker) = used(Settings::default()).await;
    for _ in 0..3 {
        let call = get(&host);
        serve(&mut worker).await;
        assert_eq!(body_of(call.await.unwrap().unwrap()).await.unwrap(), "hello");
    }
    assert!(workers.try_recv().is_err());
    assert_eq!(host.crew.counts(), [(1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_says_how_many_connections_it_takes() {
    let (host, mut workers) = host(Settings::default());
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    serve(&mut worker).await;
    call.await.unwrap().unwrap();
    assert!(matches!(record(&mut worker).await, Record::GetValues(_)));
    worker.send(wire(&[Record::GetValuesResult(vec![("FCGI_MAX_CONNS".into(), "3".into())])])).await;
    settle().await;
    let _calls = [get(&host), get(&host), get(&host)];
    beginning(&mut worker).await;
    settle().await;
    assert_eq!(host.crew.counts(), [(3, 0)], "there are three at once");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_closes_when_it_is_asked_is_asked_once() {
    let (host, mut workers) = host(Settings::default());
    for number in 0..3 {
        let call = get(&host);
        let mut worker = workers.recv().await.unwrap();
        serve(&mut worker).await;
        call.await.unwrap().unwrap();
        if number == 0 {
            assert!(matches!(record(&mut worker).await, Record::GetValues(_)));
        } else {
            worker.expect_silence(SOON).await;
        }
        drop(worker);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_what_a_worker_holds_wait_and_then_try() {
    let (host, mut workers, mut worker) = used(Settings::default()).await;
    let first = get(&host);
    beginning(&mut worker).await;
    // One more is tried at once, the next one when a call has waited.
    let second = get(&host);
    let mut tried = workers.recv().await.unwrap();
    let third = get(&host);
    settle().await;
    assert!(workers.try_recv().is_err());
    // The worker holds one: when it is free, it is closed so that the one that waits gets its turn.
    tokio::time::sleep(Duration::from_millis(30)).await;
    record(&mut worker).await;
    worker.send(hello()).await;
    first.await.unwrap().unwrap();
    worker.expect_end().await;
    serve(&mut tried).await;
    second.await.unwrap().unwrap();
    let mut waited = workers.recv().await.unwrap();
    serve(&mut waited).await;
    third.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_connections_than_there_may_be() {
    let settings = Settings { connections_max: 2, waiting_max: 1, ..Settings::default() };
    let (host, mut workers) = host(settings);
    let begun = Instant::now();
    let calls = [get(&host), get(&host), get(&host), get(&host)];
    tokio::time::sleep(Duration::from_millis(200)).await;
    let ends = [workers.recv().await.unwrap()];
    let mut refused = 0;
    for call in calls {
        if let Ok(reply) = tokio::time::timeout(Duration::from_secs(10), call).await {
            assert_eq!(reply.unwrap().unwrap_err().kind(), Kind::Overloaded);
            refused += 1;
        }
    }
    assert!(refused >= 2 && begun.elapsed() < Duration::from_secs(40), "{refused} in {:?}", begun.elapsed());
    assert!(host.crew.counts()[0].0 <= 2);
    drop(ends);
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_is_closed_in_the_end() {
    let (host, _workers, mut worker) = used(Settings::default()).await;
    let rested = worker.expect_end().await;
    assert!((4..=6).contains(&rested.as_secs()), "{rested:?}");
    assert_eq!(host.crew.counts(), [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_when_its_client_goes_away() {
    let (host, _workers, mut worker) = used(Settings::default()).await;
    for before_its_head in [true, false] {
        let call = get(&host);
        question(&mut worker).await;
        if before_its_head {
            call.abort();
        } else {
            worker.send(wire(&[out("A: b\n\nbo")])).await;
            drop(call.await.unwrap().unwrap());
        }
        assert_eq!(record(&mut worker).await, Record::Abort { request: 1 });
        worker.send(wire(&[out("dy"), end()])).await;
        settle().await;
        assert_eq!(host.crew.counts(), [(1, 1)], "it has said that it is done");
    }
    let call = get(&host);
    question(&mut worker).await;
    call.abort();
    assert_eq!(record(&mut worker).await, Record::Abort { request: 1 });
    let closed = worker.expect_end().await;
    assert!(closed <= Duration::from_secs(2), "{closed:?}");
}

/// How long a worker that was asked this goes on sending before its connection is closed, one record each time.
async fn goes_on(worker: &mut FarEnd, host: &Host, every: Duration) -> Duration {
    let begun = Instant::now();
    while host.crew.counts() != [(0, 0)] && begun.elapsed() < Duration::from_secs(3600) {
        tokio::time::sleep(every).await;
        worker.send_some(&wire(&[out("more")]), SOON).await;
    }
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_for_a_client_that_has_left_has_a_second_in_all() {
    let (host, _workers, mut worker) = used(Settings::default()).await;
    let call = get(&host);
    question(&mut worker).await;
    call.abort();
    assert_eq!(record(&mut worker).await, Record::Abort { request: 1 });
    let time = goes_on(&mut worker, &host, Duration::from_millis(300)).await;
    assert!(time <= Duration::from_secs(2), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_after_a_reply_is_complete_has_some_minutes_in_all() {
    let (host, _workers, mut worker) = used(Settings::default()).await;
    let call = begin(&host, request(Method::HEAD, "/", ()));
    question(&mut worker).await;
    worker.send(wire(&[out("A: b\n\n")])).await;
    assert!(body_of(call.await.unwrap().unwrap()).await.unwrap().is_empty());
    let time = goes_on(&mut worker, &host, Duration::from_secs(30)).await;
    assert!((290..=340).contains(&time.as_secs()), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_when_a_body_is_cut_off() {
    let (host, _workers, mut worker) = used(Settings::default()).await;
    let (sender, body) = pieces(Some(6));
    let call = begin(&host, request(Method::POST, "/", body));
    sender.send("one").await.unwrap();
    beginning(&mut worker).await;
    assert_eq!(record(&mut worker).await, Record::Stream { request: 1, stream: Stream::Stdin, content: "one".into() });
    drop(sender);
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Internal);
    assert_eq!(record(&mut worker).await, Record::Abort { request: 1 });
    let closed = worker.expect_end().await;
    assert!(closed <= Duration::from_secs(2), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_is_watched_until_the_last_of_its_reply_has_come() {
    for cut in [false, true] {
        let (host, mut workers) = host(Settings::default());
        let peer = Peer::new(None, None);
        let context = Context { peer: Some(peer.remote()), ..Context::default() };
        let call = begin(&host, request(Method::GET, "/", Body::empty().with_context(context)));
        let mut worker = workers.recv().await.unwrap();
        question(&mut worker).await;
        assert!(peer.is_awaited());
        worker.send(wire(&[out("A: b\n\nbo")])).await;
        let reply = call.await.unwrap().unwrap();
        assert!(peer.is_awaited(), "the rest of it is awaited");
        if cut {
            drop(reply);
        } else {
            worker.send(wire(&[out("dy"), end()])).await;
            assert_eq!(body_of(reply).await.unwrap(), "body");
        }
        assert!(!peer.is_awaited());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_sends_at_rest_ends_its_connection() {
    let (host, mut workers, mut worker) = used(Settings::default()).await;
    worker.send(wire(&[out("unasked")])).await;
    let call = get(&host);
    let mut next = workers.recv().await.unwrap();
    serve(&mut next).await;
    call.await.unwrap().unwrap();
    worker.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_is_sent_again_only_if_it_was_not_begun() {
    // Refused in so many words.
    let (host, mut workers, mut worker) = used(Settings::default()).await;
    let call = begin(&host, request(Method::POST, "/", ()));
    question(&mut worker).await;
    worker.send(wire(&[Record::End { request: 1, exit_status: 0, outcome: Outcome::Overloaded }])).await;
    let mut next = workers.recv().await.unwrap();
    serve(&mut next).await;
    call.await.unwrap().unwrap();
    // Read, and then nothing.
    settle().await;
    let call = get(&host);
    question(&mut next).await;
    drop(next);
    assert_eq!(call.await.unwrap().unwrap_err().kind(), Kind::Upstream);
    assert!(workers.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn another_worker_is_asked_for_one_that_cannot_be_reached() {
    let (host, mut workers) = host_at(&["127.0.0.1:1", "127.0.0.1:9"], Settings::default());
    for _ in 0..3 {
        let call = get(&host);
        let mut worker = workers.recv().await.unwrap();
        serve(&mut worker).await;
        call.await.unwrap().unwrap();
    }
    let (host, _workers) = host_at(&["127.0.0.1:1"], Settings::default());
    assert_eq!(get(&host).await.unwrap().unwrap_err().kind(), Kind::Unavailable);
}
