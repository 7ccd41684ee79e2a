//! Decodes bodies, however they are framed, through one type.
//!
//! How a body is framed is read off its head by [`super::decode`]; rates and sizes are for the
//! connection.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::chunked::ChunkedDecoder;
use super::error::{DecodeError, Reason};
use super::head::Framing;

/// What a body decoder gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some bytes of the body, one at least: a slice of what was read.
    Data(Bytes),
    /// The body is whole. The trailers are empty but after chunks.
    End(HeaderMap),
}

/// Decodes the body that follows a head.
#[derive(Debug)]
pub enum BodyDecoder {
    /// So many bytes are still to come. Zero is the end.
    Length(u64),
    /// Chunks are to come.
    Chunked(ChunkedDecoder),
    /// Whatever comes is body, until the peer closes.
    UntilClose,
}

impl BodyDecoder {
    /// A decoder at the start of a body framed so.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length(0),
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Takes the next piece off `input`. `None` asks for more bytes, after which `input` must begin
    /// with the same ones. After the end it says so again, and consumes nothing.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, DecodeError> {
        let length = match self {
            Self::Length(0) => return Ok(Some(Piece::End(HeaderMap::new()))),
            Self::Length(remaining) => {
                let length = input.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                *remaining -= length as u64;
                length
            }
            Self::Chunked(chunked) => return chunked.decode(input),
            Self::UntilClose => input.len(),
        };
        Ok((length > 0).then(|| Piece::Data(input.split_to(length).freeze())))
    }

    /// Says what it means that the peer closed, all its bytes having been decoded: the end of the
    /// body, or that it is cut short.
    pub fn decode_eof(&mut self) -> Result<(), DecodeError> {
        match self {
            Self::Length(0) | Self::UntilClose => {
                *self = Self::Length(0);
                Ok(())
            }
            Self::Chunked(chunked) if chunked.has_ended() => Ok(()),
            _ => Err(DecodeError::new(Reason::Truncated, 0)),
        }
    }

    /// How many bytes are left to come, if that is known.
    pub fn left(&self) -> Option<u64> {
        if let Self::Length(remaining) = self { Some(*remaining) } else { None }
    }

    /// Whether no byte of the body is left to come: after the end of chunks, or of a length.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Length(remaining) => *remaining == 0,
            Self::Chunked(chunked) => chunked.has_ended(),
            Self::UntilClose => false,
        }
    }
}
