//! Records: eight bytes of head, up to 64 KiB of content, and padding (§3.3).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::RecordError;
use super::pairs::{self, Pairs};

/// What a record begins with: version, type, request, length of content and of padding, a spare byte.
pub const HEAD_BYTES: usize = 8;

/// What two bytes of length can say.
pub const CONTENT_BYTES_MAX: usize = 65_535;

/// The longest record there can be.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES + CONTENT_BYTES_MAX + PADDING_BYTES_MAX;

const PADDING_BYTES_MAX: usize = 255;

/// What contents are padded to (§3.3 recommends it).
const ALIGNMENT: usize = 8;

const VERSION: u8 = 1;

/// Bodies of this length, their last bytes spare: those of records that begin and end a request, and of unknown types.
const BODY_BYTES: usize = 8;

/// `FCGI_KEEP_CONN` among the flags of a record that begins a request.
const KEEP: u8 = 1;

/// The types of records (§8).
mod kind {
    pub(super) const BEGIN: u8 = 1;
    pub(super) const ABORT: u8 = 2;
    pub(super) const END: u8 = 3;
    pub(super) const PARAMS: u8 = 4;
    pub(super) const STDIN: u8 = 5;
    pub(super) const STDOUT: u8 = 6;
    pub(super) const STDERR: u8 = 7;
    pub(super) const DATA: u8 = 8;
    pub(super) const GET_VALUES: u8 = 9;
    pub(super) const GET_VALUES_RESULT: u8 = 10;
    pub(super) const UNKNOWN_TYPE: u8 = 11;
}

/// What either end may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A request begins: the host says so.
    Begin {
        /// Its number on this connection, from 1.
        request: u16,
        /// What is asked of the worker.
        role: Role,
        /// What becomes of the connection when the request is over.
        then: Then,
    },
    /// The host is no longer interested. The worker ends the request as soon as it can.
    Abort {
        /// Its number.
        request: u16,
    },
    /// A request is over: the worker says so.
    End {
        /// Its number.
        request: u16,
        /// What a CGI program would have exited with.
        exit_status: u32,
        /// What became of it.
        outcome: Outcome,
    },
    /// Bytes of a stream of a request.
    Stream {
        /// Its number.
        request: u16,
        /// Which of its streams.
        stream: Stream,
        /// The bytes; none end the stream.
        content: Bytes,
    },
    /// The host asks for these variables of the worker. Their values are empty.
    GetValues(Pairs),
    /// The variables it was asked for, those that it knows.
    GetValuesResult(Pairs),
    /// The worker does not know this type of record, which is about no request.
    UnknownType(u8),
    /// A type that this codec does not know. About no request (0), a worker answers it with
    /// [`UnknownType`](Self::UnknownType); otherwise it is passed over (§3.3).
    Other {
        /// The type.
        kind: u8,
        /// The request's number, or 0.
        request: u16,
        /// What it says.
        content: Bytes,
    },
}

/// The streams of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Names and values: see [`pairs`].
    Params,
    /// The request's body.
    Stdin,
    /// The reply, as a CGI program writes it.
    Stdout,
    /// What is for the log.
    Stderr,
    /// The file that a filter is given.
    Data,
}

/// What is asked of a worker (§6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// To answer, as a CGI program does.
    Responder,
    /// To say whether a request may be answered.
    Authorizer,
    /// To answer with a file that it is sent.
    Filter,
    /// Something that this codec does not know.
    Other(u16),
}

/// What becomes of a connection when the request on it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// The worker leaves it open for the next one.
    Keep,
    /// The worker closes it.
    Close,
}

/// What became of a request (§5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was dealt with.
    Complete,
    /// It was refused: there is another on this connection, and the worker takes one at a time.
    CannotMultiplex,
    /// It was refused: the worker lacks something, connections to a database as it may be.
    Overloaded,
    /// It was refused: the worker does not know the role.
    UnknownRole,
    /// Something that this codec does not know.
    Other(u8),
}

/// Takes a record off the front of `input`. `None` asks for more bytes, of which there can be no more than
/// [`RECORD_BYTES_MAX`].
///
/// # Errors
///
/// If it is none. What a record of this type cannot be is said as soon as its head is there.
pub fn decode(input: &mut BytesMut) -> Result<Option<Record>, RecordError> {
    let Some(&version) = input.first() else { return Ok(None) };
    if version != VERSION {
        return Err(RecordError::Version(version));
    }
    let Some(&[_, kind, r1, r0, c1, c0, padding, _]) = input.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let (request, length) = (u16::from_be_bytes([r1, r0]), u16::from_be_bytes([c1, c0]));
    check(kind, request, length)?;
    let end = HEAD_BYTES + usize::from(length);
    if input.len() < end + usize::from(padding) {
        return Ok(None);
    }
    let mut content = input.split_to(end);
    content.advance(HEAD_BYTES);
    input.advance(usize::from(padding));
    read(kind, request, content.freeze()).map(Some)
}

/// Whether there can be such a record.
fn check(kind: u8, request: u16, length: u16) -> Result<(), RecordError> {
    let has_length = match kind {
        kind::BEGIN | kind::END | kind::UNKNOWN_TYPE => usize::from(length) == BODY_BYTES,
        kind::ABORT => length == 0,
        _ => true,
    };
    let has_request = match kind {
        kind::BEGIN..=kind::DATA => request != 0,
        kind::GET_VALUES | kind::GET_VALUES_RESULT | kind::UNKNOWN_TYPE => request == 0,
        _ => true,
    };
    match (has_request, has_length) {
        (false, _) => Err(RecordError::Request { kind, request }),
        (_, false) => Err(RecordError::Length { kind, length }),
        _ => Ok(()),
    }
}

/// What a record says whose head has been checked.
fn read(kind: u8, request: u16, content: Bytes) -> Result<Record, RecordError> {
    let stream = |stream, content| Record::Stream { request, stream, content };
    Ok(match kind {
        kind::BEGIN => {
            let then = if content[2] & KEEP == 0 { Then::Close } else { Then::Keep };
            Record::Begin { request, role: Role::of(u16::from_be_bytes([content[0], content[1]])), then }
        }
        kind::ABORT => Record::Abort { request },
        kind::END => {
            let exit_status = u32::from_be_bytes([content[0], content[1], content[2], content[3]]);
            Record::End { request, exit_status, outcome: Outcome::of(content[4]) }
        }
        kind::PARAMS => stream(Stream::Params, content),
        kind::STDIN => stream(Stream::Stdin, content),
        kind::STDOUT => stream(Stream::Stdout, content),
        kind::STDERR => stream(Stream::Stderr, content),
        kind::DATA => stream(Stream::Data, content),
        kind::GET_VALUES => Record::GetValues(pairs::decode(&content)?),
        kind::GET_VALUES_RESULT => Record::GetValuesResult(pairs::decode(&content)?),
        kind::UNKNOWN_TYPE => Record::UnknownType(content[0]),
        kind => Record::Other { kind, request, content },
    })
}

impl Record {
    /// Appends it. A stream's bytes beyond [`CONTENT_BYTES_MAX`] go into further records.
    ///
    /// # Panics
    ///
    /// If the values, or what an unknown type says, are longer than that.
    pub fn encode(&self, output: &mut BytesMut) {
        match self {
            Self::Begin { request, role, then } => {
                let [high, low] = role.number().to_be_bytes();
                let flags = if *then == Then::Keep { KEEP } else { 0 };
                put(kind::BEGIN, *request, &[high, low, flags, 0, 0, 0, 0, 0], output);
            }
            Self::Abort { request } => put(kind::ABORT, *request, &[], output),
            Self::End { request, exit_status, outcome } => {
                let [a, b, c, d] = exit_status.to_be_bytes();
                put(kind::END, *request, &[a, b, c, d, outcome.number(), 0, 0, 0], output);
            }
            Self::Stream { request, stream, content } if content.is_empty() => put_end(*request, *stream, output),
            Self::Stream { request, stream, content } => put_stream(*request, *stream, content, output),
            Self::GetValues(values) => put(kind::GET_VALUES, 0, &pairs::encode(values), output),
            Self::GetValuesResult(values) => put(kind::GET_VALUES_RESULT, 0, &pairs::encode(values), output),
            Self::UnknownType(kind) => put(kind::UNKNOWN_TYPE, 0, &[*kind, 0, 0, 0, 0, 0, 0, 0], output),
            Self::Other { kind, request, content } => put(*kind, *request, content, output),
        }
    }
}

/// Appends bytes of a stream, in as many records as that takes: none, if there are no bytes.
pub fn put_stream(request: u16, stream: Stream, content: &[u8], output: &mut BytesMut) {
    for piece in content.chunks(CONTENT_BYTES_MAX) {
        put(stream.kind(), request, piece, output);
    }
}

/// Appends the end of a stream.
pub fn put_end(request: u16, stream: Stream, output: &mut BytesMut) {
    put(stream.kind(), request, &[], output);
}

fn put(kind: u8, request: u16, content: &[u8], output: &mut BytesMut) {
    output.reserve(HEAD_BYTES + content.len() + ALIGNMENT);
    let open = Open::of(kind, request, output);
    output.put_slice(content);
    open.close(output);
}

/// A record at the end of an output, whose content is still being written there.
pub(super) struct Open {
    /// Where its content begins.
    content: usize,
}

impl Open {
    pub(super) fn new(request: u16, stream: Stream, output: &mut BytesMut) -> Self {
        Self::of(stream.kind(), request, output)
    }

    fn of(kind: u8, request: u16, output: &mut BytesMut) -> Self {
        let [high, low] = request.to_be_bytes();
        output.put_slice(&[VERSION, kind, high, low, 0, 0, 0, 0]);
        Self { content: output.len() }
    }

    /// Whether so many bytes more still fit.
    pub(super) fn has_room(&self, length: usize, output: &BytesMut) -> bool {
        output.len() - self.content + length <= CONTENT_BYTES_MAX
    }

    /// Ends it: its head gets its lengths. Nothing is left of it.
    pub(super) fn close(self, output: &mut BytesMut) -> Option<Self> {
        let length = output.len() - self.content;
        let padding = length.wrapping_neg() % ALIGNMENT;
        output.put_bytes(0, padding);
        let length = u16::try_from(length).expect("whoever writes the content keeps to its bound");
        output[self.content - 4..self.content - 2].copy_from_slice(&length.to_be_bytes());
        output[self.content - 2] = padding as u8;
        None
    }
}

impl Stream {
    fn kind(self) -> u8 {
        match self {
            Self::Params => kind::PARAMS,
            Self::Stdin => kind::STDIN,
            Self::Stdout => kind::STDOUT,
            Self::Stderr => kind::STDERR,
            Self::Data => kind::DATA,
        }
    }
}

impl Role {
    fn of(number: u16) -> Self {
        match number {
            1 => Self::Responder,
            2 => Self::Authorizer,
            3 => Self::Filter,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u16 {
        match self {
            Self::Responder => 1,
            Self::Authorizer => 2,
            Self::Filter => 3,
            Self::Other(number) => number,
        }
    }
}

impl Outcome {
    fn of(number: u8) -> Self {
        match number {
            0 => Self::Complete,
            1 => Self::CannotMultiplex,
            2 => Self::Overloaded,
            3 => Self::UnknownRole,
            other => Self::Other(other),
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::CannotMultiplex => 1,
            Self::Overloaded => 2,
            Self::UnknownRole => 3,
            Self::Other(number) => number,
        }
    }
}
