//! Requests' bodies arrive as fast as they are read, and no faster.

use unary_service::Kind;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_body_is_passed_on_while_it_arrives_with_its_trailers() {
    let mut client = Server::default().meet(site()).await;
    let (reply, mut sender) = client.send(head(Method::POST, "/stream"), false).await;
    let mut reply = reply.await.unwrap().into_body();
    for piece in ["one", "two"] {
        sender.send_data(piece.into(), false).unwrap();
        assert_eq!(reply.data().await.unwrap().unwrap(), piece);
    }
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "9".parse().unwrap())]);
    sender.send_trailers(trailers.clone()).unwrap();
    assert!(reply.data().await.is_none());
    assert_eq!(reply.trailers().await.unwrap(), Some(trailers));
}

#[tokio::test(start_paused = true)]
async fn a_long_body_is_read() {
    let mut client = Server::default().meet(site()).await;
    let body: &'static str = "b".repeat(3 << 20).leak();
    assert_eq!(client.post("/echo", body).await.unwrap().body.len(), 3 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_peer_gets_ahead_no_further_than_its_window() {
    let mut client = Server::default().meet(site()).await;
    let (_reply, mut sender) = client.send(head(Method::POST, "/slow/9999"), false).await;
    settle().await; // For the settings.
    sender.reserve_capacity(8 << 20);
    let mut sent = 0;
    while let Ok(room) = tokio::time::timeout(Duration::from_secs(1), poll_fn(|task| sender.poll_capacity(task))).await
    {
        let room = room.unwrap().unwrap();
        sender.send_data(vec![b'b'; room].into(), false).unwrap();
        sent += room;
    }
    assert_eq!(sent, Limits::default().stream_window as usize);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_another_length_than_announced_is_refused() {
    let mut client = Server::default().meet(site()).await;
    for (announced, whole) in [("3", true), ("4", false), ("2", false)] {
        let mut request = head(Method::POST, "/echo");
        request.headers_mut().insert("content-length", announced.parse().unwrap());
        let (reply, mut sender) = client.send(request, false).await;
        settle().await;
        sender.send_data("one".into(), true).unwrap();
        match whole {
            true => assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(200, "one")),
            false => assert_eq!(reason(reply.await), Some(Reason::PROTOCOL_ERROR)),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_slowly_is_refused() {
    let mut client = Server::default().meet(site()).await;
    let (reply, mut sender) = client.send(head(Method::POST, "/echo"), false).await;
    let begun = Instant::now();
    let slow = tokio::spawn(async move {
        while sender.send_data("a few bytes".into(), false).is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(reply.await.unwrap().status(), 408);
    assert!((10..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    slow.abort();
}

#[tokio::test(start_paused = true)]
async fn a_body_fast_enough_may_last() {
    let mut client = Server::default().meet(site()).await;
    let (reply, mut sender) = client.send(head(Method::POST, "/echo"), false).await;
    for _ in 0..100 {
        sender.send_data("b".repeat(600).into(), false).unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    sender.send_data(Bytes::new(), true).unwrap();
    assert_eq!(got(reply.await.unwrap()).await.unwrap().body.len(), 60_000);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_it_is_told_to_go_on_once_the_service_asks() {
    for path in ["/echo", "/stream"] {
        let mut client = Server::default().meet(site()).await;
        let mut request = head(Method::POST, path);
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut reply, mut sender) = client.send(request, false).await;
        let interim = poll_fn(|task| reply.poll_informational(task)).await.unwrap().unwrap();
        assert_eq!(interim.status(), StatusCode::CONTINUE);
        sender.send_data("go".into(), true).unwrap();
        assert_eq!(got(reply.await.unwrap()).await.unwrap().body, "go");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_it_is_told_to_go_on_where_the_body_is_sent_back_as_it_is() {
    let service = service_fn(async |request: Request| Ok(Response::new(request.into_body())));
    let mut client = Server::default().meet(service).await;
    let mut request = head(Method::POST, "/");
    request.headers_mut().insert("expect", "100-continue".parse().unwrap());
    let (mut reply, mut sender) = client.send(request, false).await;
    let interim = poll_fn(|task| reply.poll_informational(task)).await.expect("it is told").unwrap();
    assert_eq!(interim.status(), StatusCode::CONTINUE);
    sender.send_data("go".into(), true).unwrap();
    assert_eq!(got(reply.await.unwrap()).await.unwrap().body, "go");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_it_is_not_told_to_go_on_where_it_is_refused() {
    for streams in [true, false] {
        let service = service_fn(move |_: Request| async move {
            let body = match streams {
                true => Body::stream(http_body_util::Full::<Bytes>::from("no")),
                false => "no".into(),
            };
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(response)
        });
        let mut client = Server::default().meet(service).await;
        let mut request = head(Method::POST, "/");
        request.headers_mut().insert("expect", "100-continue".parse().unwrap());
        let (mut reply, _sender) = client.send(request, false).await;
        let interim = poll_fn(|task| reply.poll_informational(task)).await;
        assert!(interim.is_none(), "streams: {streams}: {interim:?}");
        assert_eq!(got(reply.await.unwrap()).await.unwrap(), said(413, "no"));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_to_be_expected() {
    let mut client = Server::default().meet(site()).await;
    let mut request = head(Method::GET, "/");
    request.headers_mut().insert("expect", "tea".parse().unwrap());
    let (reply, _) = client.send(request, true).await;
    assert_eq!(reply.await.unwrap().status(), 417);
    assert_eq!(client.started.counters.read().unsupported, 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_body_nobody_reads_does_no_harm() {
    let mut client = Server::default().meet(site()).await;
    let (reply, mut sender) = client.send(head(Method::POST, "/"), false).await;
    assert_eq!(got(reply.await.unwrap()).await.unwrap().status, 200);
    sender.send_data("b".repeat(60_000).into(), true).unwrap();
    settle().await;
    assert!(tokio::time::timeout(Duration::from_secs(9), poll_fn(|task| sender.poll_reset(task))).await.is_err());
    assert_eq!(client.get("/slow").await.unwrap(), said(200, "/slow"));
}

#[tokio::test(start_paused = true)]
async fn a_long_body_nobody_reads_is_stopped() {
    let mut client = Server::default().meet(site()).await;
    let (reply, mut sender) = client.send(head(Method::POST, "/"), false).await;
    assert_eq!(got(reply.await.unwrap()).await.unwrap().status, 200);
    sender.send_data("b".repeat(70_000).into(), false).unwrap();
    assert_eq!(poll_fn(|task| sender.poll_reset(task)).await.unwrap(), Reason::NO_ERROR);
}

#[tokio::test(start_paused = true)]
async fn a_body_given_up_fails_its_reader() {
    let (told, mut tell) = tokio::sync::mpsc::channel(1);
    let service = service_fn(move |request: Request| {
        // Elsewhere, as the call ends with its stream.
        let told = told.clone();
        tokio::spawn(async move { told.send(request.into_body().collect(99).await.unwrap_err().kind()).await });
        std::future::pending::<Result<Response, Error>>()
    });
    let mut client = Server::default().meet(service).await;
    let (_reply, mut sender) = client.send(head(Method::POST, "/"), false).await;
    settle().await;
    sender.send_reset(Reason::CANCEL);
    assert_eq!(tell.recv().await.unwrap(), Kind::Closed);
    settle().await;
    assert_eq!(client.started.counters.read().resets, 1);
}
