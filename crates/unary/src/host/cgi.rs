//! A call of CGI: one request from the environment and standard input, one reply to standard output, and the end.
//!
//! How soon that is over is what counts: nothing is started but one small event loop, and no signal is caught.

use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::runtime::Builder;
use unary_http::{Request, Response};
use unary_net::stdio::Writing;
use unary_net::{Connection, Peer, Stdio, connect, process, reply};
use unary_service::flow::{Consumer, Producer, line};
use unary_service::{Error, Service};

use super::{say, sockets};
use crate::guest::{Cgi, Variables};

/// The environment, if it is that of a call. A host of FastCGI may have the same variables in its own environment, and
/// so in its programs'; but those have a listening socket as their standard input.
pub(super) fn variables() -> Option<Variables> {
    let is_call = ["GATEWAY_INTERFACE", "REQUEST_METHOD"].iter().all(|name| std::env::var_os(name).is_some());
    let pairs =
        || std::env::vars_os().map(|(name, value)| (Bytes::from(name.into_vec()), Bytes::from(value.into_vec())));
    (is_call && !sockets::is_listening()).then(|| pairs().collect())
}

/// Answers it.
pub(super) fn run<S>(service: S, variables: Variables) -> ExitCode
where
    S: Service<Request, Reply = Response> + 'static,
{
    let writing = Writing::default();
    let connection = Connection::new(Stdio::new(writing.clone()), Peer::new(None, None));
    let call = line(Call(Mutex::new(Some(connection)))) >> connect(Cgi(variables)) >> process(service) >> reply();
    let event_loop = Builder::new_current_thread().enable_all().build();
    let event_loop = event_loop.map_err(|cause| Error::internal("starting an event loop").because(cause));
    match event_loop.and_then(|event_loop| event_loop.block_on(call.drive())) {
        Ok(()) if !writing.was_cut() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Produces its one connection.
struct Call(Mutex<Option<Connection<Stdio>>>);

impl Producer for Call {
    type Item = Connection<Stdio>;

    async fn drive<D: Consumer<Connection<Stdio>> + 'static>(self, down: D) -> Result<(), Error> {
        let connection = self.0.into_inner().ok().flatten();
        if let Some(connection) = connection {
            down.accept(connection).await?;
        }
        down.finish().await
    }
}
