//! A codec's line end to end: its stages, its queues, and what failures leave standing.

use unary_net::{Answer, Exchange, connect, listen, process, reply};
use unary_service::flow::map;
use unary_service::{Error, Service, service_fn};

use crate::lines::Lines;
use crate::server::{Accepted, Server, start};

/// `fail` fails, `panic` panics; anything else is shouted.
fn shouting() -> impl Service<String, Reply = String> {
    service_fn(async |line: String| match line.as_str() {
        "fail" => Err(Error::internal("shouting")),
        "panic" => panic!("as the test told it to"),
        _ => Ok(line.to_uppercase()),
    })
}

/// Whatever becomes of one connection, others are served, and the server ends well.
async fn check(server: Server) {
    let mut witness = server.connect().await;
    assert_eq!(witness.ask("hello").await, "HELLO");

    let mut client = server.connect().await;
    client.say("one\ntwo\nthree\n").await;
    assert_eq!(client.finish().await, "ONE\nTWO\nTHREE\n");

    let mut client = server.connect().await;
    client.say("before\nfail\nafter\n").await;
    assert_eq!(client.rest().await, "BEFORE\nsorry: failed\n");

    let mut client = server.connect().await;
    client.say("before\npanic\nafter\n").await;
    let said = client.rest().await;
    assert!(said.starts_with("BEFORE\nsorry: "), "{said}");

    let mut client = server.connect().await;
    client.say("no end").await;
    assert_eq!(client.finish().await, "");

    let mut client = server.connect().await;
    client.say(&"x".repeat(2048)).await;
    assert_eq!(client.rest().await, "");

    assert_eq!(witness.ask("still there?").await, "STILL THERE?");
    assert_eq!(server.connect().await.ask("hello").await, "HELLO");
    drop(witness);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_codec_is_served() {
    check(start(|on| listen(on) >> connect(Lines) >> process(shouting()) >> reply())).await;
}

#[tokio::test]
async fn connections_can_be_queued_and_forked() {
    check(start(|on| listen(on).queue(4).fork(8) >> connect(Lines) >> process(shouting()) >> reply())).await;
}

#[tokio::test]
async fn exchanges_can_be_queued_and_forked() {
    check(start(|on| (listen(on) >> connect(Lines)).queue(4).fork(8) >> process(shouting()) >> reply())).await;
}

#[tokio::test]
async fn exchanges_can_be_queued() {
    check(start(|on| (listen(on) >> connect(Lines)).queue(4) >> process(shouting()) >> reply())).await;
}

#[tokio::test]
async fn users_stages_fit_in_all_three_gaps() {
    let greet = map(|mut accepted: Accepted| {
        accepted.buffered.extend_from_slice(b"from the first gap\n");
        accepted
    });
    let question = map(|exchange: Exchange<String, String>| exchange.map(|line| format!("{line}?")));
    let quote = map(|answer: Answer<String>| Answer { reply: format!("\"{}\"", answer.reply), slot: answer.slot });
    let server =
        start(|on| listen(on) >> greet >> connect(Lines) >> question >> process(shouting()) >> quote >> reply());
    let mut client = server.connect().await;
    client.say("more\n").await;
    assert_eq!(client.finish().await, "\"FROM THE FIRST GAP?\"\n\"MORE?\"\n");
    server.stop().await.unwrap();
}

/// A filter that lets no exchange through whose request is `drop`.
struct Dropping;

impl unary_service::flow::Transducer<Exchange<String, String>> for Dropping {
    type Out = Exchange<String, String>;

    async fn feed<D>(&self, exchange: Exchange<String, String>, down: &D) -> Result<(), Error>
    where
        D: unary_service::flow::Consumer<Self::Out>,
    {
        if exchange.request == "drop" { Ok(()) } else { down.accept(exchange).await }
    }
}

#[tokio::test]
async fn a_dropped_exchange_is_answered() {
    let server = start(|on| listen(on) >> connect(Lines) >> Dropping >> process(shouting()) >> reply());
    let mut client = server.connect().await;
    client.say("one\ndrop\nthree\n").await;
    assert_eq!(client.rest().await, "ONE\nsorry: failed\n");
    server.stop().await.unwrap();
}
