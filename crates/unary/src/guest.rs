//! Being somebody else's program: CGI, SCGI and FastCGI as protocols, beside [`http`](crate::http::http).
//!
//! [`main`](crate::main) chooses among them. A program that is only ever one says so as a line:
//!
//! ```no_run
//! use unary::guest::scgi;
//! use unary::prelude::*;
//!
//! # fn main() -> Result<(), Error> {
//! let app = service_fn(async |_: Request| Ok(unary::text("Hello, World!")));
//! let server = listen("127.0.0.1:4000") >> connect(scgi()) >> process(app) >> reply();
//! server.run()
//! # }
//! ```
//!
//! A service sees no difference: the client's address is the request's peer, its scheme what
//! [`Scheme::of`](crate::web::scheme::Scheme::of) says. Upgrades are not offered, and trailers are lost, as none of these
//! wires carries them. All that a host has told is in [`Variables`], among the request's extensions:
//!
//! ```
//! use unary::guest::Variables;
//! use unary::prelude::*;
//!
//! /// Whom the host has let in.
//! fn user(request: &Request) -> Option<String> {
//!     let name = request.extensions().get::<Variables>()?.get("REMOTE_USER")?;
//!     Some(String::from_utf8_lossy(name).into_owned())
//! }
//!
//! let mut request = Request::new(Body::empty());
//! assert_eq!(user(&request), None);
//! let told: Variables = [("REMOTE_USER".into(), "ada".into())].into_iter().collect();
//! request.extensions_mut().insert(told);
//! assert_eq!(user(&request).as_deref(), Some("ada"));
//! ```

mod deadline;
mod exchange;
mod wire;

use unary_gateway::cgi::guest::CgiGuest;
pub use unary_gateway::cgi::guest::Variables;
use unary_gateway::fastcgi::guest::FastcgiGuest;
use unary_gateway::scgi::guest::ScgiGuest;
use unary_http::{Request, Response};
use unary_net::{Connection, Exchange, Protocol, Transport, descriptors};
use unary_service::Error;
use unary_service::flow::Consumer;

/// FastCGI: requests from a host, one at a time on each connection, and as many connections as the process may have.
pub fn fastcgi() -> Fastcgi {
    Fastcgi { connections_max: descriptors::connections_max() }
}

/// SCGI: one request on each connection.
pub fn scgi() -> Scgi {
    Scgi
}

/// See [`fastcgi`].
#[derive(Clone, Copy, Debug)]
pub struct Fastcgi {
    connections_max: usize,
}

/// See [`scgi`].
#[derive(Clone, Copy, Debug)]
pub struct Scgi;

/// One call of CGI, whose variables are there already.
#[derive(Clone, Debug)]
pub(crate) struct Cgi(pub(crate) Variables);

impl<S: Transport> Protocol<Connection<S>> for Fastcgi {
    type Request = Request;
    type Reply = Response;

    async fn serve<D>(&self, connection: Connection<S>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        exchange::serve(FastcgiGuest::new(self.connections_max), connection, down).await
    }
}

impl<S: Transport> Protocol<Connection<S>> for Scgi {
    type Request = Request;
    type Reply = Response;

    async fn serve<D>(&self, connection: Connection<S>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        exchange::serve(ScgiGuest::new(), connection, down).await
    }
}

impl<S: Transport> Protocol<Connection<S>> for Cgi {
    type Request = Request;
    type Reply = Response;

    async fn serve<D>(&self, connection: Connection<S>, down: &D) -> Result<(), Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        exchange::serve(CgiGuest::new(self.0.clone()), connection, down).await
    }
}

#[cfg(test)]
mod tests;
