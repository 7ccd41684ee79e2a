//! Codecs: bytes in, messages out. No socket, no clock, no spawn: the caller drives them.

use bytes::BytesMut;

use crate::Error;

/// One direction's view of a wire: a server decodes requests and encodes replies.
///
/// Laws, which `unary-testkit` checks: what is encoded decodes to the same message; how the bytes
/// are cut changes nothing; no input panics; what is buffered is bounded by the codec.
pub trait Codec {
    /// What comes in.
    type In: Send;
    /// What goes out.
    type Out: Send;

    /// Takes one message off the front of `input`. `None` asks for more bytes.
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Self::In>, Error>;

    /// The same once no more bytes will come. By default what is left over is an error.
    fn decode_eof(&mut self, input: &mut BytesMut) -> Result<Option<Self::In>, Error> {
        match self.decode(input)? {
            None if !input.is_empty() => Err(Error::closed("reading a message: the stream ended inside it")),
            message => Ok(message),
        }
    }

    /// Puts one message at the end of `output`.
    fn encode(&mut self, item: Self::Out, output: &mut BytesMut) -> Result<(), Error>;

    /// What to say to the peer when the service failed, if the wire has words for it. By default
    /// there are none, and the connection closes.
    fn failure(&mut self, error: &Error) -> Option<Self::Out> {
        let _ = error;
        None
    }
}
