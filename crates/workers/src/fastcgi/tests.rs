use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::io::DuplexStream;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use unary_gateway::fastcgi::pairs::Params;
use unary_gateway::fastcgi::record::{self, HEAD_BYTES, Record, Stream};
use unary_http::Body;
use unary_service::Kind;
use unary_testkit::{FarEnd, settle};

use super::*;
use crate::host::tests::{Dialling, dialling, pieces};

mod calls;
mod faults;
mod keeping;

type Host = Arc<FastCgi<Dialling, DuplexStream>>;
type Call = JoinHandle<Result<Response, Error>>;

const SOON: Duration = Duration::from_secs(1);

fn host_at(addresses: &[&str], settings: Settings) -> (Host, Receiver<FarEnd>) {
    let (dial, workers) = dialling();
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    (Arc::new(FastCgi::over(addresses, &dial, Mount::default(), settings)), workers)
}

fn host(settings: Settings) -> (Host, Receiver<FarEnd>) {
    host_at(&["127.0.0.1:9"], settings)
}

fn request(method: Method, target: &str, body: impl Into<Body>) -> Request {
    let mut request = Request::new(body.into());
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().unwrap();
    request
}

fn begin(host: &Host, request: Request) -> Call {
    let host = host.clone();
    tokio::spawn(async move { host.call(request).await })
}

fn get(host: &Host) -> Call {
    begin(host, request(Method::GET, "/a%20b?c=d", ()))
}

fn out(content: &'static str) -> Record {
    Record::Stream { request: 1, stream: Stream::Stdout, content: content.into() }
}

fn end() -> Record {
    Record::End { request: 1, exit_status: 0, outcome: Outcome::Complete }
}

fn wire(records: &[Record]) -> BytesMut {
    let mut wire = BytesMut::new();
    records.iter().for_each(|record| record.encode(&mut wire));
    wire
}

fn hello() -> BytesMut {
    wire(&[out("Content-Type: text/plain\r\n\r\nhello"), out(""), end()])
}

/// The next record that the host sends.
async fn record(worker: &mut FarEnd) -> Record {
    let head = worker.take(HEAD_BYTES, SOON).await;
    assert_eq!(head.len(), HEAD_BYTES, "no record comes");
    let length = usize::from(u16::from_be_bytes([head[4], head[5]])) + usize::from(head[6]);
    let content = worker.take(length, SOON).await;
    record::decode(&mut BytesMut::from(&[head, content].concat()[..])).unwrap().expect("all of it is there")
}

/// A request up to its body: its variables.
async fn beginning(worker: &mut FarEnd) -> Vec<(String, String)> {
    let begin = record(worker).await;
    assert_eq!(begin, Record::Begin { request: 1, role: Role::Responder, then: Then::Keep });
    let mut params = Params::default();
    loop {
        match record(worker).await {
            Record::Stream { stream: Stream::Params, content, .. } if content.is_empty() => break,
            Record::Stream { stream: Stream::Params, content, .. } => params.add(&content).unwrap(),
            other => panic!("{other:?} among the parameters"),
        }
    }
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    params.end().unwrap().into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A whole request: its variables and its body.
async fn question(worker: &mut FarEnd) -> (Vec<(String, String)>, Vec<u8>) {
    let params = beginning(worker).await;
    let mut body = Vec::new();
    loop {
        match record(worker).await {
            Record::Stream { stream: Stream::Stdin, content, .. } if content.is_empty() => return (params, body),
            Record::Stream { stream: Stream::Stdin, content, .. } => body.extend_from_slice(&content),
            other => panic!("{other:?} in the body"),
        }
    }
}

async fn serve(worker: &mut FarEnd) {
    question(worker).await;
    worker.send(hello()).await;
}

async fn body_of(reply: Response) -> Result<Bytes, Error> {
    reply.into_body().collect(1 << 20).await
}

/// The first worker, having answered once and been asked how much it takes, to which it says nothing that it knows.
async fn used(settings: Settings) -> (Host, Receiver<FarEnd>, FarEnd) {
    let (host, mut workers) = host(settings);
    let call = get(&host);
    let mut worker = workers.recv().await.unwrap();
    serve(&mut worker).await;
    assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::OK);
    assert!(matches!(record(&mut worker).await, Record::GetValues(_)));
    worker.send(wire(&[Record::UnknownType(9)])).await;
    settle().await;
    (host, workers, worker)
}
