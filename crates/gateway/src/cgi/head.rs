//! Reads the header block that a program's output begins with (RFC 3875 §6).
//!
//! Programs are not peers on the open internet, and yet what they write goes there: it is read leniently where that
//! harms nobody (a line feed alone ends a line, a reason phrase may be missing) and strictly where a reply could be
//! taken for two.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Bounds on a header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// From its first byte to its empty line. 64 KiB unless told: programs set large cookies.
    pub head_bytes_max: usize,
    /// Field lines. 100 unless told.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 64 * 1024, fields_max: 100 }
    }
}

/// What a program answers with, but for the body.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// A document, or a redirect for the client: what follows is its body.
    Reply {
        /// The status: that of `Status` or of a status line, else 302 beside a `Location`, else 200.
        status: StatusCode,
        /// The fields for the client. Those that concern a connection of the program's are left out.
        headers: HeaderMap,
    },
    /// The request is to be answered as if it had been for this path and query (RFC 3875 §6.2.2).
    LocalRedirect(Bytes),
}

/// Why a program's output is no reply. The position is in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadError {
    /// What is wrong.
    pub reason: Reason,
    /// Where.
    pub at: usize,
}

/// What is wrong with a header block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It ended, or never came, before the empty line.
    Missing,
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It has more fields than this.
    TooManyFields(usize),
    /// It has no field, so that nothing says what the body is.
    Empty,
    /// A line without a colon, or with nothing before it.
    NoField(Bytes),
    /// A line that goes on with the one before (RFC 9112 §5.2).
    FoldedLine,
    /// A `Status` that does not begin with a number from 100 to 599, or an interim one.
    InvalidStatus(Bytes),
    /// `Transfer-Encoding`, which is the server's to say.
    TransferEncoding,
    /// A `Content-Length` that is no number, or two that differ.
    InvalidLength(Bytes),
    /// The body ended so many bytes before its `Content-Length`.
    CutShort(u64),
}

/// Reads the header block of one program's output, once.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    limits: HeadLimits,
    /// Where the line begins that is not whole yet.
    line: usize,
    /// Everything before this has been looked at.
    seen: usize,
}

impl HeadDecoder {
    /// A decoder at the start of a program's output.
    pub fn new(limits: HeadLimits) -> Self {
        Self { limits, line: 0, seen: 0 }
    }

    /// Takes the header block off `output`, once all of it is there; `None` asks for more bytes. What is left is of
    /// the body.
    ///
    /// # Errors
    ///
    /// If it is no header block, or beyond the limits.
    pub fn decode(&mut self, output: &mut BytesMut) -> Result<Option<Head>, HeadError> {
        let window = output.len().min(self.limits.head_bytes_max);
        while let Some(length) = output[self.seen..window].iter().position(|&byte| byte == b'\n') {
            let end = self.seen + length;
            let is_empty = matches!(&output[self.line..end], b"" | b"\r");
            (self.line, self.seen) = (end + 1, end + 1);
            if is_empty {
                let block = output.split_to(end + 1).freeze();
                return self.read(&block).map(Some);
            }
        }
        self.seen = window;
        if output.len() >= self.limits.head_bytes_max {
            let max = self.limits.head_bytes_max;
            return Err(HeadError { reason: Reason::TooLong(max), at: max });
        }
        Ok(None)
    }

    /// The same once no more output will come.
    ///
    /// # Errors
    ///
    /// Also if the empty line is missing.
    pub fn decode_eof(&mut self, output: &mut BytesMut) -> Result<Head, HeadError> {
        self.decode(output)?.ok_or(HeadError { reason: Reason::Missing, at: output.len() })
    }

    fn read(&self, block: &Bytes) -> Result<Head, HeadError> {
        let mut fields = Fields::default();
        let (mut at, mut count) = (0, 0);
        for line in block.split(|&byte| byte == b'\n') {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            if at == 0 && text.starts_with(b"HTTP/") {
                fields.status_line(text).map_err(|reason| HeadError { reason, at })?;
            } else if !text.is_empty() {
                count += 1;
                if count > self.limits.fields_max {
                    return Err(HeadError { reason: Reason::TooManyFields(self.limits.fields_max), at });
                }
                fields.add(text).map_err(|reason| HeadError { reason, at })?;
            }
            at += line.len() + 1;
        }
        if count == 0 && fields.status.is_none() {
            return Err(HeadError { reason: Reason::Empty, at: 0 });
        }
        Ok(fields.head())
    }
}

#[derive(Default)]
struct Fields {
    status: Option<StatusCode>,
    headers: HeaderMap,
    /// There was a field beside `Location`, if only one that is left out.
    others: bool,
}

impl Fields {
    /// The line that programs begin with who write all of a reply themselves (RFC 3875 §5). They are read like all
    /// others: what goes out is one reply, over HTTP/2 too.
    fn status_line(&mut self, line: &[u8]) -> Result<(), Reason> {
        let value = line.iter().position(|&byte| byte == b' ').map_or(&b""[..], |space| line[space..].trim_ascii());
        self.status = Some(status(value)?);
        Ok(())
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Reason> {
        if line[0] == b' ' || line[0] == b'\t' {
            return Err(Reason::FoldedLine);
        }
        let no_field = || Reason::NoField(Bytes::copy_from_slice(line));
        let colon = line.iter().position(|&byte| byte == b':').filter(|&at| at > 0).ok_or_else(no_field)?;
        let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
        self.others |= !name.eq_ignore_ascii_case(b"location");
        if name.eq_ignore_ascii_case(b"status") {
            self.status = Some(status(value)?);
            return Ok(());
        }
        let Ok(name) = HeaderName::from_bytes(name) else { return Err(no_field()) };
        match name {
            header::TRANSFER_ENCODING => return Err(Reason::TransferEncoding),
            header::CONTENT_LENGTH => self.length(value)?,
            // What steers a connection is about one that the program does not have (RFC 9110 §7.6.1).
            header::CONNECTION | header::TE | header::TRAILER => return Ok(()),
            _ if matches!(name.as_str(), "keep-alive" | "proxy-connection") => return Ok(()),
            _ => {}
        }
        // Control bytes have no place in a value: such a field is left out, as no client would take it.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            match name {
                header::CONTENT_LENGTH | header::LOCATION | header::CONTENT_TYPE => {
                    self.headers.insert(name, value);
                }
                name => {
                    self.headers.append(name, value);
                }
            }
        }
        Ok(())
    }

    /// Lengths that differ would make of one reply two (RFC 9112 §6.3).
    fn length(&self, value: &[u8]) -> Result<(), Reason> {
        let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
        let same = self.headers.get(header::CONTENT_LENGTH).is_none_or(|earlier| earlier.as_bytes() == value);
        if digits && same { Ok(()) } else { Err(Reason::InvalidLength(Bytes::copy_from_slice(value))) }
    }

    fn head(mut self) -> Head {
        // To leave HTTP is offered and taken by these alone (RFC 9110 §7.8).
        if !matches!(self.status, Some(StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED)) {
            self.headers.remove(header::UPGRADE);
        }
        let local = self.headers.get(header::LOCATION).filter(|location| is_path(location.as_bytes()));
        match (local, self.status) {
            // With anything beside it, it is for the client: a cookie would be lost on the way.
            (Some(path), None) if !self.others => Head::LocalRedirect(Bytes::copy_from_slice(path.as_bytes())),
            (_, Some(status)) => Head::Reply { status, headers: self.headers },
            (_, None) => {
                let redirects = self.headers.contains_key(header::LOCATION);
                let status = if redirects { StatusCode::FOUND } else { StatusCode::OK };
                Head::Reply { status, headers: self.headers }
            }
        }
    }
}

/// A path on this server. Two slashes would begin the name of another, and what is behind a `#` is the client's.
fn is_path(location: &[u8]) -> bool {
    location.starts_with(b"/") && !location.starts_with(b"//") && !location.contains(&b'#')
}

/// `200 OK`, or the number alone. An interim reply is no answer, but for 101, which takes the connection over.
fn status(value: &[u8]) -> Result<StatusCode, Reason> {
    let (code, rest) = value.split_at(value.len().min(3));
    let status = StatusCode::from_bytes(code).ok().filter(|status| status.as_u16() < 600);
    status
        .filter(|status| !status.is_informational() || *status == StatusCode::SWITCHING_PROTOCOLS)
        .filter(|_| rest.first().is_none_or(|&byte| byte == b' ' || byte == b'\t'))
        .ok_or_else(|| Reason::InvalidStatus(Bytes::copy_from_slice(value)))
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, at } = self;
        match reason {
            Reason::Missing => write!(f, "its output ended after {at} bytes without a header block and an empty line"),
            Reason::TooLong(max) => write!(f, "its header block is longer than {max} bytes"),
            Reason::TooManyFields(max) => write!(f, "its header block has more than {max} fields"),
            Reason::Empty => write!(f, "its header block is empty: it begins with an empty line"),
            Reason::NoField(line) => write!(f, "byte {at} of its output begins no field: {:?}", shown(line)),
            Reason::FoldedLine => write!(f, "byte {at} of its output goes on with the field before"),
            Reason::InvalidStatus(value) => write!(f, "its status is {:?}", shown(value)),
            Reason::TransferEncoding => f.write_str("it says Transfer-Encoding, which is the server's to say"),
            Reason::InvalidLength(value) => write!(f, "its Content-Length is {:?}", shown(value)),
            Reason::CutShort(left) => write!(f, "its output ended {left} bytes before its Content-Length"),
        }
    }
}

impl std::error::Error for HeadError {}

/// As much of a program's bytes as a line of a log has room for.
fn shown(bytes: &Bytes) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]).into_owned()
}

#[cfg(test)]
mod tests;
