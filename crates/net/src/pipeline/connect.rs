//! The second stage: connections become exchanges.

use std::future::Future;

use futures_util::FutureExt;
use unary_service::Error;
use unary_service::flow::{Consumer, Transducer};

use super::exchange::Exchange;

/// Owns a connection and turns it into exchanges. `C` is what comes down the line: a
/// [`Connection`](crate::Connection), or a datagram.
///
/// Any [`Codec`](unary_service::Codec) is one. What a codec alone cannot say (bodies that stream, upgrades, errors
/// answered early) takes an implementation of its own, as HTTP's is.
pub trait Protocol<C>: Send + Sync {
    /// What peers ask.
    type Request: Send;
    /// What they are answered.
    type Reply: Send;

    /// Serves one connection to its end, handing each request to `down`.
    fn serve<D>(&self, connection: C, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Self::Request, Self::Reply>>;
}

/// The stage that speaks a protocol: see [`Protocol`].
pub fn connect<P>(protocol: P) -> Connect<P> {
    Connect(protocol)
}

/// See [`connect`].
#[derive(Clone, Copy, Debug)]
pub struct Connect<P>(P);

impl<C: Send, P: Protocol<C>> Transducer<C> for Connect<P> {
    type Out = Exchange<P::Request, P::Reply>;

    fn feed<D: Consumer<Self::Out>>(&self, connection: C, down: &D) -> impl Future<Output = Result<(), Error>> + Send {
        // How one connection ends is no failure of the line.
        self.0.serve(connection, down).map(|ended| {
            ended.unwrap_or_else(|error| tracing::debug!(%error, "a connection ended early"));
            Ok(())
        })
    }
}
