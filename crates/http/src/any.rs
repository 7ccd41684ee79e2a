//! HTTP/1.1 and HTTP/2 on one listener: the [`Protocol`] that `connect(http())` runs.
//!
//! TLS says what it settled on (RFC 9113 §3.2). Every other connection begins as HTTP/1.1, and one that
//! opens with the preface of HTTP/2, by prior knowledge (§3.3), is found out where its first line would
//! be refused: peers that speak 1.1 pay nothing for it.

use std::future::ready;

use futures_util::{FutureExt, TryFutureExt};
use unary_net::tls::Alpn;
use unary_net::{Connection, Exchange, Protocol, Transport};
use unary_service::Error;
use unary_service::flow::Consumer;

use crate::h1::connection::H1;
use crate::h2::H2;
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

    // No `async fn`: that would keep room for its arguments beside what becomes of them. The same goes
    // for HTTP/2, which is boxed: connections at rest are many.
    fn serve<D>(&self, connection: Connection<S>, down: &D) -> impl Future<Output = Result<(), Error>> + Send
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        let h2 = |connection| Box::pin(self.h2.serve(connection, down));
        let agreed = connection.peer.tls().is_some_and(|tls| tls.alpn == Alpn::Http2);
        if agreed {
            return h2(connection).left_future();
        }
        let h1 = self.h1.serve_connection(connection, down);
        h1.and_then(move |connection| match connection {
            None => ready(Ok(())).left_future(),
            Some(connection) => h2(connection).right_future(),
        })
        .right_future()
    }
}

#[cfg(test)]
mod tests;
