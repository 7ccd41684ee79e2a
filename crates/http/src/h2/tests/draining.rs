//! A server that stops lets what is under way end, and tells peers to go elsewhere.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_under_way_is_answered_and_then_it_closes() {
    let drain = Drain::new();
    let mut client = Server { drain: drain.clone(), ..Server::default() }.meet(site()).await;
    let (reply, _) = client.send(head(Method::GET, "/slow/9"), true).await;
    settle().await;
    let begun = Instant::now();
    drain.start();
    settle().await;
    let refused = poll_fn(|task| client.requests.poll_ready(task)).await;
    assert!(refused.is_err(), "the client may begin more");
    assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(200, "/slow/9"));
    client.started.ended.await.unwrap();
    client.closed.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_secs(), 8, "it closes with the last reply");
}

#[tokio::test(start_paused = true)]
async fn one_at_rest_closes_at_once() {
    let drain = Drain::new();
    let client = Server { drain: drain.clone(), ..Server::default() }.meet(site()).await;
    settle().await;
    let begun = Instant::now();
    drain.start();
    client.started.ended.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_whose_peer_is_silent_closes_after_a_grace() {
    let drain = Drain::new();
    let (near, far) = duplex(ROOM);
    let started = Server { drain: drain.clone(), ..Server::default() }.start(near, site());
    let mut far = floods::Raw::opened(far).await;
    settle().await;
    drain.start();
    let begun = Instant::now();
    assert_eq!(far.until_end().await.go_away, Some(Reason::NO_ERROR));
    assert!((1..3).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    started.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_closes_what_is_still_open() {
    let drain = Drain::new();
    let mut client = Server { drain: drain.clone(), ..Server::default() }.meet(site()).await;
    let (reply, _) = client.send(head(Method::GET, "/slow/999"), true).await;
    settle().await;
    drain.start();
    sleep(Duration::from_secs(5)).await;
    drain.expire();
    assert!(reply.await.is_err());
    client.started.ended.await.unwrap();
}
