//! Decodes heads: bytes in, checked heads out.
//!
//! Two steps. `scan` finds the lines as bytes arrive and remembers where it stopped; once the empty
//! line is there, `start_line` and `fields` read the head in one go and `framing` judges what
//! the fields say together. The bodies that follow are for [`super::body`], what to do with a head is
//! for the connection.

mod fields;
mod framing;
mod name;
mod named;
mod scan;
mod start_line;

use bytes::{Buf, Bytes, BytesMut};
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use fields::LastHost;
pub(super) use fields::Section;
pub(crate) use name::may_trail;
pub(super) use scan::Scan;

use crate::h1::error::{DecodeError, Reason};
use crate::h1::head::{Framing, HeadLimits, RequestHead, ResponseHead};
use framing::Fields;
use start_line::{RequestLine, parse_status_line, request_line_bytes_max};

/// Empty lines forgiven before a request line (RFC 9112 §2.2): some old clients end a body with one.
const EMPTY_LINES_MAX: u8 = 4;

/// What `head_bytes_max` can be at most: positions in a head are kept in 32 bits.
const HEAD_BYTES_BOUND: usize = u32::MAX as usize;

/// Decodes the heads of one connection, one after the other.
///
/// ```
/// use bytes::BytesMut;
/// use unary_http::h1::decode::HeadDecoder;
/// use unary_http::h1::head::{Framing, HeadLimits, RequestHead};
///
/// let mut decoder = HeadDecoder::new(HeadLimits::default());
/// let mut head = RequestHead::default();
/// let mut input = BytesMut::from("GET /tea?leaf=green HTTP/1.1\r\nHo");
/// assert!(!decoder.decode_request(&mut input, &mut head)?);
///
/// input.extend_from_slice(b"st: example.com\r\n\r\n");
/// assert!(decoder.decode_request(&mut input, &mut head)?);
/// assert_eq!(head.uri.path(), "/tea");
/// assert_eq!(head.headers["host"], "example.com");
/// assert_eq!(head.framing, Framing::Empty);
/// assert!(head.keep_alive && input.is_empty());
/// # Ok::<(), unary_http::h1::error::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct HeadDecoder {
    limits: HeadLimits,
    scan: Scan,
    empty_lines: u8,
    request_line: Option<RequestLine>,
    host: LastHost,
}

impl HeadDecoder {
    /// A decoder at the start of a connection. It allocates nothing before the first bytes.
    pub fn new(mut limits: HeadLimits) -> Self {
        limits.head_bytes_max = limits.head_bytes_max.min(HEAD_BYTES_BOUND);
        Self { limits, scan: Scan::default(), empty_lines: 0, request_line: None, host: LastHost::default() }
    }

    /// Forgets an unfinished head and the empty lines before it, to decode another connection's.
    #[inline]
    pub fn reset(&mut self) {
        self.scan.reset();
        self.empty_lines = 0;
        self.request_line = None;
    }

    /// Whether bytes of an unfinished head have been seen: the peer is amid a message, not idle. Empty
    /// lines before a head are not of it, though they count until the head has come.
    pub fn is_amid_head(&self) -> bool {
        !self.scan.is_fresh()
    }

    /// Takes the next request head off `input` and puts it into `head`; says whether there was a whole
    /// one. Otherwise it takes more bytes, after which `input` must begin with the same ones.
    ///
    /// What was in `head` is replaced, and the memory of its header map used again. A head is several
    /// cache lines long: reading its parts to where they are to be, instead of passing them on, saves
    /// a third of the time a small one takes. (A processor waits for what was written in small pieces
    /// before it can move it in large ones.)
    ///
    /// Up to four empty lines before the head are dropped. After an error the connection is to be
    /// closed, once the peer could read the answer, and `head` is worth nothing; the bytes at fault
    /// stay in `input` if the request line is the cause ([`Reason::Http2Preface`] among them).
    pub fn decode_request(&mut self, input: &mut BytesMut, head: &mut RequestHead) -> Result<bool, DecodeError> {
        let line = match self.request_line {
            Some(line) => line,
            None => match self.read_request_line(input)? {
                Some(line) => *self.request_line.insert(line),
                None => return Ok(false),
            },
        };
        let Some(bytes) = self.rest_of_head(input)? else {
            return Ok(false);
        };
        let mut fields = Fields::new(line.version);
        head.headers.clear();
        self.read_fields(&bytes, &mut head.headers, &mut fields)?;
        head.version = line.version;
        line.read_method(&bytes, &mut head.method)?;
        line.read_uri(&bytes, &head.method, &mut head.uri)?;
        fields.check_request(bytes.len())?;
        head.framing = fields.request_framing()?;
        head.keep_alive = fields.keep_alive();
        head.expect_continue = fields.expect_continue() && head.framing != Framing::Empty;
        head.upgrade = fields.upgrade();
        if fields.names_fields() {
            named::remove(&mut head.headers);
        }
        if line.names_authority(&bytes)
            && let (Some(_), Some(authority)) = (head.uri.scheme(), head.uri.authority())
        {
            replace_host(&mut head.headers, authority)?;
        }
        self.reset();
        Ok(true)
    }

    /// Takes the next response head off `input`, an answer to a request with this method, and puts it
    /// into `head`, just as [`decode_request`](Self::decode_request) does.
    ///
    /// An interim response (1xx) is a head of its own.
    pub fn decode_response(
        &mut self,
        input: &mut BytesMut,
        request: &Method,
        head: &mut ResponseHead,
    ) -> Result<bool, DecodeError> {
        if self.scan.ends().is_empty() {
            let window = &input[..input.len().min(self.limits.head_bytes_max)];
            let Some(end) = self.scan.line(window)? else {
                return self.head_too_long(input).map_or(Ok(false), Err);
            };
            parse_status_line(&input[..end])?;
        }
        let Some(bytes) = self.rest_of_head(input)? else {
            return Ok(false);
        };
        let status_line_end = self.scan.ends()[0] as usize;
        let (version, status) = parse_status_line(&bytes[..status_line_end])?;
        let mut fields = Fields::new(version);
        head.headers.clear();
        self.read_fields(&bytes, &mut head.headers, &mut fields)?;
        head.version = version;
        head.status = status;
        head.framing = fields.response_framing(status, request)?;
        head.keep_alive = fields.keep_alive() && head.framing != Framing::UntilClose;
        let tunnel = *request == Method::CONNECT && status.is_success();
        head.upgrade = tunnel || (status == StatusCode::SWITCHING_PROTOCOLS && fields.upgrade());
        if fields.names_fields() {
            named::remove(&mut head.headers);
        }
        self.reset();
        Ok(true)
    }

    #[inline]
    fn read_request_line(&mut self, input: &mut BytesMut) -> Result<Option<RequestLine>, DecodeError> {
        while self.scan.is_fresh() && input.starts_with(b"\r\n") {
            if self.empty_lines == EMPTY_LINES_MAX {
                return Err(DecodeError::new(Reason::EmptyLines, 0));
            }
            self.empty_lines += 1;
            input.advance(2);
        }
        let limits = &self.limits;
        let line_bytes_max = request_line_bytes_max(limits.target_bytes_max);
        let window = &input[..input.len().min(limits.head_bytes_max).min(line_bytes_max)];
        match self.scan.line(window)? {
            Some(end) => RequestLine::parse(&input[..end], limits.target_bytes_max).map(Some),
            None if window.len() < limits.head_bytes_max.min(line_bytes_max) => Ok(None),
            None => Err(RequestLine::refuse_unfinished(window, limits)),
        }
    }

    /// Splits a complete head off `input`.
    #[inline]
    fn rest_of_head(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
        let window = &input[..input.len().min(self.limits.head_bytes_max)];
        match self.scan.section(window, 1, self.limits.headers_max)? {
            Some(end) => Ok(Some(input.split_to(end).freeze())),
            None => self.head_too_long(input).map_or(Ok(None), Err),
        }
    }

    fn head_too_long(&self, input: &BytesMut) -> Option<DecodeError> {
        let max = self.limits.head_bytes_max;
        (input.len() >= max).then(|| DecodeError::new(Reason::HeadTooLong(max), max))
    }

    /// Reads the field lines of a complete head into `headers`.
    #[inline]
    fn read_fields(&mut self, head: &Bytes, headers: &mut HeaderMap, fields: &mut Fields) -> Result<(), DecodeError> {
        let (first, ends) = self.scan.ends().split_first().expect("a head has a first line");
        Section { bytes: head, start: *first as usize + 2, ends }.read_headers(headers, fields, &mut self.host)
    }
}

/// The authority of an absolute target counts, whatever `Host` says (RFC 9112 §3.2.2).
#[cold]
fn replace_host(headers: &mut HeaderMap, authority: &Authority) -> Result<(), DecodeError> {
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| {
        let authority = Bytes::copy_from_slice(authority.as_str().as_bytes());
        DecodeError::new(Reason::InvalidHost(authority), 0)
    })?;
    headers.insert(HOST, host);
    Ok(())
}

#[cfg(test)]
mod tests;
