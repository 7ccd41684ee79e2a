//! The program's end of an SCGI connection: one request, and its reply until the connection's end.

use bytes::{BufMut, Bytes, BytesMut};
use unary_service::Error;

use super::head;
use crate::cgi::guest::{Asked, VariableError, encode_head, take};
use crate::guest::{Guest, Next, ReplyHead, Said};

/// One connection.
#[derive(Debug, Default)]
pub struct ScgiGuest(Step);

#[derive(Debug, Default)]
enum Step {
    #[default]
    Head,
    /// So many bytes of the body are to come.
    Body(u64),
    Over,
}

impl ScgiGuest {
    /// At the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// What follows a body of this length that has been read: its end, or more of it.
    fn said_of_body(&mut self, left: u64, input: &mut BytesMut) -> Option<Said> {
        if left == 0 {
            self.0 = Step::Over;
            return Some(Said::End);
        }
        let bytes = take(input, left);
        self.0 = Step::Body(left - bytes.len() as u64);
        (!bytes.is_empty()).then_some(Said::Body(bytes))
    }
}

impl Guest for ScgiGuest {
    fn decode(&mut self, input: &mut BytesMut, _output: &mut BytesMut) -> Result<Option<Said>, Error> {
        match self.0 {
            Step::Head => {
                let head = head::decode(input).map_err(|error| Error::invalid("reading SCGI").because(error))?;
                let Some(head) = head else { return Ok(None) };
                self.0 = Step::Body(head.content_length);
                Ok(Some(Said::Request(asked(head).map(Box::new))))
            }
            Step::Body(left) => Ok(self.said_of_body(left, input)),
            Step::Over => {
                input.clear(); // Nothing that could follow means anything.
                Ok(None)
            }
        }
    }

    fn rests(&self) -> bool {
        matches!(self.0, Step::Head)
    }

    fn head(&mut self, head: &ReplyHead<'_>, output: &mut BytesMut) {
        encode_head(head, output);
    }

    fn body(&mut self, bytes: &[u8], output: &mut BytesMut) {
        output.put_slice(bytes);
    }

    fn end(&mut self, _output: &mut BytesMut) -> Next {
        Next::End
    }
}

/// SCGI says the length of a body apart from the other variables, and always.
fn asked(head: head::Head) -> Result<Asked, VariableError> {
    let length = (Bytes::from_static(b"CONTENT_LENGTH"), Bytes::from(head.content_length.to_string()));
    Asked::decode(std::iter::once(length).chain(head.variables).collect())
}

#[cfg(test)]
mod tests;
