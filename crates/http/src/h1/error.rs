//! Why bytes from a peer were refused, where, and which status says so.
//!
//! Both directions share it: a server answers with [`DecodeError::status`], a client only reports it.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;

/// Bytes that are not HTTP/1.1 as this crate accepts it. The connection cannot be used any further:
/// where the next message begins is unknown or in doubt.
///
/// It is boxed, so that results without an error stay small.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<(Reason, u64)>);

/// What is wrong with a head or a body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// A line feed without a carriage return before it.
    BareLineFeed,
    /// A carriage return without a line feed after it.
    BareCarriageReturn,
    /// A control byte, NUL included, where none may be.
    ControlByte(u8),
    /// More empty lines before a request than are forgiven.
    EmptyLines,
    /// The head, or trailer section, is longer than this many bytes.
    HeadTooLong(usize),
    /// More fields than this in a head or trailer section.
    TooManyFields(usize),

    /// A byte that no method has.
    InvalidMethod(u8),
    /// A method longer than any in use; at most this many bytes.
    MethodTooLong(usize),
    /// A request target longer than this many bytes.
    TargetTooLong(usize),
    /// Neither a path, nor a URI, nor what the method asks for (`*` is for `OPTIONS`, `host:port` for `CONNECT`).
    InvalidTarget(Bytes),
    /// The line does not end in a version such as `HTTP/1.1`.
    InvalidVersion(Bytes),
    /// A version with another major number than 1.
    UnsupportedVersion(Bytes),
    /// The peer opens HTTP/2 without asking first (RFC 9113 §3.4). Nothing was consumed.
    Http2Preface,
    /// A status that is not three digits from 100 on.
    InvalidStatus(Bytes),

    /// White space before the first field's name.
    SpaceBeforeName,
    /// A value continued on a next line (RFC 9112 §5.2).
    FoldedLine,
    /// White space between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A field line without a colon.
    MissingColon,
    /// An empty name, or one with a byte that no name has.
    InvalidName(Bytes),
    /// A byte that no field value has.
    InvalidValue,

    /// HTTP/1.1 demands one `Host` (RFC 9112 §3.2).
    MissingHost,
    /// A second `Host`.
    RepeatedHost,
    /// A `Host` that is not `host` or `host:port`.
    InvalidHost(Bytes),
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    UnmetExpectation(Bytes),

    /// A `Content-Length` that is not one decimal number.
    InvalidContentLength(Bytes),
    /// A second `Content-Length`, even an equal one.
    RepeatedContentLength,
    /// Both `Content-Length` and `Transfer-Encoding` (RFC 9112 §6.3): a smuggling attempt, or as good as one.
    LengthAndTransferEncoding,
    /// `Transfer-Encoding` in a version that has none (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// A `Transfer-Encoding` that is no list of codings, or does not end in `chunked`.
    InvalidTransferEncoding(Bytes),
    /// `chunked` was applied twice.
    RepeatedChunked,
    /// A transfer coding not implemented here, `chunked` atop it.
    UnknownTransferCoding(Bytes),

    /// A byte that has no place in a chunk's size.
    InvalidChunkSize(u8),
    /// A chunk size of more digits than this.
    ChunkSizeTooLong(usize),
    /// A byte that has no place in a chunk extension.
    InvalidChunkExtension(u8),
    /// Chunk extensions of more bytes than this, in one chunk or all together.
    ChunkExtensionsTooLong(usize),
    /// A chunk's data went on where its closing CRLF should be.
    UnfinishedChunk(u8),
    /// The peer closed before the message was whole.
    Truncated,
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(reason: Reason, at: usize) -> Self {
        Self(Box::new((reason, at as u64)))
    }

    /// The same error, of bytes that began so many bytes later than was known where it was found.
    pub(crate) fn further(mut self, bytes: u64) -> Self {
        self.0.1 += bytes;
        self
    }

    /// What is wrong, with the offending value.
    pub fn reason(&self) -> &Reason {
        &self.0.0
    }

    /// Where: bytes from the start of the head, or of the body as it was on the wire.
    pub fn at(&self) -> u64 {
        self.0.1
    }

    /// The status a server answers with before it closes.
    pub fn status(&self) -> StatusCode {
        match self.reason() {
            Reason::TargetTooLong(_) => StatusCode::URI_TOO_LONG,
            Reason::HeadTooLong(_) | Reason::TooManyFields(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::MethodTooLong(_) | Reason::UnknownTransferCoding(_) => StatusCode::NOT_IMPLEMENTED,
            Reason::UnsupportedVersion(_) | Reason::Http2Preface => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Reason::UnmetExpectation(_) => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason(), self.at())
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError").field("reason", self.reason()).field("at", &self.at()).finish()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BareLineFeed => f.write_str("a line feed without a carriage return"),
            Self::BareCarriageReturn => f.write_str("a carriage return without a line feed"),
            Self::ControlByte(byte) => write!(f, "control byte {byte:#04x}"),
            Self::EmptyLines => f.write_str("too many empty lines before the request"),
            Self::HeadTooLong(max) => write!(f, "fields longer than {max} bytes"),
            Self::TooManyFields(max) => write!(f, "more than {max} fields"),
            Self::InvalidMethod(byte) => write!(f, "byte {byte:#04x} in the method"),
            Self::MethodTooLong(max) => write!(f, "a method longer than {max} bytes"),
            Self::TargetTooLong(max) => write!(f, "a request target longer than {max} bytes"),
            Self::InvalidTarget(value) => write!(f, "bad request target {}", Excerpt(value)),
            Self::InvalidVersion(value) => write!(f, "bad version {}", Excerpt(value)),
            Self::UnsupportedVersion(value) => write!(f, "unsupported version {}", Excerpt(value)),
            Self::Http2Preface => f.write_str("HTTP/2 on an HTTP/1.1 connection"),
            Self::InvalidStatus(value) => write!(f, "bad status {}", Excerpt(value)),
            Self::SpaceBeforeName => f.write_str("white space before the first field"),
            Self::FoldedLine => f.write_str("a field value folded onto a next line"),
            Self::SpaceBeforeColon => f.write_str("white space before a field's colon"),
            Self::MissingColon => f.write_str("a field without a colon"),
            Self::InvalidName(value) => write!(f, "bad field name {}", Excerpt(value)),
            Self::InvalidValue => f.write_str("bad field value"),
            Self::MissingHost => f.write_str("no Host"),
            Self::RepeatedHost => f.write_str("a second Host"),
            Self::InvalidHost(value) => write!(f, "bad Host {}", Excerpt(value)),
            Self::UnmetExpectation(value) => write!(f, "unknown expectation {}", Excerpt(value)),
            Self::InvalidContentLength(value) => {
                write!(f, "bad Content-Length {}", Excerpt(value))
            }
            Self::RepeatedContentLength => f.write_str("a second Content-Length"),
            Self::LengthAndTransferEncoding => f.write_str("both Content-Length and Transfer-Encoding"),
            Self::TransferEncodingInHttp10 => f.write_str("Transfer-Encoding in HTTP/1.0"),
            Self::InvalidTransferEncoding(value) => {
                write!(f, "Transfer-Encoding {} does not end in chunked", Excerpt(value))
            }
            Self::RepeatedChunked => f.write_str("chunked twice in Transfer-Encoding"),
            Self::UnknownTransferCoding(value) => {
                write!(f, "unknown transfer coding {}", Excerpt(value))
            }
            Self::InvalidChunkSize(byte) => write!(f, "byte {byte:#04x} in a chunk size"),
            Self::ChunkSizeTooLong(max) => write!(f, "a chunk size of more than {max} digits"),
            Self::InvalidChunkExtension(byte) => {
                write!(f, "byte {byte:#04x} in a chunk extension")
            }
            Self::ChunkExtensionsTooLong(max) => {
                write!(f, "chunk extensions longer than {max} bytes")
            }
            Self::UnfinishedChunk(byte) => write!(f, "byte {byte:#04x} after a chunk's data"),
            Self::Truncated => f.write_str("the peer closed amid a message"),
        }
    }
}

/// What a log line shows of a peer's bytes: escaped and short.
struct Excerpt<'a>(&'a [u8]);

const EXCERPT_BYTES_MAX: usize = 48; // Enough to recognise a value; one cannot flood a log with it.

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..EXCERPT_BYTES_MAX) {
            Some(start) if start.len() < self.0.len() => write!(f, "\"{}…\"", start.escape_ascii()),
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reason: Reason, status: u16, text: &str) {
        let error = DecodeError::new(reason, 7);
        assert_eq!((error.status().as_u16(), error.to_string().as_str()), (status, text));
    }

    #[test]
    fn says_what_where_and_with_which_status() {
        check(Reason::ControlByte(0), 400, "control byte 0x00 at byte 7");
        check(Reason::TargetTooLong(9), 414, "a request target longer than 9 bytes at byte 7");
        check(Reason::TooManyFields(9), 431, "more than 9 fields at byte 7");
        check(Reason::MethodTooLong(9), 501, "a method longer than 9 bytes at byte 7");
        check(Reason::Http2Preface, 505, "HTTP/2 on an HTTP/1.1 connection at byte 7");
    }

    #[test]
    fn shows_a_peers_bytes_escaped_and_short() {
        let value = Bytes::from_static(b"a\"\x1b[31m");
        check(Reason::InvalidHost(value), 400, r#"bad Host "a\"\x1b[31m" at byte 7"#);
        let text = format!("bad Host \"{}…\" at byte 7", "a".repeat(EXCERPT_BYTES_MAX));
        check(Reason::InvalidHost(vec![b'a'; 5000].into()), 400, &text);
    }
}
