//! Requests the engine refuses by itself: the exact status, in its turn, and readable.

use std::fs;
use std::path::Path;

use super::*;

#[tokio::test(start_paused = true)]
async fn what_came_before_is_answered_first_and_what_comes_after_never() {
    let sent = [&get("/slow/2"), &post("/echo", "milk"), "GET\r\n\r\n", &get("/")].concat();
    let expected = [ok("/slow/2"), ok("milk"), refusal("400 Bad Request")].concat();
    check(sent, expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_after_a_large_reply() {
    let mut client = serve(site());
    client.send(get("/big") + "GET\r\n\r\n").await;
    client.expect(ok(&"b".repeat(BIG)) + &refusal("400 Bad Request")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_after_a_streamed_reply() {
    let (feed, stream) = piped();
    let mut client = serve(first(Response::new(stream)));
    client.send(get("/") + "GET\r\n\r\n").await;
    client.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    feed.send(data("tea")).await.unwrap();
    client.expect("3\r\ntea\r\n").await;
    drop(feed);
    client.expect("0\r\n\r\n".to_owned() + &refusal("400 Bad Request")).await;
    client.expect_end().await;
}

/// The fixtures of the decoder, through a whole connection whose service reads every body.
#[tokio::test(start_paused = true)]
async fn each_refused_fixture_gets_its_status_and_a_close() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/h1/request");
    let mut refused = 0;
    for file in fs::read_dir(folder).expect("the folder of fixtures") {
        let path = file.expect("a fixture").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let status = name.split('_').next().unwrap_or_default();
        if status == "ok" || path.extension().is_none_or(|extension| extension != "http") {
            continue;
        }
        let mut client = serve(service_fn(async |request: Request| {
            let body = request.into_body().collect(1 << 20).await?;
            Ok(Response::new(body.into()))
        }));
        client.send(fs::read(&path).expect("a fixture")).await;
        client.half_close().await;
        let received = undated(&client.receive_to_end().await);
        let (before, answer) = received.rsplit_once("HTTP/1.1 ").unwrap_or_else(|| panic!("{name}: no answer"));
        assert!(!before.contains("\r\nconnection: close"), "{name}: an answer after the last: {received}");
        // Trailers too long are a body's fault, and a body's fault is 400.
        let status = if name.starts_with("431_trailer") { "400" } else { status };
        assert_eq!(&answer[..3], status, "{name}: {received}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{name}: {received}");
        refused += 1;
    }
    assert!(refused > 100, "only {refused} fixtures");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_can_be_read_while_the_client_keeps_sending() {
    let mut client = Server { room: 256, ..Server::default() }.start(site());
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    for _ in 0..100 {
        client.send([b'x'; 256]).await;
    }
    client.expect(refusal("400 Bad Request")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_read_after_a_refusal_is_bounded() {
    let bounded = 1 << 20;
    let mut client = Server { room: 4096, ..Server::default() }.start(site());
    client.ask("nonsense\r\n\r\n", refusal("400 Bad Request")).await;
    let taken = client.send_some(&vec![b'x'; 3 * bounded], Duration::from_secs(1)).await;
    assert!((bounded..=bounded + 3 * 4096).contains(&taken), "{taken}");

    let mut client = serve(site());
    client.ask("nonsense\r\n\r\n", refusal("400 Bad Request")).await;
    let begun = Instant::now();
    while client.send_some(b"x", Duration::from_secs(1)).await == 1 {
        sleep(Duration::from_millis(100)).await;
    }
    assert!((2.0..=2.2).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_services_own_can_be_read_while_the_client_keeps_sending() {
    let mut client = Server { room: 256, ..Server::default() }.start(site());
    client.send(get("/close")).await;
    settle().await;
    client.send([b'x'; 2000]).await;
    client.expect(last("closing")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_cut_short_is_not_answered() {
    let whole = get("/");
    for cut in 1..whole.len() {
        let mut client = serve(site());
        client.send(&whole[..cut]).await;
        client.half_close().await;
        assert!(client.expect_end().await.is_zero(), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_lines_of_one_connection_do_not_count_against_the_next() {
    for _ in 0..3 {
        let mut client = serve(site());
        client.ask(get("/ignore"), ok("ignored")).await;
        client.send("\r\n\r\n\r\n\r\n").await;
        settle().await;
    }
    let mut client = serve(site());
    client.ask("\r\n".to_owned() + &get("/ignore"), ok("ignored")).await;
}
