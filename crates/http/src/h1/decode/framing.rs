//! What the fields of a head say together: where the body ends and what becomes of the connection.
//!
//! RFC 9112 §6 and §9, without the leniencies in them that let one message pass for two.

use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use super::name::Notice;
use crate::h1::error::{DecodeError, Reason};
use crate::h1::head::Framing;
use crate::h1::token::{is_host, is_token, trim};

/// What the noticed fields of one head say.
#[derive(Debug, Default)]
pub(super) struct Fields {
    content_length: Option<u64>,
    content_length_at: usize,
    transfer_encoding: Option<Codings>,
    host: Option<(usize, usize)>,
    host_again_at: Option<usize>,
    close: bool,
    keep_alive: bool,
    upgrade_confirmed: bool,
    upgrade_named: bool,
    expect_continue: bool,
    expect_other: Option<Range<usize>>,
}

/// The transfer codings of all `Transfer-Encoding` lines, in the order they were applied.
#[derive(Debug)]
struct Codings {
    at: usize,
    last: Range<usize>,
    chunked: bool,
    unknown: Option<Range<usize>>,
}

impl Fields {
    /// Takes note of a field's value, which is `head[value]`.
    pub(super) fn notice(&mut self, notice: Notice, head: &Bytes, value: Range<usize>) -> Result<(), DecodeError> {
        match notice {
            Notice::Host => self.notice_host(value.start, value.end),
            Notice::ContentLength => self.notice_content_length(head, value)?,
            Notice::TransferEncoding => self.notice_transfer_encoding(head, value)?,
            Notice::Connection => self.notice_connection(&head[value]),
            Notice::Upgrade => self.upgrade_named |= !value.is_empty(),
            Notice::Expect if head[value.clone()].eq_ignore_ascii_case(b"100-continue") => {
                self.expect_continue = true;
            }
            Notice::Expect => self.expect_other = Some(value),
            Notice::Nothing | Notice::HeadOnly => {}
        }
        Ok(())
    }

    #[inline]
    pub(super) fn notice_host(&mut self, start: usize, end: usize) {
        match self.host {
            None => self.host = Some((start, end)),
            Some(_) => self.host_again_at = Some(start),
        }
    }

    /// One number, once. RFC 9110 §8.6 would let a list of equal ones pass (`5, 5`); nobody who means
    /// well sends it, and whoever reads it otherwise disagrees with us on where the message ends.
    fn notice_content_length(&mut self, head: &Bytes, value: Range<usize>) -> Result<(), DecodeError> {
        let at = value.start;
        if self.content_length.is_some() {
            return Err(DecodeError::new(Reason::RepeatedContentLength, at));
        }
        let Some(length) = parse_decimal(&head[value.clone()]) else {
            return Err(DecodeError::new(Reason::InvalidContentLength(head.slice(value)), at));
        };
        self.content_length = Some(length);
        self.content_length_at = at;
        Ok(())
    }

    fn notice_transfer_encoding(&mut self, head: &Bytes, value: Range<usize>) -> Result<(), DecodeError> {
        let refuse =
            |reason: fn(Bytes) -> Reason| Err(DecodeError::new(reason(head.slice(value.clone())), value.start));
        let codings = self.transfer_encoding.get_or_insert(Codings {
            at: value.start,
            last: value.clone(),
            chunked: false,
            unknown: None,
        });
        codings.last = value.clone();
        for coding in head[value.clone()].split(|&byte| byte == b',') {
            let name = trim(coding);
            let is_chunked = name.eq_ignore_ascii_case(b"chunked");
            if codings.chunked {
                return match is_chunked {
                    true => Err(DecodeError::new(Reason::RepeatedChunked, value.start)),
                    false => refuse(Reason::InvalidTransferEncoding),
                };
            }
            if is_chunked {
                codings.chunked = true;
            } else if is_token(trim(name.split(|&byte| byte == b';').next().unwrap_or_default())) {
                codings.unknown.get_or_insert(value.clone());
            } else {
                return refuse(Reason::InvalidTransferEncoding);
            }
        }
        Ok(())
    }

    fn notice_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = trim(option);
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_confirmed |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Checks that there is one `Host`, where it is required, and that it is one.
    #[inline]
    pub(super) fn check_host(&self, version: Version, head: &Bytes) -> Result<(), DecodeError> {
        let (reason, at) = match (self.host, self.host_again_at) {
            (_, Some(at)) => (Reason::RepeatedHost, at),
            (Some((start, end)), None) if is_host(&head[start..end]) => return Ok(()),
            (Some((start, end)), None) => (Reason::InvalidHost(head.slice(start..end)), start),
            (None, None) if version == Version::HTTP_10 => return Ok(()),
            (None, None) => (Reason::MissingHost, head.len()),
        };
        Err(DecodeError::new(reason, at))
    }

    /// Where a request's body ends. `Transfer-Encoding` has to be `chunked`, alone.
    pub(super) fn request_framing(&self, version: Version, head: &Bytes) -> Result<Framing, DecodeError> {
        match (&self.transfer_encoding, self.content_length) {
            (None, None | Some(0)) => Ok(Framing::Empty),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (Some(codings), length) => {
                if version == Version::HTTP_10 {
                    return Err(DecodeError::new(Reason::TransferEncodingInHttp10, codings.at));
                }
                if length.is_some() {
                    let at = self.content_length_at.max(codings.at);
                    return Err(DecodeError::new(Reason::LengthAndTransferEncoding, at));
                }
                codings.framing(head)
            }
        }
    }

    /// Where the body of a response to `request` ends (RFC 9112 §6.3).
    pub(super) fn response_framing(
        &self,
        version: Version,
        head: &Bytes,
        status: StatusCode,
        request: &Method,
    ) -> Result<Framing, DecodeError> {
        let bodiless = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || *request == Method::HEAD
            || (*request == Method::CONNECT && status.is_success());
        if bodiless {
            return Ok(Framing::Empty);
        }
        match self.request_framing(version, head)? {
            Framing::Empty if self.content_length.is_none() => Ok(Framing::UntilClose),
            framing => Ok(framing),
        }
    }

    /// Whether the connection may live on after this message (RFC 9112 §9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (self.keep_alive || version != Version::HTTP_10)
    }

    /// Whether another protocol is offered, or taken up. HTTP/1.0 has no `Upgrade` (RFC 9110 §7.8).
    pub(super) fn upgrade(&self, version: Version) -> bool {
        self.upgrade_named && self.upgrade_confirmed && version != Version::HTTP_10
    }

    /// Whether the sender waits for `100 Continue`. HTTP/1.0 has no `Expect` (RFC 9110 §10.1.1).
    pub(super) fn expect_continue(&self, version: Version, head: &Bytes) -> Result<bool, DecodeError> {
        match &self.expect_other {
            _ if version == Version::HTTP_10 => Ok(false),
            Some(other) => {
                let reason = Reason::UnmetExpectation(head.slice(other.clone()));
                Err(DecodeError::new(reason, other.start))
            }
            None => Ok(self.expect_continue),
        }
    }
}

impl Codings {
    fn framing(&self, head: &Bytes) -> Result<Framing, DecodeError> {
        let (reason, value): (fn(Bytes) -> Reason, _) = match &self.unknown {
            None => return Ok(Framing::Chunked),
            Some(unknown) if self.chunked => (Reason::UnknownTransferCoding, unknown),
            Some(_) => (Reason::InvalidTransferEncoding, &self.last),
        };
        Err(DecodeError::new(reason(head.slice(value.clone())), value.start))
    }
}

/// Digits and nothing else: no sign, no space, no list, nothing beyond `u64`.
fn parse_decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}
