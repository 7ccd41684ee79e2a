use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use unary_gateway::scgi::head::decode;
use unary_http::Body;
use unary_service::Kind;
use unary_testkit::FarEnd;

use super::*;
use crate::host::tests::{Dialling, dialling};

type Host = Arc<Scgi<Dialling, DuplexStream>>;

const SOON: Duration = Duration::from_secs(1);

fn host() -> (Host, Receiver<FarEnd>) {
    let (dial, workers) = dialling();
    let addresses = ["127.0.0.1:9".parse().unwrap()];
    (Arc::new(Scgi::over(addresses, &dial, Mount::default(), Settings::default())), workers)
}

fn begin(host: &Host, method: Method, body: impl Into<Body>) -> JoinHandle<Result<Response, Error>> {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = "/deepthought".parse().unwrap();
    let host = host.clone();
    tokio::spawn(async move { host.call(request).await })
}

async fn head(worker: &mut FarEnd) -> Head {
    let mut input = BytesMut::new();
    loop {
        let byte = worker.take(1, SOON).await;
        assert_eq!(byte.len(), 1, "no head comes");
        input.extend_from_slice(&byte);
        if let Some(head) = decode(&mut input).unwrap() {
            return head;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_told_and_answers_to_the_end() {
    let (host, mut workers) = host();
    let call = begin(&host, Method::POST, "What is the answer to life?");
    let mut worker = workers.recv().await.unwrap();
    let head = head(&mut worker).await;
    assert_eq!(head.content_length, 27);
    assert!(head.variables.contains(&("REQUEST_URI".into(), "/deepthought".into())));
    worker.expect("What is the answer to life?").await;
    worker.send("Status: 200 OK\r\nContent-Type: text/plain\r\n\r\n").await;
    worker.send("42").await;
    drop(worker);
    let reply = call.await.unwrap().unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.into_body().collect(99).await.unwrap(), "42");
    assert_eq!(host.crew.counts(), [(0, 0)], "no connection is kept");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_body_has_a_length() {
    let (host, mut workers) = host();
    let _call = begin(&host, Method::GET, ());
    let mut worker = workers.recv().await.unwrap();
    assert_eq!(head(&mut worker).await.content_length, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_begin_is_none() {
    for said in ["", "Content-Type: text/plain\n", "Content-Length: 3\n\n42"] {
        let (host, mut workers) = host();
        let call = begin(&host, Method::GET, ());
        let mut worker = workers.recv().await.unwrap();
        head(&mut worker).await;
        worker.send(said).await;
        drop(worker);
        let reply = call.await.unwrap();
        let failed = match reply {
            Err(error) => error.kind(),
            Ok(reply) => reply.into_body().collect(99).await.unwrap_err().kind(),
        };
        assert_eq!(failed, Kind::Upstream, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_connection_closes_when_the_client_goes_away() {
    let (host, mut workers) = host();
    let call = begin(&host, Method::GET, ());
    let mut worker = workers.recv().await.unwrap();
    head(&mut worker).await;
    call.abort();
    worker.expect_end().await;
}
