//! Reads the field lines of a complete head or trailer section into a [`HeaderMap`].
//!
//! Values are slices of the bytes read. The fields that frame the message or steer the connection are
//! noticed on the way; what they mean together is for [`super::framing`].

use bytes::Bytes;
use http::header::IntoHeaderName;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::framing::Fields;
use super::name::{Notice, recognise};
use super::scan::find_near;
use crate::h1::error::{DecodeError, Reason};
use crate::h1::token::is_space;

/// The bytes of a section and where its lines are in them.
pub(in crate::h1) struct Section<'a> {
    /// From the start of the head, control bytes already refused.
    pub(in crate::h1) bytes: &'a Bytes,
    /// Where the first field line starts.
    pub(in crate::h1) start: usize,
    /// Where each field line ends.
    pub(in crate::h1) ends: &'a [u32],
}

impl Section<'_> {
    /// Appends the fields of a head to `headers` and notes in `fields` what they say of the message.
    #[inline]
    pub(super) fn read_headers(
        &self,
        headers: &mut HeaderMap,
        fields: &mut Fields,
        host: &mut LastHost,
    ) -> Result<(), DecodeError> {
        let mut start = self.start;
        for &end in self.ends {
            let line = Line::parse(self.bytes, start, end as usize, self.start)?;
            start = end as usize + 2;
            match recognise(line.name(self.bytes)) {
                Some(known) if known.notice == Notice::Host => {
                    let value = host.value(self.bytes, &line, fields)?;
                    append(headers, &known.name, value, line.value_start)?;
                }
                Some(known) => {
                    if !matches!(known.notice, Notice::Nothing | Notice::HeadOnly) {
                        fields.notice(known.notice, self.bytes, line.value_start..line.value_end)?;
                    }
                    append(headers, &known.name, line.value(self.bytes)?, line.value_start)?;
                }
                None => append(headers, line.unknown_name(self.bytes)?, line.value(self.bytes)?, line.value_start)?,
            }
        }
        Ok(())
    }

    /// Appends the fields of a trailer section, but for those that have no place there.
    pub(in crate::h1) fn read_trailers(&self, trailers: &mut HeaderMap) -> Result<(), DecodeError> {
        let mut start = self.start;
        for &end in self.ends {
            let line = Line::parse(self.bytes, start, end as usize, self.start)?;
            start = end as usize + 2;
            let name = match recognise(line.name(self.bytes)) {
                Some(known) if known.notice != Notice::Nothing => continue,
                Some(known) => known.name.clone(),
                None => line.unknown_name(self.bytes)?,
            };
            append(trailers, name, line.value(self.bytes)?, line.value_start)?;
        }
        Ok(())
    }
}

/// The `Host` read last. Nearly every request names the same one again, and shares its value instead of
/// having its own checked.
#[derive(Debug, Default)]
pub(super) struct LastHost(Option<HeaderValue>);

/// What is kept of other people's bytes beyond their head: as much as a domain name has.
const HOST_BYTES_KEPT: usize = 255;

impl LastHost {
    #[inline]
    fn value(&mut self, bytes: &Bytes, line: &Line, fields: &mut Fields) -> Result<HeaderValue, DecodeError> {
        let range = line.value_start..line.value_end;
        match &self.0 {
            Some(last) if *last.as_bytes() == bytes[range.clone()] => {
                fields.notice_valid_host(line.value_start);
                Ok(last.clone())
            }
            _ => self.other(bytes, line, fields),
        }
    }

    #[cold]
    fn other(&mut self, bytes: &Bytes, line: &Line, fields: &mut Fields) -> Result<HeaderValue, DecodeError> {
        let range = line.value_start..line.value_end;
        let value = line.value(bytes)?;
        if fields.notice_host(bytes, range) && value.len() <= HOST_BYTES_KEPT {
            self.0 = HeaderValue::from_bytes(value.as_bytes()).ok();
        }
        Ok(value)
    }
}

#[inline]
fn append(
    headers: &mut HeaderMap,
    name: impl IntoHeaderName,
    value: HeaderValue,
    at: usize,
) -> Result<(), DecodeError> {
    match headers.try_append(name, value) {
        Ok(_) => Ok(()),
        // The map has a bound of its own, beyond any that makes sense here.
        Err(_) => Err(DecodeError::new(Reason::TooManyFields(headers.len()), at)),
    }
}

/// Where the parts of a field line are.
struct Line {
    start: usize,
    colon: usize,
    value_start: usize,
    value_end: usize,
}

impl Line {
    #[inline]
    fn parse(bytes: &Bytes, start: usize, end: usize, first: usize) -> Result<Self, DecodeError> {
        // Looking on past the line's end saves the search its slow last bytes.
        let colon = match find_near(&bytes[start..], b':') {
            Some(length) if start + length < end && !is_space(bytes[start]) => start + length,
            _ => return Err(Self::refuse(bytes, start, end, first)),
        };
        let mut value_start = colon + 1;
        while value_start < end && is_space(bytes[value_start]) {
            value_start += 1;
        }
        let mut value_end = end;
        while value_end > value_start && is_space(bytes[value_end - 1]) {
            value_end -= 1;
        }
        Ok(Self { start, colon, value_start, value_end })
    }

    #[cold]
    fn refuse(bytes: &Bytes, start: usize, end: usize, first: usize) -> DecodeError {
        let reason = match bytes[start] {
            b' ' | b'\t' if start == first => Reason::SpaceBeforeName,
            b' ' | b'\t' => Reason::FoldedLine,
            _ => return DecodeError::new(Reason::MissingColon, end),
        };
        DecodeError::new(reason, start)
    }

    fn name<'a>(&self, bytes: &'a Bytes) -> &'a [u8] {
        &bytes[self.start..self.colon]
    }

    #[inline]
    fn value(&self, bytes: &Bytes) -> Result<HeaderValue, DecodeError> {
        let value = HeaderValue::from_maybe_shared(bytes.slice(self.value_start..self.value_end));
        // A control byte is refused already.
        value.map_err(|_| DecodeError::new(Reason::InvalidValue, self.value_start))
    }

    /// A name that is not in the table: one nobody thought of, or none at all.
    #[cold]
    fn unknown_name(&self, bytes: &Bytes) -> Result<HeaderName, DecodeError> {
        let name = self.name(bytes);
        if name.last().is_some_and(|&byte| is_space(byte)) {
            return Err(DecodeError::new(Reason::SpaceBeforeColon, self.colon - 1));
        }
        HeaderName::from_bytes(name).map_err(|_| {
            let name = bytes.slice(self.start..self.colon);
            DecodeError::new(Reason::InvalidName(name), self.start)
        })
    }
}
