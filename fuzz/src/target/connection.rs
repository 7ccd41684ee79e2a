//! Whole connections: any bytes to a small site, and every reply checked.
//!
//! Whatever comes, and however it is cut: nothing panics or hangs, the site is asked exactly what a
//! plain reading of the bytes finds, in that order and with those bodies, and the answer is a
//! sequence of well-formed replies to it, one each, then at most one refusal.

mod asked;
mod replies;
pub(super) mod script;
mod site;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use unary_http::h1::connection::h1;
use unary_net::{Connection, Peer, connect, process, reply};
use unary_service::Error;
use unary_service::flow::{Consumer, Producer, line};

use super::{Shape, ways_to_cut};
use asked::{Asked, asked};
use replies::Replies;
use script::{Script, Transcript};
use site::{Seen, site};

/// How long a client rests before each of few pieces, in virtual time. Three of them are shorter than
/// any limit.
const PAUSE: Duration = Duration::from_secs(3);

/// Longer than any wait of a connection, in virtual time.
const HANGS_AFTER: Duration = Duration::from_secs(600);

/// So many empty lines in a row are refused if they come together, and forgiven if they do not: a
/// connection at rest does not count them.
const EMPTY_LINES: &[u8] = b"\r\n\r\n\r\n\r\n\r\n";

/// Serves `data` as what one client sends before it closes its half.
pub fn connection(data: &[u8]) -> Shape {
    if data.windows(EMPTY_LINES.len()).any(|window| window == EMPTY_LINES) {
        return Shape::of(EMPTY_LINES);
    }
    let asked = asked(data);
    let whole = converse(&[data], Duration::ZERO, data, &asked);
    let shape = whole.shape();
    for pieces in ways_to_cut(data) {
        let pause = if pieces.len() > 3 { Duration::ZERO } else { PAUSE };
        let cut = converse(&pieces, pause, data, &asked);
        // Whether 100 Continue is said, and whether a reply comes too early for the next request to
        // be told from the body, depends on what has come by then.
        if !asked.expects_continue {
            assert_eq!(cut, whole, "cut into {:?}", pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>());
        }
    }
    shape
}

/// Holds the conversation and checks its laws.
fn converse(pieces: &[&[u8]], pause: Duration, data: &[u8], asked: &Asked) -> Replies {
    let (seen, transcript) = serve(pieces, pause);
    asked.check(&seen);
    Replies::read(&transcript, &seen, data, asked)
}

thread_local! {
    static RUNTIME: RefCell<Runtime> = RefCell::new(
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without I/O"),
    );
}

fn serve(pieces: &[&[u8]], pause: Duration) -> (Vec<Seen>, Bytes) {
    let transcript = Arc::new(Transcript::default());
    let script = Script::new(pieces, pause, transcript.clone());
    let (seen, site) = site();
    let connection = Connection::new(script, Peer::new(None, None));
    let server = line(Once(connection)) >> connect(h1()) >> process(site) >> reply();
    RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let ended = timeout(HANGS_AFTER, async {
                let served = server.drive().await;
                transcript.closed().await; // By whoever took the connection over.
                served
            });
            match ended.await {
                Err(_) => panic!("the connection hangs after {}", transcript.written().escape_ascii()),
                Ok(Err(error)) => panic!("the connection ended early: {error}"),
                Ok(Ok(())) => {}
            }
        });
    });
    (seen.take(), transcript.written())
}

/// Produces one connection.
struct Once(Connection<Script>);

impl Producer for Once {
    type Item = Connection<Script>;

    async fn drive<D: Consumer<Self::Item> + 'static>(self, down: D) -> Result<(), Error> {
        down.accept(self.0).await
    }
}
