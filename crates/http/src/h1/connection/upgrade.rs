//! Handing a connection over to another protocol (RFC 9110 §7.8), WebSocket above all.

use std::fmt;
use std::sync::{Arc, Mutex};

use http::Extensions;
use tokio::sync::oneshot;
use unary_net::{Connection, Transport};
use unary_service::Error;

use crate::Body;
use crate::h1::Upgraded;

/// The offer to take a request's connection over. A service that answers 101 (or 2xx to
/// `CONNECT`) awaits it, outside the call, to get the bytes that follow.
///
/// ```no_run
/// # use unary_http::{Request, Response, h1::connection::Upgrade};
/// # async fn serve(mut request: Request) -> Result<Response, unary_service::Error> {
/// if let Some(upgrade) = Upgrade::of(&mut request) {
///     tokio::spawn(async move {
///         let connection = upgrade.taken().await;
///         // Speak the other protocol.
///     });
/// }
/// # Ok(Response::default()) }
/// ```
pub struct Upgrade(oneshot::Receiver<Upgraded>);

/// The connection's end of an offer.
pub(crate) struct Offer {
    taker: oneshot::Sender<Upgraded>,
    /// Of the reply that accepts it: the call goes on until the other protocol ends.
    reply: Body,
}

/// Request extensions have to be `Clone`; an offer can be taken once.
#[derive(Clone)]
struct Shared(Arc<Mutex<Option<Upgrade>>>);

impl Upgrade {
    /// Takes the offer out of a request that made one. `None` the second time.
    pub fn of<B>(request: &mut http::Request<B>) -> Option<Self> {
        let shared = request.extensions_mut().remove::<Shared>()?;
        shared.0.lock().ok()?.take()
    }

    /// Waits until the reply that accepts has been sent. Fails if another reply was sent instead,
    /// or the connection was lost.
    pub async fn taken(self) -> Result<Upgraded, Error> {
        self.0.await.map_err(|_| Error::closed("upgrading a connection: it was not handed over"))
    }
}

/// An offer, and the extensions by which a request makes it.
#[cold]
pub(crate) fn offer() -> (Option<Offer>, Extensions) {
    let (sender, receiver) = oneshot::channel();
    let mut extensions = Extensions::new();
    extensions.insert(Shared(Arc::new(Mutex::new(Some(Upgrade(receiver))))));
    (Some(Offer { taker: sender, reply: Body::empty() }), extensions)
}

impl Offer {
    /// Keeps what the reply that accepts it holds.
    pub(crate) fn keep(&mut self, reply: &mut Body) {
        self.reply = std::mem::take(reply);
    }

    /// Hands the connection over. If nobody waits for it any more, it closes.
    pub(crate) fn accept<S: Transport>(self, connection: Connection<S>) {
        let _ = self.taker.send(Upgraded::of_server(connection, self.reply));
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}
