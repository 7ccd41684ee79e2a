//! SCGI's host: a service that has its requests answered by SCGI workers.
//!
//! A connection for each request, at whose end the reply ends. What holds of calls holds as for
//! [FastCGI](crate::fastcgi).

use std::fmt;

use bytes::{Bytes, BytesMut};
use unary_gateway::cgi::environment::Environment;
use unary_gateway::fastcgi::host::Said;
use unary_gateway::scgi::head::{self, Head};
use unary_http::{Request, Response};
use unary_net::{Address, Connection, Dial, Socket, Transport};
use unary_service::{Available, Error, Service, Status};

use crate::host::Settings;
use crate::host::crew::Crew;
use crate::host::dialect::{Dialect, Wrong};
use crate::host::mount::Mount;
use crate::send_file::SendFiles;

/// Has requests answered by SCGI workers.
///
/// As [`FastCgi`](crate::fastcgi::FastCgi), but that connections are not kept and workers write no log here. When the
/// client goes away, the connection closes; that to a worker of a pool a second later, unless it is done before: until then
/// nobody else is sent there.
pub struct Scgi<D = Dial, S = Socket> {
    crew: Crew<D, Speak, S>,
    mount: Mount,
}

impl Scgi {
    /// Has requests answered by the workers at these addresses.
    pub fn at(addresses: impl IntoIterator<Item = Address>, mount: Mount, settings: Settings) -> Self {
        Self::over(addresses, &Dial::new(), mount, settings)
    }
}

impl<D, S> Scgi<D, S>
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

impl<D, S> Service<Request> for Scgi<D, S>
where
    D: Service<Address, Reply = Connection<S>> + Clone + 'static,
    S: Transport,
{
    type Reply = Response;

    async fn call(&self, request: Request) -> Result<Response, Error> {
        self.crew.answer_at(&self.mount, request).await
    }
}

impl<D: Available + Send + Sync, S: Send> Available for Scgi<D, S> {
    fn status(&self) -> Status {
        self.crew.status()
    }
}

impl<D, S> fmt::Debug for Scgi<D, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scgi").field("mount", &self.mount).finish_non_exhaustive()
    }
}

/// One request in SCGI.
#[derive(Debug, Default)]
pub(crate) struct Speak;

impl Dialect for Speak {
    const KEEPS: bool = false;

    fn put_request(&mut self, environment: &Environment, output: &mut BytesMut) {
        let content_length = environment.get("CONTENT_LENGTH").and_then(|length| std::str::from_utf8(length).ok());
        let content_length = content_length.and_then(|length| length.parse().ok()).unwrap_or_default();
        let others = environment.iter().filter(|(name, _)| !matches!(*name, b"CONTENT_LENGTH" | b"SCGI"));
        let copied = |(name, value)| (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value));
        head::encode(&Head { content_length, variables: others.map(copied).collect() }, output);
    }

    fn put_body(content: &[u8], output: &mut BytesMut) {
        output.extend_from_slice(content);
    }

    fn put_body_end(_output: &mut BytesMut) {}

    fn put_abort(_output: &mut BytesMut) {}

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Said>, Wrong> {
        Ok((!input.is_empty()).then(|| Said::Output(input.split().freeze())))
    }

    fn decode_eof(&mut self, _input: &BytesMut) -> Result<Said, Wrong> {
        Ok(Said::End { exit_status: 0 })
    }
}

#[cfg(test)]
mod tests;
