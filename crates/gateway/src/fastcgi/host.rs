//! The host's end: what a worker says of one request, and of itself.
//!
//! A connection carries one request at a time. Next to no worker takes more, and one that is late would hold up the
//! others; hence every request has the same number.

use std::fmt;

use bytes::{Bytes, BytesMut};
use unary_service::{Error, Kind};

use super::error::RecordError;
use super::pairs::{self, Pairs};
use super::record::{self, Outcome, Record, Role, Stream, Then};

/// The number of every request.
pub const REQUEST: u16 = 1;

/// Records of types that mean nothing here, which are passed over within one reply.
const PASSED_MAX: u8 = 16;

/// How many connections a worker takes, as `FCGI_GET_VALUES` asks (§4.1).
const CONNECTIONS_MAX: &[u8] = b"FCGI_MAX_CONNS";
const REQUESTS_MAX: &[u8] = b"FCGI_MAX_REQS";
const MULTIPLEXES: &[u8] = b"FCGI_MPXS_CONNS";

/// Appends the beginning of a request: its role and parameters. Its body is to follow on [`Stream::Stdin`], and the end
/// of that.
pub fn put_request<'a>(
    role: Role,
    then: Then,
    params: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    output: &mut BytesMut,
) {
    Record::Begin { request: REQUEST, role, then }.encode(output);
    pairs::put_params(REQUEST, params, output);
}

/// Appends bytes of the request's body.
pub fn put_body(content: &[u8], output: &mut BytesMut) {
    record::put_stream(REQUEST, Stream::Stdin, content, output);
}

/// Appends the end of the request's body.
pub fn put_body_end(output: &mut BytesMut) {
    record::put_end(REQUEST, Stream::Stdin, output);
}

/// Appends that nobody is interested in the reply any more.
pub fn put_abort(output: &mut BytesMut) {
    Record::Abort { request: REQUEST }.encode(output);
}

/// What a worker says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Bytes of the reply, as a CGI program writes it.
    Output(Bytes),
    /// Bytes for the log.
    Log(Bytes),
    /// The request is over, and the connection free.
    End {
        /// What a CGI program would have exited with.
        exit_status: u32,
    },
}

/// Reads what a worker says of one request, up to its end. What it holds is less than one record, in the input.
#[derive(Debug, Default)]
pub struct Reply {
    output_ended: bool,
    log_ended: bool,
    passed: u8,
}

/// Why there is no reply, or no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyError {
    /// What comes is no record.
    Record(RecordError),
    /// A record that only hosts send.
    NotAWorkers,
    /// A record about a request that was not made.
    OtherRequest(u16),
    /// Bytes of a stream that had ended.
    AfterEnd(Stream),
    /// More than 16 records that mean nothing.
    Strays,
    /// The worker refused the request: it was not begun.
    Refused(Outcome),
}

impl Reply {
    /// Takes the next thing off the input. `None` asks for more bytes.
    ///
    /// # Errors
    ///
    /// If a worker cannot say that, or refuses the request. Nothing can follow on this connection.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Said>, ReplyError> {
        while let Some(record) = record::decode(input)? {
            match record {
                Record::Stream { request: REQUEST, stream: Stream::Stdout, content } => {
                    if let Some(content) = stream(Stream::Stdout, &mut self.output_ended, content)? {
                        return Ok(Some(Said::Output(content)));
                    }
                }
                Record::Stream { request: REQUEST, stream: Stream::Stderr, content } => {
                    if let Some(content) = stream(Stream::Stderr, &mut self.log_ended, content)? {
                        return Ok(Some(Said::Log(content)));
                    }
                }
                Record::End { request: REQUEST, exit_status, outcome: Outcome::Complete } => {
                    return Ok(Some(Said::End { exit_status }));
                }
                Record::End { request: REQUEST, outcome, .. } => return Err(ReplyError::Refused(outcome)),
                Record::Stream { request, stream: Stream::Stdout | Stream::Stderr, .. }
                | Record::End { request, .. } => return Err(ReplyError::OtherRequest(request)),
                Record::GetValuesResult(_) | Record::UnknownType(_) | Record::Other { .. } => self.pass()?,
                Record::Begin { .. } | Record::Abort { .. } | Record::Stream { .. } | Record::GetValues(_) => {
                    return Err(ReplyError::NotAWorkers);
                }
            }
        }
        Ok(None)
    }

    fn pass(&mut self) -> Result<(), ReplyError> {
        self.passed += 1;
        if self.passed > PASSED_MAX { Err(ReplyError::Strays) } else { Ok(()) }
    }
}

/// The content, or `None` where the stream ends. Some workers end one twice, which says nothing new; a worker that says
/// nothing else for ever is met by whoever keeps the time.
fn stream(stream: Stream, ended: &mut bool, content: Bytes) -> Result<Option<Bytes>, ReplyError> {
    match (content.is_empty(), *ended) {
        (true, _) => {
            *ended = true;
            Ok(None)
        }
        (false, true) => Err(ReplyError::AfterEnd(stream)),
        (false, false) => Ok(Some(content)),
    }
}

/// What a worker says of itself. Many say nothing, or not all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Connections it takes at once.
    pub connections_max: Option<u32>,
    /// Requests it takes at once.
    pub requests_max: Option<u32>,
    /// Whether a connection may carry several.
    pub multiplexes: Option<bool>,
}

/// Appends the question.
pub fn put_question(output: &mut BytesMut) {
    let names = [CONNECTIONS_MAX, REQUESTS_MAX, MULTIPLEXES];
    Record::GetValues(names.map(|name| (Bytes::from_static(name), Bytes::new())).into()).encode(output);
}

/// Reads the answer. `None` asks for more bytes. A worker that does not know the question answers with nothing.
///
/// # Errors
///
/// If it is none.
pub fn decode_answer(input: &mut BytesMut) -> Result<Option<Values>, ReplyError> {
    match record::decode(input)? {
        None => Ok(None),
        Some(Record::GetValuesResult(values)) => Ok(Some(Values::of(&values))),
        Some(Record::UnknownType(_)) => Ok(Some(Values::default())),
        Some(_) => Err(ReplyError::Strays),
    }
}

impl Values {
    fn of(values: &Pairs) -> Self {
        let text = |name: &[u8]| {
            let (_, value) = values.iter().find(|(known, _)| known == name)?;
            std::str::from_utf8(value).ok()
        };
        let number = |name| text(name)?.parse().ok().filter(|&number: &u32| number > 0);
        Self {
            connections_max: number(CONNECTIONS_MAX),
            requests_max: number(REQUESTS_MAX),
            multiplexes: text(MULTIPLEXES).map(|value| value == "1"),
        }
    }
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::NotAWorkers => f.write_str("it sends a record that only a server sends"),
            Self::OtherRequest(request) => write!(f, "it answers request {request}, which was not made"),
            Self::AfterEnd(stream) => write!(f, "its {stream:?} goes on after its end"),
            Self::Strays => write!(f, "it sends more than {PASSED_MAX} records that mean nothing"),
            Self::Refused(outcome) => f.write_str(match outcome {
                Outcome::CannotMultiplex => "it takes one request at a time on a connection",
                Outcome::Overloaded => "it says that it is overloaded",
                Outcome::UnknownRole => "it does not know the role it was asked for",
                Outcome::Complete | Outcome::Other(_) => "it refused the request",
            }),
        }
    }
}

impl std::error::Error for ReplyError {}

impl From<RecordError> for ReplyError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<ReplyError> for Error {
    fn from(error: ReplyError) -> Self {
        let kind = match error {
            ReplyError::Refused(Outcome::Overloaded | Outcome::CannotMultiplex) => Kind::Overloaded,
            _ => Kind::Upstream,
        };
        Self::new(kind, "reading the reply of a FastCGI worker").because(error)
    }
}
