//! FastCGI's host: a service that has its requests answered by FastCGI workers.
//!
//! The workers run already, or a pool runs them. The records are [`unary_gateway::fastcgi`]'s affair, connections and
//! calls that of [`host`](crate::host).

mod authorizer;

use std::fmt;

use bytes::BytesMut;
use unary_gateway::cgi::environment::Environment;
use unary_gateway::fastcgi::host::{self, Reply, ReplyError, Said, Values};
use unary_gateway::fastcgi::record::{Outcome, Role, Then};
use unary_http::{Request, Response};
use unary_net::{Address, Connection, Dial, Socket, Transport};
use unary_service::{Available, Error, Service, Status};

pub use crate::host::Settings;
pub use crate::host::mount::Mount;
pub use authorizer::Authorizer;

use crate::host::crew::Crew;
use crate::host::dialect::{Dialect, Wrong};
use crate::send_file::SendFiles;

/// Has requests answered by FastCGI workers, in the role of responders.
///
/// Bodies stream both ways, as fast as the slower end takes them; some 128 KiB of each are held. A body whose length is
/// not known beforehand is kept until it is, since workers want to be told. What a worker writes to its log goes into
/// ours, with the request's number, a hundred lines a second.
///
/// Connections are kept, up to as many as the worker says that it takes (`FCGI_GET_VALUES` asks, once) or was seen to
/// hold at once; calls beyond that wait in order. Of several workers the one with the fewest calls under way is asked;
/// one that cannot be reached is shunned for a second. A request is sent a second time only if it was surely not begun:
/// the worker could not be reached, refused it, or had taken nothing of it; or if it may be asked twice (`GET` and its
/// like, without a body) and a connection that had rested turns out to be closed.
///
/// When the client goes away, the worker is told (`FCGI_ABORT_REQUEST`), and its connection closed if it does not say
/// within a second that it is done.
///
/// | status | when |
/// |---|---|
/// | 413 | a body of unknown length is longer than is kept |
/// | 502 | what the worker sends makes no sense, or ends too early |
/// | 503 | it cannot be reached, or all connections to it are busy |
/// | 504 | it takes or sends nothing for too long |
pub struct FastCgi<D = Dial, S = Socket> {
    crew: Crew<D, Respond, S>,
    mount: Mount,
}

impl FastCgi {
    /// Has requests answered by the workers at these addresses.
    pub fn at(addresses: impl IntoIterator<Item = Address>, mount: Mount, settings: Settings) -> Self {
        Self::over(addresses, &Dial::new(), mount, settings)
    }
}

impl<D, S> FastCgi<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    /// The same, reached through `dial`.
    pub fn over(addresses: impl IntoIterator<Item = Address>, dial: &D, mount: Mount, settings: Settings) -> Self {
        Self { crew: Crew::at(addresses, dial, settings), mount }
    }

    /// The same, where programs may have files of these folders sent in their place, by `X-Sendfile` or
    /// `X-Accel-Redirect`.
    pub fn sending(self, send_file: SendFiles) -> Self {
        Self { crew: self.crew.sending(send_file), ..self }
    }
}

impl<D, S> Service<Request> for FastCgi<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        self.crew.answer_at(&self.mount, request).await
    }
}

impl<D: Available + Send + Sync, S: Send> Available for FastCgi<D, S> {
    fn status(&self) -> Status {
        self.crew.status()
    }
}

impl<D, S> fmt::Debug for FastCgi<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastCgi").field("mount", &self.mount).finish_non_exhaustive()
    }
}

/// FastCGI in the role of a responder.
#[derive(Debug, Default)]
pub(crate) struct Respond(Reply);

/// FastCGI in the role of an authorizer.
#[derive(Debug, Default)]
pub(crate) struct Authorize(Reply);

macro_rules! dialect {
    ($name:ty, $role:expr, $is_told:expr) => {
        impl Dialect for $name {
            const KEEPS: bool = true;
            const ASKS: bool = true;

            fn put_request(&mut self, environment: &Environment, output: &mut BytesMut) {
                let is_told: fn(&[u8]) -> bool = $is_told;
                let told = environment.iter().filter(|(name, _)| is_told(name));
                host::put_request($role, Then::Keep, told, output);
            }

            fn put_body(content: &[u8], output: &mut BytesMut) {
                host::put_body(content, output);
            }

            fn put_body_end(output: &mut BytesMut) {
                host::put_body_end(output);
            }

            fn put_abort(output: &mut BytesMut) {
                host::put_abort(output);
            }

            fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Said>, Wrong> {
                self.0.decode(input).map_err(wrong)
            }

            fn decode_eof(&mut self, input: &BytesMut) -> Result<Said, Wrong> {
                let cause = match input.is_empty() {
                    true => "it closed the connection amid it",
                    false => "it closed the connection within a record",
                };
                Err(Wrong::Nonsense(cause.into()))
            }

            fn put_question(output: &mut BytesMut) {
                host::put_question(output);
            }

            fn decode_answer(input: &mut BytesMut) -> Result<Option<Values>, Wrong> {
                host::decode_answer(input).map_err(wrong)
            }
        }
    };
}

dialect!(Respond, Role::Responder, |_| true);
// What is the responder's alone (§6.3).
dialect!(Authorize, Role::Authorizer, |name| {
    !matches!(name, b"CONTENT_LENGTH" | b"PATH_INFO" | b"PATH_TRANSLATED" | b"SCRIPT_NAME")
});

fn wrong(error: ReplyError) -> Wrong {
    match error {
        ReplyError::Refused(Outcome::Overloaded | Outcome::CannotMultiplex) => Wrong::NotBegun(error.into()),
        _ => Wrong::Nonsense(error.into()),
    }
}

#[cfg(test)]
mod tests;
