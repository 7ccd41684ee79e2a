//! Whole HTTP/2 connections: any frames to a small site, and every frame of the answer checked.
//!
//! Whatever comes, and however it is cut: nothing panics or hangs, the site is asked nothing that
//! HTTP/1.1 could not have asked, and the answer is whole frames in an order that their streams allow.

mod answer;
mod site;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use unary_http::http;
use unary_net::{Connection, Peer, connect, process, reply};
use unary_service::Error;
use unary_service::flow::{Consumer, Producer, line};

use super::connection::script::{Script, Transcript};
use super::{Shape, ways_to_cut};
use answer::Answer;
use site::{Asked, site};

/// What a client opens with (RFC 9113 §3.4); its frames are for the fuzzer.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client rests before each of few pieces, in virtual time.
const PAUSE: Duration = Duration::from_secs(3);

/// Longer than any wait of a connection, in virtual time.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// Serves `data` as the frames one client sends before it closes its half.
pub fn h2_connection(data: &[u8]) -> Shape {
    let shape = converse(&[data], Duration::ZERO, data).shape();
    for pieces in ways_to_cut(data) {
        let pause = if pieces.len() > 3 { Duration::ZERO } else { PAUSE };
        // What is answered by the time the client hangs up depends on when it sent the rest.
        converse(&pieces, pause, data);
    }
    shape
}

/// Holds the conversation and checks its laws.
fn converse(pieces: &[&[u8]], pause: Duration, data: &[u8]) -> Answer {
    let (asked, answer) = serve(pieces, pause);
    let asked_max = answer::heads(data);
    assert!(asked.len() <= asked_max, "{} requests for {asked_max} heads", asked.len());
    asked.iter().for_each(Asked::check);
    Answer::read(&answer)
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O"),
    );
}

fn serve(pieces: &[&[u8]], pause: Duration) -> (Vec<Asked>, Bytes) {
    let transcript = Arc::new(Transcript::default());
    let pieces = [&[PREFACE], pieces].concat();
    let script = Script::new(&pieces, pause, transcript.clone());
    let (asked, site) = site();
    let server =
        line(Once(Connection::new(script, Peer::new(None, None)))) >> connect(http()) >> process(site) >> reply();
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            match timeout(HANGS_AFTER, server.drive()).await {
                Err(_) => panic!("the connection hangs after {}", transcript.written().escape_ascii()),
                Ok(Err(error)) => panic!("the connection ended early: {error}"),
                Ok(Ok(())) => {}
            }
        });
    });
    (asked.take(), transcript.written())
}

/// Produces one connection.
struct Once(Connection<Script>);

impl Producer for Once {
    type Item = Connection<Script>;

    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(self.0).await
    }
}
