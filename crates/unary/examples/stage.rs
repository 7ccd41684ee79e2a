//! Stages of one's own in the gaps of the line: one that turns connections away, one that marks
//! replies.
//!
//! `cargo run --example stage`, then `curl -i http://127.0.0.1:8080/`, and the same with
//! `--interface 127.0.0.2`.

use http::HeaderValue;
use http::header::SERVER;
use unary::net::{Answer, Connection, Network, Socket};
use unary::prelude::*;
use unary::service::flow::{Consumer, Transducer, map};

/// Who is not let in.
const DENIED: &str = "127.0.0.2/32";

fn main() -> std::process::ExitCode {
    unary::Daemon::from_args("127.0.0.1:8080").run(|daemon| {
        let deny = Deny(DENIED.parse().expect("it is written as a network"));
        let app = service_fn(async |request: Request| Ok(unary::text(format!("{}\n", request.uri().path()))));
        let server = listen(daemon.listen()) >> deny >> connect(http()) >> process(app) >> map(sign) >> reply();
        server.run_on(daemon.http_loops())
    })
}

/// In the first gap, connections pass by. Whatever a stage does not hand down is dropped, and a
/// connection that is dropped is closed.
struct Deny(Network);

impl Transducer<Connection<Socket>> for Deny {
    type Out = Connection<Socket>;

    async fn feed<D>(&self, connection: Connection<Socket>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Connection<Socket>>,
    {
        match connection.peer.address() {
            Some(address) if self.0.contains(address.ip()) => Ok(()),
            _ => down.accept(connection).await,
        }
    }
}

/// In the third gap, replies pass by. What turns one item into one other is just a function.
fn sign(mut answer: Answer<Response>) -> Answer<Response> {
    answer.reply.headers_mut().insert(SERVER, HeaderValue::from_static("stage"));
    answer
}
