//! Reads the first line of a head: what a request asks for, or how a response turned out.

use std::ops::Range;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::scan::find_near;
use crate::h1::error::{DecodeError, Reason};
use crate::h1::head::HeadLimits;
use crate::h1::token::{is_host, is_token_byte};

/// The longest method: twice the longest registered one, `UPDATEREDIRECTREF`.
pub(super) const METHOD_BYTES_MAX: usize = 34;

const VERSION_BYTES: usize = "HTTP/1.1".len();

/// The most bytes a request line within the limits has, its CRLF included.
pub(super) fn request_line_bytes_max(target_bytes_max: usize) -> usize {
    target_bytes_max.saturating_add(METHOD_BYTES_MAX + 1 + 1 + VERSION_BYTES + 2)
}

/// Where the parts of a request line are. Small, as it is kept while the rest of a head arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestLine {
    method_end: u32,
    target_end: u32,
    pub(super) version: Version,
}

impl RequestLine {
    /// Reads a whole line. What is between its first and its last space is the target.
    #[inline]
    pub(super) fn parse(line: &[u8], target_bytes_max: usize) -> Result<Self, DecodeError> {
        let (version, target_end) = match line.strip_suffix(b" HTTP/1.1") {
            Some(rest) => (Version::HTTP_11, rest.len()),
            None => unusual_version(line)?,
        };
        let rest = &line[..target_end];
        let method_end = match rest {
            [b'G', b'E', b'T', b' ', ..] => 3,
            _ => method_end(rest)?,
        };
        let start = method_end + 1;
        if target_end - start > target_bytes_max {
            return Err(target_too_long(start, target_bytes_max));
        }
        Ok(Self { method_end: method_end as u32, target_end: target_end as u32, version })
    }

    /// Says what is too long about a line that has not ended where the limits have it end.
    #[cold]
    pub(super) fn refuse_unfinished(line: &[u8], limits: &HeadLimits) -> DecodeError {
        let too_long = DecodeError::new(Reason::HeadTooLong(limits.head_bytes_max), line.len());
        if line.len() <= METHOD_BYTES_MAX && !line.contains(&b' ') {
            return too_long;
        }
        let start = match method_end(line) {
            Ok(end) => end + 1,
            Err(error) => return error,
        };
        let target = find_near(&line[start..], b' ').map_or(&line[start..], |length| &line[start..start + length]);
        let version = start + target.len() + 1;
        if target.len() > limits.target_bytes_max {
            target_too_long(start, limits.target_bytes_max)
        } else if line.len() == limits.head_bytes_max {
            too_long
        } else {
            let rest = Bytes::copy_from_slice(line.get(version..).unwrap_or_default());
            DecodeError::new(Reason::InvalidVersion(rest), version)
        }
    }

    /// Reads the method, whose bytes have been checked.
    #[inline]
    pub(super) fn read_method(&self, head: &[u8], method: &mut Method) -> Result<(), DecodeError> {
        match &head[..self.method_end as usize] {
            b"GET" if *method == Method::GET => {} // Most often it is there from the request before.
            other => {
                *method = Method::from_bytes(other).map_err(|_| DecodeError::new(Reason::InvalidMethod(b' '), 0))?;
            }
        }
        Ok(())
    }

    fn target(&self) -> Range<usize> {
        self.method_end as usize + 1..self.target_end as usize
    }

    /// Whether the target begins as a whole URI does, or an authority.
    #[inline]
    pub(super) fn names_authority(&self, head: &[u8]) -> bool {
        !matches!(head[self.target()], [b'/' | b'*', ..])
    }

    /// Reads the target in the form the method asks for (RFC 9112 §3.2).
    ///
    /// The bytes [`Uri`] accepts are accepted: UTF-8 among them, for people type it and `curl` sends
    /// it as it is. A fragment is refused: it would be dropped unseen.
    #[inline]
    pub(super) fn read_uri(&self, head: &Bytes, method: &Method, uri: &mut Uri) -> Result<(), DecodeError> {
        match &head[self.target()] {
            b"/" if *method != Method::CONNECT => {
                if uri.authority().is_some() || uri.path_and_query().is_none_or(|path| path.as_str() != "/") {
                    *uri = Uri::default();
                }
            }
            target => *uri = self.longer_uri(head, target, method)?,
        }
        Ok(())
    }

    fn longer_uri(&self, head: &Bytes, target: &[u8], method: &Method) -> Result<Uri, DecodeError> {
        let uri = match target {
            [b'/', ..] if *method != Method::CONNECT => self.origin_form(head),
            b"*" if *method == Method::OPTIONS => Some(PathAndQuery::from_static("*").into()),
            [b'*', ..] => None,
            _ => self.form_with_authority(head, method),
        };
        uri.ok_or_else(|| {
            let reason = Reason::InvalidTarget(head.slice(self.target()));
            DecodeError::new(reason, self.target().start)
        })
    }

    fn origin_form(&self, head: &Bytes) -> Option<Uri> {
        let path = PathAndQuery::from_maybe_shared(head.slice(self.target())).ok()?;
        // Where there was a fragment, it is missing.
        (path.as_str().len() == self.target().len()).then(|| path.into())
    }

    /// Absolute-form, or the authority-form of `CONNECT`. User names are refused (RFC 9110 §4.2.4).
    #[cold]
    fn form_with_authority(&self, head: &Bytes, method: &Method) -> Option<Uri> {
        let target = head.slice(self.target());
        if target.contains(&b'#') {
            return None;
        }
        let uri = Uri::from_maybe_shared(target).ok()?;
        let authority = uri.authority()?;
        let suits = match *method {
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

fn target_too_long(start: usize, max: usize) -> DecodeError {
    DecodeError::new(Reason::TargetTooLong(max), start.saturating_add(max))
}

/// Reads the version of a line that does not end in ` HTTP/1.1`, and says where the target ends.
#[cold]
fn unusual_version(line: &[u8]) -> Result<(Version, usize), DecodeError> {
    if line == b"PRI * HTTP/2.0" {
        return Err(DecodeError::new(Reason::Http2Preface, 0));
    }
    let method_end = method_end(line)?;
    match line.iter().rposition(|&byte| byte == b' ') {
        Some(space) if space > method_end => Ok((version(&line[space + 1..], space + 1)?, space)),
        _ => Err(DecodeError::new(Reason::InvalidVersion(Bytes::new()), line.len())),
    }
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
