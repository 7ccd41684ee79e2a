//! The program's end of a wire, whichever wire it is: what a host says, and how it is answered.
//!
//! One driver serves CGI, SCGI and FastCGI with this. A guest has neither socket nor clock: bytes in, what they say
//! out, and the other way round for replies.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use unary_service::Error;

use crate::cgi::guest::{Asked, VariableError};

/// What a host says.
#[derive(Debug)]
pub enum Said {
    /// A request, or why its variables are none. Its body follows.
    Request(Result<Box<Asked>, VariableError>),
    /// The next bytes of its body, one at least.
    Body(Bytes),
    /// The body is whole.
    End,
    /// The body ends before it is whole.
    Cut,
    /// Nobody waits for the reply any more.
    Abort,
}

/// How a reply begins.
#[derive(Clone, Copy, Debug)]
pub struct ReplyHead<'a> {
    /// The status: a final one.
    pub status: StatusCode,
    /// The service's fields. What is the host's to say of its connection is left out.
    pub headers: &'a HeaderMap,
    /// The length to announce, which counts before what the fields say.
    pub length: Option<u64>,
}

/// What may come after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another request on the same connection.
    Request,
    /// Nothing.
    End,
}

/// The program's end of one connection.
pub trait Guest: Send {
    /// Takes what is said next off the front of `input`; `None` asks for more bytes. What the wire wants answered, and
    /// nobody else needs to know of, is appended to `output`.
    ///
    /// # Errors
    ///
    /// If the bytes make no sense or are beyond the limits: there is no going on then.
    fn decode(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Option<Said>, Error>;

    /// Whether more input could matter now. If not, nothing is read, not even to see whether the host is there.
    fn listens(&self) -> bool {
        true
    }

    /// Whether no request is under way, nor the head of one.
    fn rests(&self) -> bool;

    /// Whether the wire itself says where a reply ends. If not, one without a length that ends early looks whole.
    fn tells_its_end(&self) -> bool {
        false
    }

    /// Whether the end of the input is the end of the body that is arriving. If not, the body is cut off.
    fn ends_with_input(&self) -> bool {
        false
    }

    /// Appends the head of the reply.
    fn head(&mut self, head: &ReplyHead<'_>, output: &mut BytesMut);

    /// Appends bytes of the reply's body.
    fn body(&mut self, bytes: &[u8], output: &mut BytesMut);

    /// Appends a line for the host's log, where the wire has a place for it; whether it has.
    fn log(&mut self, line: &str, output: &mut BytesMut) -> bool {
        let _ = (line, output);
        false
    }

    /// Appends what ends the reply.
    fn end(&mut self, output: &mut BytesMut) -> Next;

    /// Appends what ends a request that the host has aborted, and is not answered.
    fn abort(&mut self, output: &mut BytesMut) -> Next {
        let _ = output;
        Next::End
    }
}
