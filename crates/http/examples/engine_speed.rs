//! What a request costs in the engine alone, without a kernel: decode, call, encode.
//!
//! `cargo run --release -p unary-http --example engine_speed`

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use unary_http::http;
use unary_http::{Request, message};
use unary_net::{Connection, Peer, Transport, connect, process, reply};
use unary_service::flow::{Consumer, Producer, line};
use unary_service::{Error, service_fn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A peer that sends the same bytes again and again, and takes everything at once.
struct Tireless {
    batch: Vec<u8>,
    left: usize,
}

impl AsyncRead for Tireless {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left > 0 {
            self.left -= 1;
            buffer.put_slice(&self.batch);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tireless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Tireless {}

struct Once(Tireless);

impl Producer for Once {
    type Item = Connection<Tireless>;
    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(Connection::new(self.0, Peer::new(None, None))).await
    }
}

const BROWSER: &str = "GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nCookie: session=0123456789abcdef\r\n\r\n";

/// Requests a figure is the mean of.
const REQUESTS: usize = 1_000_000;

fn measure(what: &str, request: &str, pipelined: usize) {
    let rounds = REQUESTS / pipelined;
    let peer = Tireless { batch: request.repeat(pipelined).into_bytes(), left: rounds };
    let app = service_fn(async |_: Request| Ok(message::text("Hello, World!")));
    let server = line(Once(peer)) >> connect(http()) >> process(app) >> reply();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let begun = Instant::now();
    runtime.block_on(server.drive()).expect("the peer asks nothing strange");
    println!("{what}: {:.1} ns a request", begun.elapsed().as_nanos() as f64 / (rounds * pipelined) as f64);
}

fn main() {
    let small = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
    for _ in 0..std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(3) {
        measure("small, 16 pipelined", small, 16);
        measure("small, one at a time", small, 1);
        measure("browser, one at a time", BROWSER, 1);
    }
}
