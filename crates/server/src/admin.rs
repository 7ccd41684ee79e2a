//! What the server says of itself, over HTTP: status, metrics, the config, certificates.
//!
//! It is said on a thread of its own, so that whoever asks takes nothing from those who are served, and
//! is answered when all event loops are busy. Connections come from the keeper, whose socket it is; and
//! from a port of this machine, if the config says so: there each request has to show a token.

mod certificates;
mod connections;
mod desk;
mod facts;
mod metrics;
mod status;
mod token;

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use unary_http::http;
use unary_net::{Address, Connection, Drain, Listen, Socket, connect, listen, process, reply};
use unary_service::Error;
use unary_service::flow::{Consumer, Producer, line};

pub(crate) use connections::Connections;
pub(crate) use desk::Running;
pub(crate) use facts::{Facts, SiteFacts, TlsOf};
pub(crate) use status::{SiteStatus, Status};

use crate::config::Secret;
use desk::Desk;
use token::Token;

/// Connections that wait to be taken up. The keeper hands on one after the other.
const WAITING_MAX: usize = 16;

/// Connections at once, and on the port as many again. Further ones are closed.
const CONNECTIONS_MAX: usize = 32;

/// How often it is tried to listen on the port again: the server before may still do.
const LISTEN_EVERY: Duration = Duration::from_secs(1);

/// The thread that answers. It ends with the process.
#[derive(Debug)]
pub(crate) struct Admin {
    connections: mpsc::Sender<Connection<Socket>>,
    doors: watch::Sender<Option<Door>>,
    runtime: tokio::runtime::Handle,
}

/// A port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) address: Address,
    pub(crate) token: Secret,
}

impl Admin {
    /// Begins to answer.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub(crate) fn start(running: impl Running) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (connections, handed) = mpsc::channel(WAITING_MAX);
        let (doors, told) = watch::channel(None);
        let desk = Desk::new(running);
        let answer = move || {
            runtime.block_on(async {
                let at_socket = line(Handed(handed)) >> connect(http()) >> process(desk.clone()) >> reply();
                let _ = tokio::join!(at_socket.drive(), at_doors(told, desk));
            });
        };
        thread::Builder::new().name("admin".to_owned()).spawn(answer)?;
        Ok(Self { connections, doors, runtime: handle })
    }

    /// Answers who is at the other end, of whom this was read already. If too many wait, they are told
    /// by the connection's end.
    pub(crate) fn take(&self, stream: UnixStream, read: &[u8]) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let _inside = self.runtime.enter();
        let stream = Socket::unix(tokio::net::UnixStream::from_std(stream)?);
        let peer = stream.peer().clone();
        let mut connection = Connection::new(stream, peer);
        connection.buffered = BytesMut::from(read);
        self.connections.try_send(connection).map_err(|_| io::ErrorKind::ResourceBusy.into())
    }

    /// Listens there from now on; or nowhere but at the keeper's socket.
    pub(crate) fn listen(&self, door: Option<Door>) {
        self.doors.send_replace(door);
    }
}

/// The connections that the keeper handed over.
struct Handed(mpsc::Receiver<Connection<Socket>>);

impl Producer for Handed {
    type Item = Connection<Socket>;

    async fn drive<D: Consumer<Connection<Socket>> + 'static>(mut self, down: D) -> Result<(), Error> {
        let (down, permits) = (Arc::new(down), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
        while let Some(connection) = self.0.recv().await {
            let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
            let down = down.clone();
            tokio::spawn(async move {
                let ended = down.accept(connection).await;
                drop((ended, permit));
            });
        }
        down.finish().await
    }
}

/// Listens where it is told to.
async fn at_doors<R: Running>(mut told: watch::Receiver<Option<Door>>, desk: Desk<R>) {
    let mut now: Option<(Door, AbortHandle, Drain)> = None;
    while told.changed().await.is_ok() {
        let door = told.borrow_and_update().clone();
        if now.as_ref().map(|(door, ..)| door) == door.as_ref() {
            continue;
        }
        if let Some((_, listening, drain)) = now.take() {
            listening.abort();
            // Who came in with a token that counts no more is not answered again.
            drain.start();
            drain.expire();
        }
        now = door.map(|door| {
            let drain = Drain::new();
            let listening = tokio::spawn(at_door(door.clone(), drain.clone(), desk.clone()));
            (door, listening.abort_handle(), drain)
        });
    }
}

async fn at_door<R: Running>(door: Door, drain: Drain, desk: Desk<R>) {
    let mut said = None;
    loop {
        let on = Listen::from(door.address.clone()).connections_max(CONNECTIONS_MAX).draining(drain.clone());
        let guarded = desk.clone().guarded(Token::new(&door.token));
        let served = (listen(on) >> connect(http()) >> process(guarded) >> reply()).drive().await;
        if let Err(error) = served {
            let problem = error.to_string();
            if said.as_ref() != Some(&problem) {
                tracing::warn!(address = %door.address, %error, "the admin port cannot be listened on; trying again");
                said = Some(problem);
            }
        }
        tokio::time::sleep(LISTEN_EVERY).await;
    }
}

#[cfg(test)]
mod tests;
