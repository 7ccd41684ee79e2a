//! One request and its reply, up to the reply's head.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, TE, UPGRADE};
use http::{Method, StatusCode, Uri};
use tokio::sync::OwnedSemaphorePermit;
use unary_net::Transport;
use unary_service::context::RequestId;
use unary_service::{Error, HasContext, Kind};

use super::reply::Reading;
use super::upgrade;
use super::upload::{State, Upload};
use super::wire::{Part, Waiting, Wire};
use super::{Bounds, Home, Trouble, pump};
use crate::h1::encode::{BodyPlan, OutgoingRequest, Persistence, TargetForm, encode_request};
use crate::h1::error::DecodeError;
use crate::h1::head::{Framing, ResponseHead};
use crate::{Body, EarlyHints, Request, Response, early_hints};

/// One request and its reply, up to the reply's head.
pub(in crate::h1) struct Exchange {
    method: Method,
    uri: Uri,
    /// The reply's head. Until it is there, its fields are those of the request: one map serves both.
    head: ResponseHead,
    /// The request's body until it is on its way.
    body: Option<Body>,
    upload: Option<Upload>,
    offers_upgrade: bool,
    takes_trailers: bool,
    /// What the request says of the connection.
    persistence: Persistence,
    interims: u8,
    early_hints: EarlyHints,
    /// Whose answer the reply is to be.
    id: RequestId,
    /// Whether bytes of a reply have come.
    is_answered: bool,
    /// Bytes the socket had taken before this request.
    taken_before: u64,
}

/// Why there is no reply.
#[derive(Debug)]
pub(in crate::h1) enum Failure {
    /// The connection ended before a byte of a reply came. `untouched`: nothing of the request had
    /// left.
    Lost { untouched: bool, cause: Option<io::Error> },
    /// The server did what it must not, or nothing.
    Trouble(Trouble),
    /// The request's own body failed.
    Body(Error),
}

/// What the input says.
enum Decoded {
    Nothing,
    /// The request's body may come.
    Continue,
    /// The reply's head is there.
    Reply,
}

impl Exchange {
    pub(in crate::h1) fn new(request: Request, early_hints: EarlyHints) -> Self {
        let (parts, body) = request.into_parts();
        let id = body.context().map_or_else(RequestId::default, |context| context.id);
        let offers_upgrade = parts.method == Method::CONNECT || parts.headers.contains_key(UPGRADE);
        Self {
            method: parts.method,
            uri: parts.uri,
            head: ResponseHead { headers: parts.headers, ..ResponseHead::default() },
            body: Some(body),
            upload: None,
            offers_upgrade,
            takes_trailers: false,
            persistence: Persistence::KeepAlive,
            interims: 0,
            early_hints,
            id,
            is_answered: false,
            taken_before: 0,
        }
    }

    /// Whether its connection may leave HTTP by it.
    pub(in crate::h1) fn offers_upgrade(&self) -> bool {
        self.offers_upgrade
    }

    /// Encodes the request's head.
    pub(in crate::h1) fn begin<S: Transport>(&mut self, wire: &mut Wire<S>) {
        let body = self.body.take().unwrap_or_default();
        let headers = &mut self.head.headers;
        let plan = BodyPlan::of_request(&self.method, body.length(), headers);
        // A body that is here already would only wait for the word, and no body gets none.
        let waits = headers.contains_key(EXPECT) && plan.framing != Framing::Empty && body.bytes().is_none();
        if !waits {
            headers.remove(EXPECT);
        }
        self.takes_trailers |= headers.remove(TE).is_some_and(|value| accepts_trailers(value.as_bytes()));
        self.taken_before = wire.output.taken();
        let out = &mut wire.output.front;
        self.persistence = encode_request(
            &OutgoingRequest {
                method: &self.method,
                uri: &self.uri,
                form: TargetForm::Origin,
                headers,
                body: plan,
                persistence: Persistence::KeepAlive,
            },
            out,
        );
        if self.takes_trailers {
            // Before the empty line. The encoder steers the connection, and TE is about this one alone.
            out.truncate(out.len() - b"\r\n".len());
            out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n\r\n");
        }
        self.upload = Some(Upload::new(body, plan, waits));
    }

    /// Runs until the reply's head is there.
    pub(in crate::h1) fn poll<S: Transport>(
        &mut self,
        task: &mut Context<'_>,
        wire: &mut Wire<S>,
        bounds: &Bounds,
    ) -> Poll<Result<(), Failure>> {
        loop {
            if let Some(upload) = &mut self.upload {
                upload.poll(task, wire).map_err(Failure::Body)?;
            }
            match self.decode(wire, bounds).map_err(Failure::Trouble)? {
                Decoded::Reply => {
                    wire.stop_waiting();
                    return Poll::Ready(Ok(()));
                }
                Decoded::Continue => continue,
                Decoded::Nothing => {}
            }
            match wire.poll_read(task, Part::Head) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended(wire, None))),
                Poll::Ready(Err(cause)) => return Poll::Ready(Err(self.ended(wire, Some(cause)))),
                Poll::Ready(Ok(_)) => self.is_answered = true,
                Poll::Pending => ready!(self.poll_time(task, wire, bounds))?,
            }
        }
    }

    /// Takes heads off the input, up to the one that says something.
    fn decode<S>(&mut self, wire: &mut Wire<S>, bounds: &Bounds) -> Result<Decoded, Trouble> {
        while !wire.input.is_empty()
            && wire.decoder.decode_response(&mut wire.input, &self.method, &mut self.head).map_err(refused)?
        {
            let status = self.head.status;
            if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(Decoded::Reply);
            }
            self.interims += 1;
            if self.interims > bounds.interim_max {
                let step = "reading the interim replies of";
                return Err(Trouble::new(Kind::Upstream, step).because("there are too many"));
            }
            if status == StatusCode::EARLY_HINTS && self.early_hints == EarlyHints::PassedOn {
                early_hints::leave(self.id, &self.head.headers);
            }
            if status == StatusCode::CONTINUE && self.upload.as_mut().is_some_and(Upload::release) {
                return Ok(Decoded::Continue);
            }
        }
        Ok(Decoded::Nothing)
    }

    fn ended<S>(&mut self, wire: &Wire<S>, cause: Option<io::Error>) -> Failure {
        if !self.is_answered {
            return Failure::Lost { untouched: wire.output.taken() == self.taken_before, cause };
        }
        let trouble = Trouble::new(Kind::Upstream, "reading the reply of");
        Failure::Trouble(match cause {
            Some(cause) => trouble.because(cause),
            None => trouble.because("the connection ended within its head"),
        })
    }

    /// Waits for whatever has to happen by some time. Ready if there is more to do now.
    fn poll_time<S: Transport>(
        &mut self,
        task: &mut Context<'_>,
        wire: &mut Wire<S>,
        bounds: &Bounds,
    ) -> Poll<Result<(), Failure>> {
        if !wire.output.is_empty() {
            ready!(wire.poll_waiting(task, Waiting::Peer, bounds.stall_time));
            return Poll::Ready(Err(Failure::Trouble(Trouble::new(Kind::Timeout, "sending a request to"))));
        }
        match self.upload.as_mut().map(|upload| (upload.state(), upload)) {
            Some((State::Held, upload)) => {
                ready!(wire.poll_waiting(task, Waiting::Continue, bounds.continue_time));
                upload.release();
                Poll::Ready(Ok(()))
            }
            Some((State::Going, _)) => {
                wire.stop_waiting(); // The body is late, which is not the server's doing.
                Poll::Pending
            }
            _ => {
                ready!(wire.poll_waiting(task, Waiting::Head, bounds.head_time));
                Poll::Ready(Err(Failure::Trouble(Trouble::new(Kind::Timeout, "waiting for the reply of"))))
            }
        }
    }

    /// Makes ready to send the request once more, over a fresh connection; whether that may be, the
    /// server having closed a used one without an answer (RFC 9112 §9.3.1).
    pub(in crate::h1) fn again(&mut self, untouched: bool) -> bool {
        let may = (untouched || self.method.is_idempotent()) && self.upload.as_ref().is_some_and(Upload::is_whole);
        if may {
            self.body = self.upload.take().and_then(|mut upload| upload.take_whole());
        }
        may
    }

    /// The reply, whose head is there. Its body takes the connection along, unless it is here already; a
    /// connection that leaves HTTP takes the place among the tunnels.
    pub(in crate::h1) fn reply<S: Transport, H: Home<S>>(
        self,
        mut wire: Box<Wire<S>>,
        tunnel: Option<OwnedSemaphorePermit>,
        home: &Arc<H>,
    ) -> Result<Response, Trouble> {
        let ResponseHead { status, headers, framing, keep_alive, upgrade, .. } = self.head;
        let mut response = Response::default();
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        let sent = Sent::of(self.upload, wire.output.is_empty(), status, keep_alive);
        if upgrade || status == StatusCode::SWITCHING_PROTOCOLS {
            if !(upgrade && self.offers_upgrade && matches!(sent, Sent::Whole)) {
                let trouble = Trouble::new(Kind::Upstream, "reading the reply of");
                return Err(trouble.because("it takes up a protocol that was not offered"));
            }
            upgrade::put(*wire, tunnel, &mut response);
            return Ok(response);
        }
        let persistence = match sent {
            Sent::Whole | Sent::InPart(_) if keep_alive => self.persistence,
            _ => Persistence::Close,
        };
        let reading = Reading::new(framing, persistence);
        let body = response.body_mut();
        if let Sent::InPart(upload) = sent {
            *body = pump::start(wire, upload, reading, home.clone());
        } else if let Some(bytes) = here_already(framing, &mut wire.input) {
            *body = bytes.into();
            if persistence == Persistence::KeepAlive && wire.input.is_empty() {
                home.take_back(wire);
            }
        } else {
            *body = reading.into_body(wire, home.clone());
        }
        Ok(response)
    }
}

/// How much of the request is sent when its reply begins.
enum Sent {
    Whole,
    /// The rest is still to be sent.
    InPart(Upload),
    /// The rest never will be: nothing can follow it on this connection.
    Abandoned,
}

impl Sent {
    fn of(upload: Option<Upload>, is_written: bool, status: StatusCode, keep_alive: bool) -> Self {
        let Some(upload) = upload else { return Self::Whole };
        let is_error = status.is_client_error() || status.is_server_error();
        match upload.state() {
            State::Encoded if is_written => Self::Whole,
            // The server has answered without the body, or takes no more of it, or wants none (RFC 9112 §9.6).
            State::Held | State::Refused => Self::Abandoned,
            _ if is_error && !keep_alive => Self::Abandoned,
            _ => Self::InPart(upload),
        }
    }
}

/// A body that has come whole with its head.
fn here_already(framing: Framing, input: &mut BytesMut) -> Option<Bytes> {
    match framing {
        Framing::Empty => Some(Bytes::new()),
        Framing::Length(length) if length <= input.len() as u64 => Some(input.split_to(length as usize).freeze()),
        _ => None,
    }
}

fn refused(error: DecodeError) -> Trouble {
    Trouble::new(Kind::Upstream, "reading the reply of").because(error)
}

/// Whether `TE` names trailers, the one of its options that outlives a hop here.
fn accepts_trailers(te: &[u8]) -> bool {
    te.split(|&byte| byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
