//! HTTP/1.1 and HTTP/2 on one listener: the [`Protocol`] that `connect(http())` runs.
//!
//! Every connection begins as HTTP/1.1. One that opens with the preface of HTTP/2 instead, be it by
//! prior knowledge or because TLS settled on it (RFC 9113 §3), is found out where its first line would
//! be refused: the peers that speak 1.1 pay nothing for it.

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
}

impl Default for Http {
    fn default() -> Self {
        Self::new(H1::default(), H2::default())
    }
}

impl<S: Transport> Protocol<Connection<S>> for Http {
    type Request = Request;
    type Reply = Response;

    async fn serve<D>(&self, connection: Connection<S>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        match self.h1.serve_connection(connection, down).await? {
            None => Ok(()),
            // Boxed, so that connections at rest do not keep room for it.
            Some(connection) => Box::pin(self.h2.serve(connection, down)).await,
        }
    }
}
