//! The chunked transfer coding, both ways (RFC 9112 §7.1).
//!
//! Data is passed on as it comes, without copying and without waiting for a chunk to be whole. What
//! surrounds it is read strictly: each laxness here has been a way to smuggle a request.

use bytes::{Buf, BytesMut};
use http::HeaderMap;

use super::body::Piece;
use super::decode::{Scan, Section};
use super::encode::encode_trailers;
use super::error::{DecodeError, Reason};
use super::token::{is_space, is_token_byte};

/// Digits of a chunk's size: as many as `u64` has, leading zeros counted.
const SIZE_DIGITS_MAX: usize = 16;

/// Extension bytes of one chunk. Nobody is known to use extensions; a signature would fit.
const EXTENSION_BYTES_MAX: usize = 256;

/// Extension bytes of one body, lest somebody sends little else (as in CVE-2023-39326).
const EXTENSIONS_BYTES_MAX: usize = 16 << 10;

/// Bytes of a trailer section.
const TRAILER_BYTES_MAX: usize = 8 << 10;

/// Fields of a trailer section.
const TRAILERS_MAX: usize = 32;

/// Decodes one chunked body.
///
/// Chunk extensions are checked and dropped. So are the trailer fields that RFC 9110 §6.5.1 forbids
/// (framing, routing, authentication, conditions and the like): nobody who later merges trailers into
/// headers must be steered by them.
///
/// | bound | refused beyond |
/// |---|---|
/// | digits of a chunk size | 16 |
/// | extension bytes of a chunk, of a body | 256, 16 KiB |
/// | bytes, fields of the trailer section | 8 KiB, 32 |
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    /// The bytes of the body consumed so far.
    at: u64,
    extension_bytes: usize,
    extensions_bytes: usize,
}

#[derive(Debug)]
enum State {
    Size { value: u64, digits: usize },
    Extension { size: u64, part: Part },
    SizeEnd { size: u64 },
    Data { remaining: u64 },
    DataEnd,
    DataEndLineFeed,
    Trailers(Scan),
    Ended,
}

/// Where in `*( ";" name [ "=" ( token / quoted-string ) ] )` the next byte is. White space is allowed
/// where RFC 9112 §7.1.1 has it, though not between a size and the line's end.
#[derive(Clone, Copy, Debug)]
enum Part {
    BeforeSemicolon,
    BeforeName,
    Name,
    AfterName,
    BeforeValue,
    Value,
    Quoted,
    Escaped,
    AfterValue,
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self { state: State::Size { value: 0, digits: 0 }, at: 0, extension_bytes: 0, extensions_bytes: 0 }
    }

    /// Takes the next piece off `input`: data, as much of a chunk as there is, or the end with its
    /// trailers. `None` asks for more bytes, after which `input` must begin with the same ones.
    ///
    /// After the end it says so again, and consumes nothing.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, DecodeError> {
        loop {
            match &mut self.state {
                State::Data { remaining } if *remaining > 0 => {
                    let length = input.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                    if length == 0 {
                        return Ok(None);
                    }
                    *remaining -= length as u64;
                    self.at += length as u64;
                    return Ok(Some(Piece::Data(input.split_to(length).freeze())));
                }
                State::Data { .. } => self.state = State::DataEnd,
                State::Trailers(_) => return self.trailers(input),
                State::Ended => return Ok(Some(Piece::End(HeaderMap::new()))),
                _ => {
                    let Some(taken) = self.line(input)? else {
                        return Ok(None);
                    };
                    input.advance(taken);
                    self.at += taken as u64;
                }
            }
        }
    }

    /// Whether the end has been given out.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Goes through what is between data, byte by byte, up to data, trailers or the end of `input`;
    /// says how many bytes that were, or `None` if there are none.
    fn line(&mut self, input: &BytesMut) -> Result<Option<usize>, DecodeError> {
        for (index, &byte) in input.iter().enumerate() {
            if let Err(reason) = self.step(byte) {
                return Err(DecodeError::new(reason, index).further(self.at));
            }
            if matches!(self.state, State::Data { .. } | State::Trailers(_)) {
                return Ok(Some(index + 1));
            }
        }
        Ok((!input.is_empty()).then_some(input.len()))
    }

    fn step(&mut self, byte: u8) -> Result<(), Reason> {
        self.state = match self.state {
            State::Size { value, digits } => match (hex_digit(byte), byte) {
                (Some(_), _) if digits == SIZE_DIGITS_MAX => {
                    return Err(Reason::ChunkSizeTooLong(SIZE_DIGITS_MAX));
                }
                (Some(digit), _) => State::Size { value: value << 4 | u64::from(digit), digits: digits + 1 },
                (None, b'\r') if digits > 0 => State::SizeEnd { size: value },
                (None, b';') if digits > 0 => self.extension(value, Part::BeforeName)?,
                (None, b' ' | b'\t') if digits > 0 => self.extension(value, Part::BeforeSemicolon)?,
                (None, b'\n') => return Err(Reason::BareLineFeed),
                (None, _) => return Err(Reason::InvalidChunkSize(byte)),
            },
            State::Extension { size, part } => match part.step(byte)? {
                Some(part) => self.extension(size, part)?,
                None => State::SizeEnd { size },
            },
            State::SizeEnd { size } if byte == b'\n' => {
                self.extension_bytes = 0;
                match size {
                    0 => State::Trailers(Scan::default()),
                    remaining => State::Data { remaining },
                }
            }
            State::SizeEnd { .. } => return Err(Reason::BareCarriageReturn),
            State::DataEnd if byte == b'\r' => State::DataEndLineFeed,
            State::DataEndLineFeed if byte == b'\n' => State::Size { value: 0, digits: 0 },
            _ => return Err(Reason::UnfinishedChunk(byte)),
        };
        Ok(())
    }

    fn extension(&mut self, size: u64, part: Part) -> Result<State, Reason> {
        self.extension_bytes += 1;
        self.extensions_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(Reason::ChunkExtensionsTooLong(EXTENSION_BYTES_MAX));
        }
        if self.extensions_bytes > EXTENSIONS_BYTES_MAX {
            return Err(Reason::ChunkExtensionsTooLong(EXTENSIONS_BYTES_MAX));
        }
        Ok(State::Extension { size, part })
    }

    fn trailers(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, DecodeError> {
        let State::Trailers(scan) = &mut self.state else {
            return Ok(None);
        };
        let from_body = |error: DecodeError| error.further(self.at);
        let window = &input[..input.len().min(TRAILER_BYTES_MAX)];
        let Some(end) = scan.section(window, 0, TRAILERS_MAX).map_err(from_body)? else {
            if input.len() < TRAILER_BYTES_MAX {
                return Ok(None);
            }
            let reason = Reason::HeadTooLong(TRAILER_BYTES_MAX);
            return Err(from_body(DecodeError::new(reason, TRAILER_BYTES_MAX)));
        };
        let bytes = input.split_to(end).freeze();
        let mut trailers = HeaderMap::new();
        Section { bytes: &bytes, start: 0, ends: scan.ends() }.read_trailers(&mut trailers).map_err(from_body)?;
        self.at += end as u64;
        self.state = State::Ended;
        Ok(Some(Piece::End(trailers)))
    }
}

impl Part {
    /// The place of the byte after `byte`; `None` after the carriage return that ends the line.
    fn step(self, byte: u8) -> Result<Option<Self>, Reason> {
        let token = is_token_byte(byte);
        let next = match (self, byte) {
            (Self::Name | Self::AfterName | Self::Value | Self::AfterValue, b'\r') => return Ok(None),
            (Self::BeforeSemicolon | Self::Name | Self::AfterName | Self::Value | Self::AfterValue, b';') => {
                Self::BeforeName
            }
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeName | Self::Name, _) if token => Self::Name,
            (Self::BeforeValue | Self::Value, _) if token => Self::Value,
            (Self::BeforeValue | Self::Escaped | Self::Quoted, b'"') => match self {
                Self::Quoted => Self::AfterValue,
                _ => Self::Quoted,
            },
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Self::Quoted,
            (Self::Name, _) if is_space(byte) => Self::AfterName,
            (Self::Value, _) if is_space(byte) => Self::AfterValue,
            (Self::BeforeSemicolon | Self::BeforeName | Self::AfterName | Self::BeforeValue | Self::AfterValue, _)
                if is_space(byte) =>
            {
                self
            }
            (_, b'\n') => return Err(Reason::BareLineFeed),
            _ => return Err(Reason::InvalidChunkExtension(byte)),
        };
        Ok(Some(next))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends the line that opens a chunk of so many bytes, which [`CHUNK_END`] has to follow.
///
/// # Panics
/// If `length` is 0: that would end the body.
pub fn encode_chunk_head(length: usize, out: &mut Vec<u8>) {
    assert!(length > 0, "an empty chunk ends the body");
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[length >> (4 * digit) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends a chunk, or nothing if `data` is empty.
pub fn encode_chunk(data: &[u8], out: &mut Vec<u8>) {
    if !data.is_empty() {
        encode_chunk_head(data.len(), out);
        out.extend_from_slice(data);
        out.extend_from_slice(CHUNK_END);
    }
}

/// Appends the end of a body: the last chunk and the trailers, but for those that have no place there
/// (see [`ChunkedDecoder`]).
pub fn encode_end(trailers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    encode_trailers(trailers, out);
}
