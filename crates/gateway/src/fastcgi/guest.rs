//! The program's end of a FastCGI connection: one request at a time, and then the next one.

use bytes::{Bytes, BytesMut};
use unary_service::{Error, Kind};

use super::pairs::{Pairs, Params};
use super::record::{self, Outcome, Record, Role, Stream, Then};
use crate::cgi::guest::{Asked, BodyLength, encode_head};
use crate::guest::{Guest, Next, ReplyHead, Said};

/// Answers to a host's questions and refusals that wait for it to read them. One that asks on and reads none means
/// harm.
const ANSWERS_BYTES_MAX: usize = 128 * 1024;

/// One connection.
#[derive(Debug)]
pub struct FastcgiGuest {
    connections_max: usize,
    step: Step,
    /// The request that is under way.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    request: u16,
    role: Role,
    then: Then,
    /// Something was said to the host's log, so that this stream has an end, too.
    has_logged: bool,
}

#[derive(Debug)]
enum Step {
    /// Nothing is expected of the request under way, or there is none.
    Rest,
    Params(Params),
    /// The body; so much of it is to come, if that was said.
    Body(Option<u64>),
    /// The end of a body that nobody sends is to be told.
    End,
}

impl FastcgiGuest {
    /// At the start of a connection. `connections_max` is how many of them a host is told to open at most.
    pub fn new(connections_max: usize) -> Self {
        Self { connections_max, step: Step::Rest, current: None }
    }

    fn is_current(&self, request: u16) -> bool {
        self.current.as_ref().is_some_and(|current| current.request == request)
    }

    fn hear(&mut self, record: Record, output: &mut BytesMut) -> Result<Option<Said>, Error> {
        match record {
            Record::Begin { request, role, then } => self.begin(request, role, then, output)?,
            Record::Stream { request, stream: Stream::Params, content } if self.is_current(request) => {
                return self.params(&content);
            }
            Record::Stream { request, stream: Stream::Stdin, content } if self.is_current(request) => {
                return Ok(self.body_came(content));
            }
            Record::Abort { request } if self.is_current(request) => return Ok(Some(Said::Abort)),
            // What was on its way to a request that is over, or was refused.
            Record::Stream { stream: Stream::Params | Stream::Stdin | Stream::Data, .. } | Record::Abort { .. } => {}
            Record::GetValues(asked) => Record::GetValuesResult(self.values(&asked)).encode(output),
            Record::Other { kind, request: 0, .. } => Record::UnknownType(kind).encode(output),
            Record::Other { .. } => {}
            Record::Stream { .. } | Record::End { .. } | Record::GetValuesResult(_) | Record::UnknownType(_) => {
                return Err(Error::invalid("reading FastCGI").because("a host sends what only programs send"));
            }
        }
        Ok(None)
    }

    fn begin(&mut self, request: u16, role: Role, then: Then, output: &mut BytesMut) -> Result<(), Error> {
        if self.is_current(request) {
            return Err(Error::invalid("reading FastCGI").because(format!("request {request} begins twice")));
        }
        let refusal = match role {
            _ if self.current.is_some() => Outcome::CannotMultiplex,
            Role::Responder | Role::Authorizer => {
                self.current = Some(Current { request, role, then, has_logged: false });
                self.step = Step::Params(Params::default());
                return Ok(());
            }
            Role::Filter | Role::Other(_) => Outcome::UnknownRole,
        };
        Record::End { request, exit_status: 0, outcome: refusal }.encode(output);
        Ok(())
    }

    fn params(&mut self, content: &[u8]) -> Result<Option<Said>, Error> {
        let Step::Params(params) = &mut self.step else { return Ok(None) };
        if !content.is_empty() {
            params.add(content)?;
            return Ok(None);
        }
        let pairs = std::mem::take(params).end()?;
        let mut asked = Asked::decode(pairs.into_iter().collect());
        self.step = match &mut asked {
            // An authorizer is not sent the body (§6.3).
            Ok(asked) if self.is_authorizer() => {
                asked.body = BodyLength::Empty;
                Step::End
            }
            Ok(asked) => Step::Body(expected(asked)),
            Err(_) => Step::Body(None),
        };
        Ok(Some(Said::Request(asked.map(Box::new))))
    }

    fn is_authorizer(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.role == Role::Authorizer)
    }

    fn body_came(&mut self, mut content: Bytes) -> Option<Said> {
        let Step::Body(left) = &mut self.step else { return None };
        if content.is_empty() {
            let is_whole = left.is_none_or(|left| left == 0);
            self.step = Step::Rest;
            return Some(if is_whole { Said::End } else { Said::Cut });
        }
        if let Some(left) = left {
            content.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= content.len() as u64;
        }
        (!content.is_empty()).then_some(Said::Body(content))
    }

    /// What a host wants to know of us (§4.1).
    fn values(&self, asked: &Pairs) -> Pairs {
        let value = |name: &Bytes| match &name[..] {
            // A request to a connection: as many of the one as of the other.
            b"FCGI_MAX_CONNS" | b"FCGI_MAX_REQS" => Some(Bytes::from(self.connections_max.to_string())),
            b"FCGI_MPXS_CONNS" => Some(Bytes::from_static(b"0")),
            _ => None,
        };
        asked.iter().filter_map(|(name, _)| Some((name.clone(), value(name)?))).collect()
    }

    fn number(&self) -> u16 {
        self.current.as_ref().map_or(0, |current| current.request)
    }

    fn over(&mut self, exit_status: u32, output: &mut BytesMut) -> Next {
        self.step = Step::Rest;
        let Some(Current { request, then, .. }) = self.current.take() else { return Next::End };
        Record::End { request, exit_status, outcome: Outcome::Complete }.encode(output);
        match then {
            Then::Keep => Next::Request,
            Then::Close => Next::End,
        }
    }
}

/// How long the body is, where the host knows. A stream without a length ends where it ends.
fn expected(asked: &mut Asked) -> Option<u64> {
    match asked.body {
        BodyLength::Bytes(length) => Some(length),
        BodyLength::Empty if asked.variables.get("CONTENT_LENGTH").is_some_and(|length| !length.is_empty()) => Some(0),
        BodyLength::Empty | BodyLength::Unknown => {
            asked.body = BodyLength::Unknown;
            None
        }
    }
}

impl Guest for FastcgiGuest {
    fn decode(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Option<Said>, Error> {
        if matches!(self.step, Step::End) {
            self.step = Step::Rest;
            return Ok(Some(Said::End));
        }
        while let Some(record) = record::decode(input)? {
            let before = output.len();
            if let Some(said) = self.hear(record, output)? {
                return Ok(Some(said));
            }
            if output.len() > before && output.len() > ANSWERS_BYTES_MAX {
                let limit = format!("{ANSWERS_BYTES_MAX} bytes of answers wait to be read");
                return Err(Error::new(Kind::TooLarge, "reading FastCGI").because(limit));
            }
        }
        Ok(None)
    }

    fn rests(&self) -> bool {
        self.current.is_none()
    }

    fn tells_its_end(&self) -> bool {
        true
    }

    fn head(&mut self, head: &ReplyHead<'_>, output: &mut BytesMut) {
        let mut encoded = BytesMut::new();
        encode_head(head, &mut encoded);
        record::put_stream(self.number(), Stream::Stdout, &encoded, output);
    }

    fn body(&mut self, bytes: &[u8], output: &mut BytesMut) {
        record::put_stream(self.number(), Stream::Stdout, bytes, output);
    }

    fn log(&mut self, line: &str, output: &mut BytesMut) -> bool {
        let Some(current) = &mut self.current else { return false };
        current.has_logged = true;
        record::put_stream(current.request, Stream::Stderr, format!("{line}\n").as_bytes(), output);
        true
    }

    fn end(&mut self, output: &mut BytesMut) -> Next {
        record::put_end(self.number(), Stream::Stdout, output);
        if self.current.as_ref().is_some_and(|current| current.has_logged) {
            record::put_end(self.number(), Stream::Stderr, output);
        }
        self.over(0, output)
    }

    fn abort(&mut self, output: &mut BytesMut) -> Next {
        self.over(1, output)
    }
}

#[cfg(test)]
mod tests;
