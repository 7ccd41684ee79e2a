//! Why bytes are no records, and records no request or reply.

use std::fmt;

use unary_service::Error;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// A version other than 1: what comes is no FastCGI, or the ends have lost each other.
    Version(u8),
    /// The number of a request where there can be none, or none (0) where there has to be one.
    Request {
        /// The record's type.
        kind: u8,
        /// The number.
        request: u16,
    },
    /// A content of a length that this type does not have.
    Length {
        /// The record's type.
        kind: u8,
        /// The length.
        length: u16,
    },
    /// Values that are none.
    Values(PairsError),
}

/// Why bytes are no names and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PairsError {
    /// They end amid a pair that begins at this byte.
    Cut {
        /// Where it begins.
        at: usize,
    },
    /// More bytes than this, in all.
    TooLong(usize),
    /// More pairs than this.
    TooMany(usize),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "a record begins with {version}, where the version, 1, is"),
            Self::Request { kind, request } => write!(f, "a record of type {kind} is about request {request}"),
            Self::Length { kind, length } => write!(f, "a record of type {kind} is {length} bytes long"),
            Self::Values(error) => write!(f, "a record of values: {error}"),
        }
    }
}

impl fmt::Display for PairsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { at } => write!(f, "names and values end within the pair at byte {at}"),
            Self::TooLong(max) => write!(f, "names and values are longer than {max} bytes"),
            Self::TooMany(max) => write!(f, "there are more than {max} names and values"),
        }
    }
}

impl std::error::Error for RecordError {}

impl std::error::Error for PairsError {}

impl From<PairsError> for RecordError {
    fn from(error: PairsError) -> Self {
        Self::Values(error)
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Self::invalid("reading a FastCGI record").because(error)
    }
}

impl From<PairsError> for Error {
    fn from(error: PairsError) -> Self {
        Self::invalid("reading the parameters of a FastCGI request").because(error)
    }
}
