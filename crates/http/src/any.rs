//! HTTP/1.1 and HTTP/2 on one listener: the [`Protocol`] that `connect(http())` runs.
//!
//! TLS says what it settled on (RFC 9113 §3.2). Every other connection begins as HTTP/1.1, and one that
//! opens with the preface of HTTP/2, by prior knowledge (§3.3), is found out where its first line would
//! be refused: peers that speak 1.1 pay nothing for it.

use std::future::ready;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::{FutureExt, TryFutureExt};
use unary_net::tls::Alpn;
use unary_net::{Connection, Exchange, Protocol, Transport};
use unary_service::Error;
use unary_service::flow::Consumer;

use crate::h1::{
    self,
    connection::{H1, serve_connection},
};
use crate::h2::{self, H2};
use crate::{Request, Response};

/// HTTP/1.1 and HTTP/2, whichever a peer opens with, with their default limits: `connect(http())`.
pub fn http() -> Http {
    Http::default()
}

/// Both versions of HTTP. Their requests and replies are [`Request`] and [`Response`], and a service
/// sees no difference but the request's version.
#[derive(Clone, Debug)]
pub struct Http {
    h1: H1,
    h2: H2,
}

impl Http {
    /// Both, as they are set up here.
    pub fn new(h1: H1, h2: H2) -> Self {
        Self { h1: h1.unless_h2(), h2 }
    }

    /// HTTP/1.1, whose counters somebody may want to see.
    pub fn h1(&self) -> &H1 {
        &self.h1
    }

    /// HTTP/2, whose counters somebody may want to see.
    pub fn h2(&self) -> &H2 {
        &self.h2
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new(H1::default(), H2::default())
    }
}

impl<S: Transport> Protocol<Connection<S>> for Http {
    type Request = Request;
    type Reply = Response;

    fn serve<D>(&self, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        serve(self, connection, down)
    }
}

/// [`Http`] whose limits may change while a server runs: a connection keeps those that held when it
/// began. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct LiveHttp(Arc<ArcSwap<Http>>);

impl LiveHttp {
    /// These limits, for the time being.
    pub fn new(http: Http) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(http)))
    }

    /// Others, for connections that begin from now on. Counters go on.
    pub fn set(&self, http: Http) {
        let (h1, h2) = (http.h1.counting(self.h1_counters()), http.h2.counting(self.h2_counters()));
        self.0.store(Arc::new(Http { h1, h2 }));
    }

    /// What connections of HTTP/1.1 have met with so far.
    pub fn h1_counters(&self) -> Arc<h1::Counters> {
        self.0.load().h1.counters().clone()
    }

    /// What connections of HTTP/2 have met with so far.
    pub fn h2_counters(&self) -> Arc<h2::Counters> {
        self.0.load().h2.counters().clone()
    }
}

impl<S: Transport> Protocol<Connection<S>> for LiveHttp {
    type Request = Request;
    type Reply = Response;

    fn serve<D>(&self, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        serve(self.0.load_full(), connection, down)
    }
}

// No `async fn`: that would keep room for its arguments beside what becomes of them. The same goes
// for HTTP/2, which is boxed: connections at rest are many.
fn serve<P, S, D>(http: P, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
where
    P: Deref<Target = Http> + Clone + Send + Sync,
    S: Transport,
    D: Consumer<Exchange<Request, Response>>,
{
    let h2 = |http, connection| Box::pin(h2::serve_connection(InHttp2(http), connection, down));
    let agreed = connection.peer.tls().is_some_and(|tls| tls.alpn == Alpn::Http2);
    if agreed {
        return h2(http, connection).left_future();
    }
    let h1 = serve_connection(InHttp1(http.clone()), connection, down);
    h1.and_then(move |connection| match connection {
        None => ready(Ok(())).left_future(),
        Some(connection) => h2(http, connection).right_future(),
    })
    .right_future()
}

/// The one half of what is borrowed or shared.
struct InHttp1<P>(P);

impl<P: Deref<Target = Http>> Deref for InHttp1<P> {
    type Target = H1;

    fn deref(&self) -> &H1 {
        &self.0.h1
    }
}

/// The other.
struct InHttp2<P>(P);

impl<P: Deref<Target = Http>> Deref for InHttp2<P> {
    type Target = H2;

    fn deref(&self) -> &H2 {
        &self.0.h2
    }
}

#[cfg(test)]
mod tests;
