use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::io::DuplexStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use unary_gateway::scgi::head::decode;
use unary_http::Body;
use unary_service::Kind;
use unary_testkit::{FarEnd, settle};

use super::*;
use crate::host::engaged::{Engaged, Place};
use crate::host::tests::{Dialling, dialling, pieces};

type Host = Arc<Scgi<Dialling, DuplexStream>>;

const SOON: Duration = Duration::from_secs(1);

fn host() -> (Host, Receiver<FarEnd>) {
    let (dial, workers) = dialling();
    let addresses = ["127.0.0.1:9".parse().unwrap()];
    (Arc::new(Scgi::over(addresses, &dial, Mount::default(), Settings::default())), workers)
}

fn begin(host: &Host, method: Method, body: impl Into<Body>) -> JoinHandle<Result<Response, Error>> {
    begin_as(host, method, body, None)
}

fn begin_as(
    host: &Host,
    method: Method,
    body: impl Into<Body>,
    engaged: Option<Engaged>,
) -> JoinHandle<Result<Response, Error>> {
    let mut request = Request::new(body.into());
    if let Some(engaged) = engaged {
        request.extensions_mut().insert(engaged);
    }
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

/// A place at a worker that tells what becomes of it.
struct Seat(Sender<&'static str>);

impl Place for Seat {
    fn is_lost(&self) {
        self.0.try_send("lost").unwrap();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.0.try_send("free");
    }
}

/// A worker of a pool keeps its place until it is done: it is not given another request amid one.
async fn check_left(is_upload: bool, is_done: bool, expected: &[&str]) {
    let (host, mut workers) = host();
    let (tell, mut told) = channel(2);
    let engaged = Some(Engaged(Arc::new(Seat(tell))));
    let (sender, body) = pieces(Some(6));
    let call = match is_upload {
        true => begin_as(&host, Method::POST, body, engaged),
        false => begin_as(&host, Method::GET, (), engaged),
    };
    let mut worker = workers.recv().await.unwrap();
    head(&mut worker).await;
    if is_upload {
        drop(sender);
        assert!(call.await.unwrap().is_err());
    } else {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    settle().await;
    assert!(told.try_recv().is_err(), "it is busy yet");
    if is_done {
        worker.send("Status: 200\n\nnobody reads it").await;
        drop(worker);
    } else {
        let closed = worker.expect_end().await;
        assert!(closed <= Duration::from_secs(2), "{closed:?}");
    }
    settle().await;
    let told: Vec<_> = std::iter::from_fn(|| told.try_recv().ok()).collect();
    assert_eq!(told, expected, "upload {is_upload}, done {is_done}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_a_pool_is_busy_until_it_is_done() {
    for is_upload in [false, true] {
        check_left(is_upload, true, &["free"]).await;
        check_left(is_upload, false, &["lost", "free"]).await;
    }
}
