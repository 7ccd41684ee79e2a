//! What peers may take their time with.

use unary_testkit::far_end;

use super::*;

#[tokio::test(start_paused = true)]
async fn one_at_rest_too_long_is_closed() {
    let mut client = Server::default().meet(site()).await;
    assert_eq!(client.get("/slow/70").await.unwrap(), said(200, "/slow/70"));
    let begun = Instant::now();
    client.closed.await.unwrap().unwrap();
    assert!((60..63).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    client.started.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handshake_too_slow_is_closed() {
    let (near, mut far) = far_end(ROOM);
    tokio::spawn(async move {
        use unary_net::Protocol;
        H2::default().serve(Connection::new(near, Peer::new(None, None)), &Nobody).await
    });
    far.send("PRI * HTTP/2.0\r\n").await;
    let begun = Instant::now();
    far.receive_to_end().await;
    assert!((10..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// Is never asked.
struct Nobody;

impl Consumer<unary_net::Exchange<Request, Response>> for Nobody {
    async fn accept(&self, _: unary_net::Exchange<Request, Response>) -> Result<(), Error> {
        panic!("it was asked")
    }
}

#[tokio::test(start_paused = true)]
async fn more_requests_at_once_than_allowed_are_refused() {
    let limits = Limits { streams_max: 3, ..Limits::default() };
    let (near, far) = duplex(ROOM);
    let _started = Server { limits, ..Server::default() }.start(near, site());
    let mut far = floods::Raw::opened(far).await;
    for stream in [1, 3, 5, 7] {
        far.get(stream, "/slow/9").await;
    }
    settle().await;
    assert_eq!(far.so_far().await.resets, [(7, Reason::REFUSED_STREAM)]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut() {
    let (near, far) = duplex(1000);
    let started = Server::default().start(near, site());
    let mut far = floods::Raw::opened(far).await;
    far.get(1, "/big/50000").await;
    let begun = Instant::now();
    started.ended.await.unwrap();
    assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(started.counters.read().stalls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_cut() {
    let limits = Limits { ping_every: Some(Duration::from_secs(20)), ..Limits::default() };
    let mut client = Server { limits, ..Server::default() }.meet(site()).await;
    assert_eq!(client.get("/slow/100").await.unwrap(), said(200, "/slow/100"), "it does answer");

    let (near, far) = duplex(ROOM);
    let started = Server { limits, ..Server::default() }.start(near, site());
    let mut far = floods::Raw::opened(far).await;
    far.get(1, "/slow/999").await;
    let begun = Instant::now();
    started.ended.await.unwrap();
    assert!((40..63).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}
