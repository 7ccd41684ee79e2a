//! A server about to stop; and what a connection at rest keeps.

use bytes::BytesMut;

use super::*;
use crate::h1::connection::tools::Tools;

fn draining() -> (Drain, Client) {
    let drain = Drain::new();
    let client = Server { drain: drain.clone(), ..Server::default() }.start(site());
    (drain, client)
}

#[tokio::test(start_paused = true)]
async fn the_next_reply_is_the_last() {
    let (drain, mut client) = draining();
    client.ask(get("/ignore"), ok("ignored")).await;
    client.send(get("/slow/30") + &get("/ignore")).await;
    settle().await;
    drain.start();
    client.expect(last("/slow/30")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_has_a_moment_of_grace() {
    let (drain, mut client) = draining();
    client.ask(get("/ignore"), ok("ignored")).await;
    drain.start();
    let waited = client.expect_end().await;
    assert!((1.0..=1.6).contains(&waited.as_secs_f64()), "{waited:?}");

    let (drain, mut client) = draining();
    settle().await;
    drain.start();
    sleep(Duration::from_millis(900)).await;
    client.ask(get("/ignore"), last("ignored")).await;
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn once_the_deadline_has_passed_everything_ends() {
    for sent in ["", "GET", &get("/slow/30"), &post("/echo", "milk").replace('4', "5")] {
        let (drain, mut client) = draining();
        client.send(sent).await;
        settle().await;
        drain.start();
        settle().await;
        drain.expire();
        assert!(client.expect_end().await < Duration::from_millis(2), "{sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_until_the_deadline() {
    let drain = Drain::new();
    let (feed, stream) = piped();
    let mut client = Server { drain: drain.clone(), ..Server::default() }.start(first(Response::new(stream)));
    client.ask(get("/"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    drain.start();
    client.expect_silence(Duration::from_secs(20)).await;
    feed.send(data("tea")).await.unwrap();
    client.expect("3\r\ntea\r\n").await;
    drain.expire();
    client.expect_end().await;
    assert!(feed.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_while_draining_ends_the_connection_after_a_grace() {
    let drain = Drain::new();
    let (feed, stream) = piped();
    let mut client = Server { drain: drain.clone(), ..Server::default() }.start(first(Response::new(stream)));
    client.ask(get("/"), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ndate: now\r\n\r\n").await;
    drain.start();
    drop(feed);
    client.expect("0\r\n\r\n").await;
    let waited = client.expect_end().await;
    assert!((1.0..=1.6).contains(&waited.as_secs_f64()), "{waited:?}");
}

/// Answers at once, in the plainest way.
struct Hello;

impl Consumer<Exchange<Request, Response>> for Hello {
    async fn accept(&self, exchange: Exchange<Request, Response>) -> Result<(), Error> {
        exchange.slot.fill(body("hello"));
        Ok(())
    }
}

/// What a connection at rest may take, the stream itself aside. 4,000 of them: 4 MB.
const RESTING_BYTES_MAX: usize = 1024;

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_is_small() {
    let (near, far) = far_end(1 << 16);
    let http = H1::default();
    let connection = Server::default().connection(near);
    let mut serving = std::pin::pin!(http.serve(connection, &Hello));
    let bytes = size_of_val(&*serving);
    println!("{bytes} bytes");
    assert!(bytes <= RESTING_BYTES_MAX, "{bytes} bytes");

    // And it keeps none of the tools it answered with.
    let mut client = Client(far);
    client.send(get("/")).await;
    let at_rest = tokio::time::timeout(Duration::from_millis(10), serving.as_mut()).await;
    assert!(at_rest.is_err(), "it is still open");
    client.expect(ok("hello")).await;
    let tools = Tools::lend(Limits::default().head, BytesMut::new());
    assert!(tools.output.front.capacity() > 0 && tools.spare.len() == 1, "the tools were given back");
}
