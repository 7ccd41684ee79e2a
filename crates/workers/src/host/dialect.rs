//! How a request is put to a worker and its reply read: in FastCGI or SCGI.

use bytes::BytesMut;
use unary_gateway::cgi::environment::Environment;
use unary_gateway::fastcgi::host::{Said, Values};

/// One request's worth of a protocol, bytes in and out.
pub(crate) trait Dialect: Default + Send + Unpin + 'static {
    /// Whether a connection can carry another request after this one.
    const KEEPS: bool;

    /// Appends the variables.
    fn put_request(&mut self, environment: &Environment, output: &mut BytesMut);

    /// Appends bytes of the request's body.
    fn put_body(content: &[u8], output: &mut BytesMut);

    /// Appends the body's end.
    fn put_body_end(output: &mut BytesMut);

    /// Appends that nobody is interested any more, if there are words for it.
    fn put_abort(output: &mut BytesMut);

    /// Takes the next thing the worker says off the input. `None` asks for more bytes.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Said>, Wrong>;

    /// What it means that no more will come.
    fn decode_eof(&mut self, input: &BytesMut) -> Result<Said, Wrong>;

    /// Whether a worker can be asked how much it takes.
    const ASKS: bool = false;

    /// Appends that question.
    fn put_question(_output: &mut BytesMut) {}

    /// Takes its answer off the input. `None` asks for more bytes.
    fn decode_answer(_input: &mut BytesMut) -> Result<Option<Values>, Wrong> {
        Ok(None)
    }
}

/// Why a worker's bytes make no reply.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// The request was refused without being begun.
    NotBegun(Box<dyn std::error::Error + Send + Sync>),
    /// What comes makes no sense.
    Nonsense(Box<dyn std::error::Error + Send + Sync>),
}
