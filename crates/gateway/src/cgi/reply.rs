//! Reads all that a program answers: the header block, and of what follows the bytes that are for the client.
//!
//! A CGI program writes it to its standard output, a FastCGI worker into its stdout records, an SCGI worker into its
//! connection. However it is cut on the way, the same comes out.

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, header};

use super::head::{Head, HeadDecoder, HeadError, HeadLimits, Reason};

/// A part of a program's answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// What it begins with. There is one, and it is first.
    Head(Head),
    /// More of the body; never empty.
    Body(Bytes),
}

/// Reads one program's answer to one request.
#[derive(Debug)]
pub struct ReplyDecoder {
    head: HeadDecoder,
    /// How much of the body is for the client. `None` before the head was read.
    left: Option<Left>,
    is_head_request: bool,
    bytes_read: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// All there is.
    All,
    /// So many bytes, as the program said. What follows is nobody's.
    Bytes(u64),
    /// None: there is no body in such a reply.
    Nothing,
}

impl ReplyDecoder {
    /// A decoder for what answers a request of this method.
    pub fn new(limits: HeadLimits, request: &Method) -> Self {
        let is_head_request = *request == Method::HEAD;
        Self { head: HeadDecoder::new(limits), left: None, is_head_request, bytes_read: 0 }
    }

    /// Takes the next part off `output`; `None` asks for more bytes.
    ///
    /// # Errors
    ///
    /// If it does not begin with a header block, or with one beyond the limits.
    pub fn decode(&mut self, output: &mut BytesMut) -> Result<Option<Part>, HeadError> {
        let Some(left) = &mut self.left else {
            let before = output.len();
            let Some(head) = self.head.decode(output)? else { return Ok(None) };
            self.bytes_read = before - output.len();
            self.left = Some(body_of(&head, self.is_head_request));
            return Ok(Some(Part::Head(head)));
        };
        let body = match left {
            Left::All => output.split(),
            Left::Nothing => {
                output.clear();
                return Ok(None);
            }
            Left::Bytes(left) => {
                let length = usize::try_from(*left).map_or(output.len(), |left| left.min(output.len()));
                *left -= length as u64;
                let body = output.split_to(length);
                output.clear();
                body
            }
        };
        self.bytes_read += body.len();
        Ok(if body.is_empty() { None } else { Some(Part::Body(body.freeze())) })
    }

    /// Says whether that was all of it, once [`decode`](Self::decode) has nothing left and no more output will come.
    /// `output` is what it left.
    ///
    /// # Errors
    ///
    /// If the header block is missing, or the body is shorter than it says.
    pub fn decode_eof(&self, output: &BytesMut) -> Result<(), HeadError> {
        match self.left {
            None => Err(HeadError { reason: Reason::Missing, at: output.len() }),
            Some(Left::Bytes(left)) if left > 0 => {
                Err(HeadError { reason: Reason::CutShort(left), at: self.bytes_read })
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether the reply is whole, so that nothing the program writes from now on would change it.
    pub fn is_complete(&self) -> bool {
        matches!(self.left, Some(Left::Nothing | Left::Bytes(0)))
    }
}

/// How much of what follows is for the client (RFC 9112 §6.3).
fn body_of(head: &Head, is_head_request: bool) -> Left {
    let Head::Reply { status, headers } = head else { return Left::Nothing };
    let has_none = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(status);
    if is_head_request || has_none {
        return Left::Nothing;
    }
    if *status == StatusCode::SWITCHING_PROTOCOLS {
        return Left::All; // In another protocol, of which nothing is known here.
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.map_or(Left::All, Left::Bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The status and the body of an answer, or what is wrong with it; whether it was complete before its end.
    type Seen = Result<(u16, Vec<u8>, bool), Reason>;

    fn read(request: &Method, pieces: &[&[u8]]) -> Seen {
        let mut decoder = ReplyDecoder::new(HeadLimits::default(), request);
        let (mut output, mut code, mut body) = (BytesMut::new(), 0, Vec::new());
        for piece in pieces {
            output.extend_from_slice(piece);
            while let Some(part) = decoder.decode(&mut output).map_err(|error| error.reason)? {
                match part {
                    Part::Head(Head::Reply { status, .. }) => code = status.as_u16(),
                    Part::Head(Head::LocalRedirect(_)) => {}
                    Part::Body(bytes) => {
                        assert!(!bytes.is_empty());
                        body.extend_from_slice(&bytes);
                    }
                }
            }
        }
        decoder.decode_eof(&output).map_err(|error| error.reason)?;
        Ok((code, body, decoder.is_complete()))
    }

    /// The verdict must not depend on how the pipe cut the output.
    #[track_caller]
    fn check(request: &Method, output: &str, expected: Result<(u16, &str, bool), Reason>) {
        let expected: Seen = expected.map(|(code, body, complete)| (code, body.into(), complete));
        assert_eq!(read(request, &[output.as_bytes()]), expected, "{output:?}");
        for cut in 0..output.len() {
            let halves = [&output.as_bytes()[..cut], &output.as_bytes()[cut..]];
            assert_eq!(read(request, &halves), expected, "{output:?} cut at byte {cut}");
        }
    }

    #[test]
    fn a_body_ends_with_the_output_or_with_its_length() {
        check(&Method::GET, "A: b\n\nbody\n", Ok((200, "body\n", false)));
        check(&Method::GET, "Content-Length: 4\n\nbody", Ok((200, "body", true)));
        check(&Method::GET, "Content-Length: 4\n\nbody and more", Ok((200, "body", true)));
        check(&Method::GET, "Content-Length: 0\n\n", Ok((200, "", true)));
        check(&Method::GET, "Content-Length: 5\n\nbody", Err(Reason::CutShort(1)));
    }

    #[test]
    fn replies_without_a_body_have_none() {
        check(&Method::HEAD, "Content-Length: 4\n\nbody", Ok((200, "", true)));
        check(&Method::HEAD, "Content-Length: 4\n\n", Ok((200, "", true)));
        for status in [204, 205, 304] {
            check(&Method::GET, &format!("Status: {status}\n\nbody"), Ok((status, "", true)));
        }
        check(&Method::GET, "Location: /elsewhere\n\nbody", Ok((0, "", true)));
    }

    #[test]
    fn what_follows_an_upgrade_is_another_protocols() {
        check(&Method::GET, "Status: 101\nUpgrade: x\nContent-Length: 1\n\nbytes", Ok((101, "bytes", false)));
    }

    #[test]
    fn no_header_block_is_no_answer() {
        check(&Method::GET, "", Err(Reason::Missing));
        check(&Method::GET, "A: b\n", Err(Reason::Missing));
        check(&Method::GET, "\nbody", Err(Reason::Empty));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(pieces: Vec<Vec<u8>>) {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
            let _ = read(&Method::GET, &pieces);
        }
    }
}
