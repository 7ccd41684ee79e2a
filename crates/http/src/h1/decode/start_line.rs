//! Reads the first line of a head: what a request asks for, or how a response turned out.

use std::ops::Range;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::scan::find_near;
use crate::h1::error::{DecodeError, Reason};
use crate::h1::token::{is_host, is_token_byte};

/// The longest method: twice the longest registered one, `UPDATEREDIRECTREF`.
pub(super) const METHOD_BYTES_MAX: usize = 34;

const VERSION_BYTES: usize = "HTTP/1.1".len();

/// The most bytes a request line within the limits has, its CRLF included.
pub(super) fn request_line_bytes_max(target_bytes_max: usize) -> usize {
    target_bytes_max.saturating_add(METHOD_BYTES_MAX + 1 + 1 + VERSION_BYTES + 2)
}

/// A request line, its target not yet parsed.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) target: Range<usize>,
    pub(super) version: Version,
}

impl RequestLine {
    pub(super) fn parse(line: &[u8], target_bytes_max: usize) -> Result<Self, DecodeError> {
        let method_end = match line {
            [b'G', b'E', b'T', b' ', ..] => 3,
            _ => method_end(line)?,
        };
        let start = method_end + 1;
        let rest = line.get(start..).unwrap_or_default();
        let length = find_near(rest, b' ').unwrap_or(rest.len());
        let target = start..start + length;
        if length > target_bytes_max {
            let at = start + target_bytes_max;
            return Err(DecodeError::new(Reason::TargetTooLong(target_bytes_max), at));
        }
        let version = match line.get(target.end..) {
            Some(b" HTTP/1.1") => Version::HTTP_11,
            rest => unusual_version(rest.unwrap_or_default(), line, target.end)?,
        };
        let method =
            Method::from_bytes(&line[..method_end]).map_err(|_| DecodeError::new(Reason::InvalidMethod(b' '), 0))?;
        Ok(Self { method, target, version })
    }

    /// The target in the form the method asks for (RFC 9112 §3.2).
    ///
    /// The bytes [`Uri`] accepts are accepted: UTF-8 among them, for people type it and `curl` sends
    /// it as it is. A fragment is refused: it would be dropped unseen.
    pub(super) fn uri(&self, head: &Bytes) -> Result<Uri, DecodeError> {
        let target = &head[self.target.clone()];
        let uri = match target {
            b"/" if self.method != Method::CONNECT => return Ok(Uri::default()),
            [b'/', ..] if self.method != Method::CONNECT => self.origin_form(head),
            b"*" if self.method == Method::OPTIONS => Some(PathAndQuery::from_static("*").into()),
            [b'*', ..] => None,
            _ => self.form_with_authority(head),
        };
        uri.ok_or_else(|| {
            let reason = Reason::InvalidTarget(head.slice(self.target.clone()));
            DecodeError::new(reason, self.target.start)
        })
    }

    fn origin_form(&self, head: &Bytes) -> Option<Uri> {
        let path = PathAndQuery::from_maybe_shared(head.slice(self.target.clone())).ok()?;
        // Where there was a fragment, it is missing.
        (path.as_str().len() == self.target.len()).then(|| path.into())
    }

    /// Absolute-form, or the authority-form of `CONNECT`. User names are refused (RFC 9110 §4.2.4).
    #[cold]
    fn form_with_authority(&self, head: &Bytes) -> Option<Uri> {
        let target = head.slice(self.target.clone());
        if target.contains(&b'#') {
            return None;
        }
        let uri = Uri::from_maybe_shared(target).ok()?;
        let authority = uri.authority()?;
        let suits = match self.method {
            Method::CONNECT => uri.scheme().is_none() && authority.port_u16().is_some_and(|port| port > 0),
            _ => uri.scheme().is_some(),
        };
        (suits && is_host(authority.as_str().as_bytes())).then_some(uri)
    }
}

fn method_end(line: &[u8]) -> Result<usize, DecodeError> {
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b' ' if at > 0 => return Ok(at),
            _ if !is_token_byte(byte) => {
                return Err(DecodeError::new(Reason::InvalidMethod(byte), at));
            }
            _ if at == METHOD_BYTES_MAX => {
                return Err(DecodeError::new(Reason::MethodTooLong(METHOD_BYTES_MAX), at));
            }
            _ => {}
        }
    }
    Err(DecodeError::new(Reason::InvalidTarget(Bytes::new()), line.len()))
}

/// What follows a target if not ` HTTP/1.1`.
#[cold]
fn unusual_version(rest: &[u8], line: &[u8], at: usize) -> Result<Version, DecodeError> {
    if line == b"PRI * HTTP/2.0" {
        return Err(DecodeError::new(Reason::Http2Preface, 0));
    }
    version(rest.strip_prefix(b" ").unwrap_or_default(), at + 1)
}

fn version(text: &[u8], at: usize) -> Result<Version, DecodeError> {
    let reason: fn(Bytes) -> Reason = match text {
        b"HTTP/1.1" => return Ok(Version::HTTP_11),
        b"HTTP/1.0" => return Ok(Version::HTTP_10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            match major {
                b'1' => return Ok(Version::HTTP_11),
                _ => Reason::UnsupportedVersion,
            }
        }
        _ => Reason::InvalidVersion,
    };
    Err(DecodeError::new(reason(Bytes::copy_from_slice(text)), at))
}

/// Reads a status line. Its reason phrase means nothing and is dropped (RFC 9112 §4); that it, and
/// the space before it, may be missing is allowed, as servers in use leave them out.
pub(super) fn parse_status_line(line: &[u8]) -> Result<(Version, StatusCode), DecodeError> {
    let version_end = VERSION_BYTES.min(line.len());
    let version = version(&line[..version_end], 0)?;
    let (status, after) = match &line[version_end..] {
        [b' ', a, b, c, after @ ..] => ([*a, *b, *c], after),
        other => return Err(invalid_status(other, version_end)),
    };
    match (StatusCode::from_bytes(&status), after) {
        (Ok(status), [] | [b' ', ..]) => Ok((version, status)),
        _ => Err(invalid_status(&line[version_end..], version_end)),
    }
}

fn invalid_status(rest: &[u8], at: usize) -> DecodeError {
    DecodeError::new(Reason::InvalidStatus(Bytes::copy_from_slice(rest)), at)
}
