//! What the fields of a head say together: where the body ends and what becomes of the connection.
//!
//! RFC 9112 §6 and §9, without the leniencies in them that let one message pass for two.

use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode, Version};

use super::name::Notice;
use super::named::is_usual;
use crate::h1::error::{DecodeError, Reason};
use crate::h1::head::Framing;
use crate::h1::token::{is_host, is_token, trim};

/// What the noticed fields of one head say.
#[derive(Debug)]
pub(super) struct Fields {
    version: Version,
    content_length: Option<u64>,
    content_length_at: usize,
    transfer_encoding: bool,
    transfer_encoding_at: usize,
    /// The last coding is `chunked`.
    chunked: bool,
    /// What else there is in `Transfer-Encoding`.
    unknown_coding: Option<Bytes>,
    host: bool,
    /// What a server refuses a request for, and a client does not look at.
    request_fault: Option<DecodeError>,
    close: bool,
    keep_alive: bool,
    upgrade_confirmed: bool,
    upgrade_named: bool,
    expect_continue: bool,
    names_fields: bool,
}

impl Fields {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            content_length: None,
            content_length_at: 0,
            transfer_encoding: false,
            transfer_encoding_at: 0,
            chunked: false,
            unknown_coding: None,
            host: false,
            request_fault: None,
            close: false,
            keep_alive: false,
            upgrade_confirmed: false,
            upgrade_named: false,
            expect_continue: false,
            names_fields: false,
        }
    }

    /// Takes note of a field's value, which is `head[value]`.
    #[inline]
    pub(super) fn notice(&mut self, notice: Notice, head: &Bytes, value: Range<usize>) -> Result<(), DecodeError> {
        match notice {
            Notice::ContentLength => self.notice_content_length(head, value)?,
            Notice::TransferEncoding => self.notice_transfer_encoding(head, value)?,
            Notice::Connection => self.notice_connection(&head[value]),
            Notice::Upgrade => self.upgrade_named |= !value.is_empty(),
            Notice::Expect => self.notice_expect(head, value),
            Notice::Host | Notice::Nothing | Notice::HeadOnly => {}
        }
        Ok(())
    }

    /// Takes note of a `Host`; whether it is a valid one.
    pub(super) fn notice_host(&mut self, head: &Bytes, value: Range<usize>) -> bool {
        let valid = is_host(&head[value.clone()]);
        match valid {
            true => self.notice_valid_host(value.start),
            false => {
                let at = value.start;
                self.request_fault = Some(DecodeError::new(Reason::InvalidHost(head.slice(value)), at));
            }
        }
        valid
    }

    /// The same, for one that is known to be valid.
    #[inline]
    pub(super) fn notice_valid_host(&mut self, at: usize) {
        if std::mem::replace(&mut self.host, true) {
            self.request_fault = Some(DecodeError::new(Reason::RepeatedHost, at));
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

    /// Codings are listed in the order they were applied, over one line or several.
    fn notice_transfer_encoding(&mut self, head: &Bytes, value: Range<usize>) -> Result<(), DecodeError> {
        let at = value.start;
        self.transfer_encoding = true;
        self.transfer_encoding_at = at;
        for coding in head[value.clone()].split(|&byte| byte == b',') {
            let coding = trim(coding);
            let name = coding.split(|&byte| byte == b';').next().map(trim).unwrap_or_default();
            match coding.eq_ignore_ascii_case(b"chunked") {
                true if self.chunked => return Err(DecodeError::new(Reason::RepeatedChunked, at)),
                true => self.chunked = true,
                false if self.chunked || !is_token(name) || name.eq_ignore_ascii_case(b"chunked") => {
                    let reason = Reason::InvalidTransferEncoding(head.slice(value));
                    return Err(DecodeError::new(reason, at));
                }
                false => self.unknown_coding = Some(head.slice(value.clone())),
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
            self.names_fields |= !is_usual(option);
        }
    }

    /// HTTP/1.0 has no expectations (RFC 9110 §10.1.1).
    fn notice_expect(&mut self, head: &Bytes, value: Range<usize>) {
        if self.version == Version::HTTP_10 {
            return;
        }
        if head[value.clone()].eq_ignore_ascii_case(b"100-continue") {
            self.expect_continue = true;
        } else {
            let at = value.start;
            self.request_fault = Some(DecodeError::new(Reason::UnmetExpectation(head.slice(value)), at));
        }
    }

    /// Checks what only requests have to have right: the one `Host`, and what is expected of the server.
    #[inline]
    pub(super) fn check_request(&mut self, head_bytes: usize) -> Result<(), DecodeError> {
        if let Some(error) = self.request_fault.take() {
            return Err(error);
        }
        if !self.host && self.version != Version::HTTP_10 {
            return Err(DecodeError::new(Reason::MissingHost, head_bytes));
        }
        Ok(())
    }

    /// Where a request's body ends. `Transfer-Encoding` has to be `chunked`, alone.
    #[inline]
    pub(super) fn request_framing(&mut self) -> Result<Framing, DecodeError> {
        match self.content_length {
            _ if self.transfer_encoding => self.coded_framing(),
            None | Some(0) => Ok(Framing::Empty),
            Some(length) => Ok(Framing::Length(length)),
        }
    }

    fn coded_framing(&mut self) -> Result<Framing, DecodeError> {
        let at = self.transfer_encoding_at;
        let (reason, at) = match self.unknown_coding.take() {
            _ if self.version == Version::HTTP_10 => (Reason::TransferEncodingInHttp10, at),
            _ if self.content_length.is_some() => (Reason::LengthAndTransferEncoding, at.max(self.content_length_at)),
            None => return Ok(Framing::Chunked),
            Some(coding) if self.chunked => (Reason::UnknownTransferCoding(coding), at),
            Some(coding) => (Reason::InvalidTransferEncoding(coding), at),
        };
        Err(DecodeError::new(reason, at))
    }

    /// Where the body of a response to `request` ends (RFC 9112 §6.3).
    pub(super) fn response_framing(&mut self, status: StatusCode, request: &Method) -> Result<Framing, DecodeError> {
        let bodiless = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || *request == Method::HEAD
            || (*request == Method::CONNECT && status.is_success());
        if bodiless {
            return Ok(Framing::Empty);
        }
        match self.request_framing()? {
            Framing::Empty if self.content_length.is_none() => Ok(Framing::UntilClose),
            framing => Ok(framing),
        }
    }

    /// Whether the connection may live on after this message (RFC 9112 §9.3).
    pub(super) fn keep_alive(&self) -> bool {
        !self.close && (self.keep_alive || self.version != Version::HTTP_10)
    }

    /// Whether another protocol is offered, or taken up. HTTP/1.0 has no `Upgrade` (RFC 9110 §7.8).
    pub(super) fn upgrade(&self) -> bool {
        self.upgrade_named && self.upgrade_confirmed && self.version != Version::HTTP_10
    }

    /// Whether `Connection` names other fields, which are for this connection alone.
    pub(super) fn names_fields(&self) -> bool {
        self.names_fields
    }

    /// Whether the sender waits for `100 Continue`.
    pub(super) fn expect_continue(&self) -> bool {
        self.expect_continue
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
