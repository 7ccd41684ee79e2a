//! A connection with something to do: requests are decoded, called, answered in order, written.
//!
//! One task does it all, and every wait is one of the poll functions below. What is decoded at
//! once is answered in one write; calls that are ready at once cost no allocation.
//!
//! One state machine and so one file; only its waits are elsewhere (`deadlines`).

mod deadlines;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, Version};
use tokio::io::AsyncReadExt;
use unary_net::pipeline::drain::Phase;
use unary_net::pipeline::{Awaited, Calls};
use unary_net::{Exchange, Transport};
use unary_service::Error;
use unary_service::context::RequestId;

use super::receiving::{Need, Receiving};
use super::sending::{Sending, Sent};
use super::tools::{Tools, date, poll_read};
use super::upgrade::{Offer, offer};
use super::{H1, Preface, Waiting, Wire};
use crate::body::Kind as BodyKind;
use crate::h1::encode::{BodyPlan, Date, OutgoingResponse, Persistence, encode_interim, encode_response};
use crate::h1::error::Reason;
use crate::h1::head::{Framing, RequestHead};
use crate::h1::output::{OUTPUT_BYTES, Then};
use crate::message::{failure, status};
use crate::{Body, Request, Response, early_hints, failed};

/// How much room is made for the next read while a head, or a body, is arriving.
const HEAD_READ_BYTES: usize = 4 * 1024;
const BODY_READ_BYTES: usize = 64 * 1024;

/// How being busy ended.
pub(super) enum Outcome {
    /// All is answered: wait for more.
    Idle,
    /// The connection is over.
    Close,
    /// It is over, but the peer may still be sending.
    Linger,
    /// It belongs to another protocol now; the bytes are that protocol's.
    Upgrade(Offer, BytesMut),
    /// It is HTTP/2, from these bytes on.
    Http2(BytesMut),
}

/// What is remembered of a request until it is answered. Its memory is used again and again.
#[derive(Default)]
pub(super) struct Entry {
    awaited: Awaited<Response>,
    upgrade: Option<Offer>,
    asked: Asked,
}

/// What a reply depends on.
#[derive(Default)]
struct Asked {
    method: Method,
    version: Version,
    keep_alive: bool,
    id: RequestId,
}

/// How much longer the connection goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Going {
    /// As long as the peer likes.
    On,
    /// Until what was decoded is answered.
    ToAnswers,
    /// Until what is encoded is written.
    ToOutput,
    /// Until here: it is HTTP/2.
    ToHttp2,
}

pub(super) struct Busy<'a, S> {
    wire: &'a mut Wire<S>,
    http: &'a H1,
    tools: Box<Tools>,
    /// The request in the tools may not run beside those before it.
    held: bool,
    receiving: Option<Box<Receiving>>,
    need: Need,
    sending: Option<Box<Sending>>,
    /// What is being sent answers a safe request.
    sends_safely: bool,
    going: Going,
    /// A refusal, to be answered once everything before it is.
    refusal: Option<StatusCode>,
    upgrade: Option<Offer>,
    /// The peer sends no more.
    ended: bool,
    /// Bytes of the peer may be left unread.
    linger: bool,
    /// The date for this turn's replies.
    date: Option<Date>,
    /// Bytes the peer has taken, when its patience was last tried.
    taken: u64,
}

impl<'a, S: Transport> Busy<'a, S> {
    pub(super) fn new(wire: &'a mut Wire<S>, http: &'a H1, input: BytesMut) -> Self {
        Self {
            wire,
            http,
            tools: Tools::lend(http.limits.head, input),
            held: false,
            receiving: None,
            need: Need::Nothing,
            sending: None,
            sends_safely: false,
            going: Going::On,
            refusal: None,
            upgrade: None,
            ended: false,
            linger: false,
            date: None,
            taken: 0,
        }
    }

    /// Runs as far as it goes; ready once the connection is idle or over.
    pub(super) fn poll<F>(
        &mut self,
        task: &mut Context<'_>,
        mut calls: Pin<&mut Calls<F>>,
        start: impl Fn(Exchange<Request, Response>) -> F,
    ) -> Poll<Result<Outcome, Error>>
    where
        F: Future<Output = Result<(), Error>>,
    {
        if self.wire.connection.watch.phase() == Phase::Over {
            return Poll::Ready(Ok(Outcome::Close));
        }
        self.date = None;
        if !calls.is_empty() {
            calls.as_mut().poll(task);
        }
        loop {
            let mut progress = false;
            while self.has_next() {
                calls.as_mut().start(|| start(self.admit()), task);
                self.encode(task)?;
                progress = true;
            }
            if self.receive(task) {
                calls.as_mut().poll(task);
                progress = true;
            }
            progress |= self.encode(task)?;
            self.refuse();
            progress |= self.flush(task)?;
            // A peer that sends no more may still have sent what could not be decoded until now.
            if self.is_done() || (self.ended && !progress && self.is_answered()) {
                return Poll::Ready(Ok(self.outcome()));
            }
            if !progress && !self.read(task)? {
                break;
            }
        }
        if self.ended && self.is_forsaken() {
            return Poll::Ready(Ok(Outcome::Close));
        }
        self.poll_deadlines(task).map(|()| Ok(Outcome::Close))
    }

    /// Decodes the next request; whether there is one that may run now.
    fn has_next(&mut self) -> bool {
        let may = self.going == Going::On
            && (self.held || !self.tools.input.is_empty())
            && self.receiving.is_none()
            && self.upgrade.is_none()
            && !self.is_offered()
            && self.tools.entries.len() < self.http.limits.pipelined_max
            && self.tools.output.front.len() < OUTPUT_BYTES;
        if !may {
            return false;
        }
        if !std::mem::take(&mut self.held) && !self.decode() {
            return false;
        }
        // Only safe requests run beside others (RFC 9112 §9.3.2), and an offer to leave HTTP runs
        // beside nothing.
        if !self.tools.entries.is_empty() || self.sending.is_some() {
            let head = &self.tools.head;
            let all_beside = self.tools.entries.iter().all(|entry| entry.asked.method.is_safe())
                && (self.sending.is_none() || self.sends_safely);
            if !(head.method.is_safe() && !head.upgrade && all_beside) {
                self.held = true;
                return false;
            }
        }
        true
    }

    /// Whether the last request offers to leave HTTP. What follows it may not be HTTP then.
    fn is_offered(&self) -> bool {
        self.tools.entries.back().is_some_and(|entry| entry.upgrade.is_some())
    }

    /// Decodes the next head into the tools; whether there was one.
    fn decode(&mut self) -> bool {
        let Tools { decoder, head, input, .. } = &mut *self.tools;
        decoder.decode_request(input, head).unwrap_or_else(|error| {
            let first = self.wire.sequence == 0 && self.http.preface == Preface::HandedOver;
            if first && *error.reason() == Reason::Http2Preface {
                self.going = Going::ToHttp2;
                return false;
            }
            tracing::debug!(peer = ?self.wire.connection.peer, %error, "refused a request");
            self.refuse_with(error.status());
            false
        })
    }

    /// Makes an exchange of the head in the tools and as much of its body as is there. Parts are set
    /// one by one where they stay: what was just written in pieces is slow to move as a whole.
    #[inline(always)] // So that the exchange is made where it is to be.
    fn admit(&mut self) -> Exchange<Request, Response> {
        let id = RequestId { connection: self.wire.connection.peer.number(), sequence: self.wire.sequence };
        self.wire.sequence = self.wire.sequence.wrapping_add(1);
        if matches!(self.wire.waiting, Waiting::Head | Waiting::Body) {
            self.wire.waiting = Waiting::Nothing; // The next head, and body, has a time of its own.
        }
        let mut request = Request::new(Body::empty());
        let context = request.body_mut().own_context_mut();
        (context.id, context.peer) = (id, Some(self.wire.connection.peer.remote()));
        if self.tools.head.framing != Framing::Empty {
            request.body_mut().kind = self.body();
        }
        let Tools { head, spare, entries, .. } = &mut *self.tools;
        let mut entry = spare.pop().unwrap_or_default();
        if entry.asked.method != head.method {
            entry.asked.method = head.method.clone();
        }
        (entry.asked.version, entry.asked.keep_alive, entry.asked.id) = (head.version, head.keep_alive, id);
        if !head.keep_alive {
            self.going = Going::ToAnswers;
        }
        if head.upgrade || head.method == Method::CONNECT {
            (entry.upgrade, *request.extensions_mut()) = offer();
        }
        let slot = entry.awaited.slot();
        entries.push_back(entry);
        // Swapped, not taken: what is empty on both sides need not be dropped.
        std::mem::swap(request.headers_mut(), &mut head.headers);
        std::mem::swap(request.uri_mut(), &mut head.uri);
        std::mem::swap(request.method_mut(), &mut head.method);
        *request.version_mut() = head.version;
        Exchange { request, slot }
    }

    /// The body the head in the tools announces, as much of it as is there.
    fn body(&mut self) -> BodyKind {
        let RequestHead { framing, expect_continue, .. } = self.tools.head;
        match framing {
            Framing::Length(length) if length <= self.tools.input.len() as u64 => {
                BodyKind::Bytes(self.tools.input.split_to(length as usize).freeze())
            }
            framing => {
                let (receiving, incoming) = Receiving::new(framing, expect_continue);
                self.receiving = Some(Box::new(receiving));
                BodyKind::Incoming(incoming)
            }
        }
    }

    /// Moves the arriving body on; whether the service may have got something by it.
    fn receive(&mut self, task: &mut Context<'_>) -> bool {
        let Some(receiving) = &mut self.receiving else { return false };
        let before = self.tools.input.len();
        self.need = match receiving.poll(task, &mut self.tools.input) {
            Ok(need) => need,
            Err(error) => {
                tracing::debug!(peer = ?self.wire.connection.peer, %error, "refused a request's body");
                self.http.counters.count_refused(StatusCode::BAD_REQUEST);
                self.close_after_answers();
                self.receiving = None;
                return true;
            }
        };
        let whole = match self.need {
            Need::Nothing => true,
            Need::Giving => {
                self.close_after_answers();
                self.receiving = None;
                return false;
            }
            Need::Bytes if self.ended => {
                let whole = receiving.end_of_input();
                self.receiving = None;
                if !whole {
                    self.going = self.going.max(Going::ToAnswers);
                }
                return true;
            }
            Need::Bytes | Need::Service => false,
        };
        // Where the final reply will be, and nowhere among those before it.
        let its_turn = self.sending.is_none() && self.tools.entries.len() == 1 && self.tools.output.has_room();
        if its_turn && receiving.take_interim() {
            encode_interim(StatusCode::CONTINUE, &HeaderMap::new(), &mut self.tools.output.front);
        }
        if whole {
            self.receiving = None;
        }
        whole || self.tools.input.len() != before
    }

    fn close_after_answers(&mut self) {
        self.going = self.going.max(Going::ToAnswers);
        self.linger = true;
    }

    /// Passes early hints on (RFC 8297), if the reply they are for is next. HTTP/1.0 knows none.
    #[cold]
    fn hint(&mut self) {
        let Tools { entries, output, .. } = &mut *self.tools;
        let next = entries.front().map(|entry| &entry.asked).filter(|_| self.sending.is_none() && output.has_room());
        let whose = next.filter(|asked| asked.version == Version::HTTP_11).map(|asked| asked.id);
        for links in early_hints::take(whose.unwrap_or_default()) {
            encode_interim(StatusCode::EARLY_HINTS, &links, &mut output.front);
        }
    }

    /// Encodes answers that are there, in order; whether there were any.
    fn encode(&mut self, task: &mut Context<'_>) -> Result<bool, Error> {
        if early_hints::are_there() {
            self.hint();
        }
        let mut progress = false;
        loop {
            if self.going == Going::ToOutput || self.upgrade.is_some() {
                return Ok(progress);
            }
            if let Some(sending) = &mut self.sending {
                let before = self.tools.output.front.len();
                match sending.poll(task, &mut self.wire.connection.stream, &mut self.tools.output) {
                    Err(error) => self.cut(&error),
                    Ok(Sent::Complete) => self.sent(),
                    Ok(Sent::Waiting) => return Ok(progress || self.tools.output.front.len() != before),
                    Ok(Sent::Blocked) => {
                        // Only a peer that takes nothing for long is cut: a piece was taken here.
                        return Ok(progress);
                    }
                }
                progress = true;
                continue;
            }
            if !self.tools.output.has_room() {
                return Ok(progress);
            }
            let Some(mut entry) = self.tools.entries.pop_front() else {
                return Ok(progress);
            };
            let Entry { awaited, upgrade, asked } = &mut *entry;
            let answered = awaited.poll_with(task, |answer| match answer {
                Ok(response) => self.reply(asked, response, upgrade.take()),
                Err(error) => {
                    failed::log(asked.id, &asked.method, &self.wire.connection.peer, error);
                    self.reply(asked, &mut failure(error), upgrade.take());
                }
            });
            if answered.is_pending() {
                self.tools.entries.push_front(entry);
                return Ok(progress);
            }
            self.tools.spare.push(entry);
            progress = true;
        }
    }

    /// Begins a reply: its head, and its body if that is short.
    fn reply(&mut self, asked: &Asked, response: &mut Response, offer: Option<Offer>) {
        let takes_over = match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => true,
            status => asked.method == Method::CONNECT && status.is_success(),
        };
        if takes_over && self.receiving.is_none() {
            self.upgrade = offer;
        }
        if self.upgrade.is_none() && (takes_over || response.status().is_informational()) {
            // 101 without an offer or amid a body, or an interim status: neither ends an exchange.
            tracing::error!(id = %asked.id, status = %response.status(), "a service answered with a status it must not");
            *response = status(StatusCode::INTERNAL_SERVER_ERROR);
        }
        if matches!(response.body().kind, BodyKind::Incoming(_))
            && self.tools.entries.is_empty()
            && self.receiving.as_mut().is_some_and(|receiving| receiving.take_unasked_for())
        {
            // A reply that passes the request's body on is about to ask for it.
            encode_interim(StatusCode::CONTINUE, &HeaderMap::new(), &mut self.tools.output.front);
        }
        let length = response.body().length();
        let plan = BodyPlan::of_response(&asked.method, asked.version, response.status(), length, response.headers());
        let persistence = self.persistence(asked);
        let persistence = encode_response(
            &OutgoingResponse {
                status: response.status(),
                headers: response.headers(),
                body: plan,
                version: asked.version,
                persistence,
                date: Some(self.date.get_or_insert_with(date)),
            },
            &mut self.tools.output.front,
        );
        if persistence == Persistence::Close {
            self.last_reply();
        }
        if !self.held {
            // The next head uses its memory again.
            std::mem::swap(&mut self.tools.head.headers, response.headers_mut());
        }
        let body = response.body_mut();
        match (plan.framing, body.bytes()) {
            (Framing::Empty, _) => match &mut self.upgrade {
                Some(offer) => offer.keep(body),
                None => self.tools.output.keep(body),
            },
            (Framing::Length(length), Some(bytes)) if length == bytes.len() as u64 => {
                self.tools.output.put(bytes);
                body.took(length);
                self.tools.output.keep(body);
            }
            (framing, _) => {
                self.sending = Some(Box::new(Sending::new(std::mem::take(body), framing)));
                self.sends_safely = asked.method.is_safe();
            }
        }
        if self.sending.is_none() {
            self.sent();
        }
    }

    fn persistence(&self, asked: &Asked) -> Persistence {
        let last_answer = self.going != Going::On && self.tools.entries.is_empty() && self.refusal.is_none();
        // A body nobody asked for may come or not: there is no telling where the next head begins.
        let receiving = self.receiving.as_ref().filter(|_| self.tools.entries.is_empty());
        // Nor is there a next one behind more than is read and thrown away.
        let in_doubt = receiving.is_some_and(|receiving| receiving.is_unasked_for() || receiving.is_too_much());
        let drains = self.wire.connection.watch.phase() != Phase::Serving;
        match !asked.keep_alive || last_answer || in_doubt || drains {
            true => Persistence::Close,
            false => Persistence::KeepAlive,
        }
    }

    /// The reply just begun says that it is the last: nothing after it is answered.
    fn last_reply(&mut self) {
        // A peer that did not ask for the end may have sent more by now.
        self.linger |= self.going == Going::On || !self.tools.input.is_empty() || self.receiving.is_some();
        self.going = self.going.max(Going::ToAnswers);
        self.tools.entries.clear();
        self.refusal = None;
    }

    /// A reply is complete, but for being written.
    fn sent(&mut self) {
        self.sending = None;
        if self.going == Going::ToAnswers && self.tools.entries.is_empty() && self.refusal.is_none() {
            self.going = Going::ToOutput;
        }
    }

    /// The reply cannot be completed. Its peer gets what there is of it, and notices.
    #[cold]
    fn cut(&mut self, error: &Error) {
        let peer = &self.wire.connection.peer;
        match failed::is_peers_doing(error.kind()) {
            true => tracing::debug!(?peer, %error, "cut a connection amid a reply"),
            false => tracing::error!(?peer, %error, "cut a connection amid a reply"),
        }
        self.linger = !self.resets();
        self.sending = None;
        self.going = Going::ToOutput;
    }

    /// Whether the connection is to end by a reset, as nothing else tells the reply that is being sent from one
    /// that is complete. Then it will.
    fn resets(&mut self) -> bool {
        let resets = self.sending.as_ref().is_some_and(|sending| sending.lasts_until_close());
        if resets {
            self.wire.connection.stream.reset();
        }
        resets
    }

    fn refuse_with(&mut self, refusal: StatusCode) {
        self.http.counters.count_refused(refusal);
        self.refusal = Some(refusal);
        self.close_after_answers();
    }

    /// Answers what was refused, once it is its turn.
    fn refuse(&mut self) {
        let its_turn = self.tools.entries.is_empty() && self.sending.is_none() && self.tools.output.has_room();
        if !its_turn || self.going == Going::ToOutput {
            return;
        }
        if let Some(refusal) = self.refusal.take() {
            let (method, version) = (Method::GET, Version::HTTP_11);
            let asked = Asked { method, version, keep_alive: false, id: RequestId::default() };
            self.reply(&asked, &mut status(refusal), None);
        } else if self.going == Going::ToAnswers {
            self.going = Going::ToOutput;
        }
    }

    /// Writes what is encoded; whether that made room for more.
    fn flush(&mut self, task: &mut Context<'_>) -> Result<bool, Error> {
        if self.tools.output.is_empty() {
            return Ok(false);
        }
        let had_room = self.tools.output.has_room();
        match self.tools.output.poll_flush(task, &mut self.wire.connection.stream, Then::Nothing)? {
            Poll::Ready(()) => Ok(!had_room || self.sending.is_some()),
            Poll::Pending => Ok(false),
        }
    }

    /// Reads what the connection has use for; whether there was any.
    fn read(&mut self, task: &mut Context<'_>) -> Result<bool, Error> {
        let room = match &self.receiving {
            Some(_) if self.need == Need::Bytes => BODY_READ_BYTES,
            // Beyond a whole head the peer has to wait, and so has the news of its going.
            None if self.going == Going::On && self.tools.input.len() < self.http.limits.head.head_bytes_max => {
                HEAD_READ_BYTES
            }
            _ => return Ok(false),
        };
        if self.ended {
            return Ok(false);
        }
        let stream = &mut self.wire.connection.stream;
        let read = match self.tools.input.is_empty() && self.receiving.is_none() {
            // Most often there is nothing: a call is waited for. So nothing is made room for.
            true => poll_read(task, stream)?.map(|read| {
                self.tools.input = read;
                self.tools.input.len()
            }),
            false => {
                self.tools.input.reserve(room);
                pin!(stream.read_buf(&mut self.tools.input)).poll(task)?
            }
        };
        self.ended |= read == Poll::Ready(0);
        Ok(read.is_ready())
    }

    fn is_done(&self) -> bool {
        if self.going >= Going::ToOutput || self.upgrade.is_some() {
            return self.is_written();
        }
        self.is_answered() && self.tools.input.is_empty() && !self.is_amid_head()
    }

    /// Whether every request decoded so far has its reply, and the peer has all of it.
    fn is_answered(&self) -> bool {
        let waits = self.held || self.receiving.is_some() || self.refusal.is_some();
        !waits && self.tools.entries.is_empty() && self.is_written()
    }

    /// Whether the one call under way, or its reply of which nothing more has come yet, is of no use any more: the
    /// peer sends no more, and had not said that it would not. One that says `Connection: close`, or has pipelined,
    /// and then ends its half of the connection still reads.
    #[cold]
    fn is_forsaken(&self) -> bool {
        let under_way = self.tools.entries.len() + usize::from(self.sending.is_some());
        let waits = self.going == Going::On && under_way == 1 && self.tools.output.is_empty();
        let nothing_behind = !self.held && self.receiving.is_none() && !self.is_amid_head();
        waits && nothing_behind && self.wire.connection.peer.is_awaited()
    }

    fn is_written(&self) -> bool {
        self.tools.output.is_empty() && self.sending.is_none()
    }

    fn outcome(&mut self) -> Outcome {
        if let Some(offer) = self.upgrade.take() {
            return Outcome::Upgrade(offer, std::mem::take(&mut self.tools.input));
        }
        match (self.going, self.ended) {
            (Going::On, false) => Outcome::Idle,
            (Going::ToHttp2, _) => Outcome::Http2(std::mem::take(&mut self.tools.input)),
            (_, true) => Outcome::Close,
            _ if self.linger => Outcome::Linger,
            _ => Outcome::Close,
        }
    }

    fn is_amid_head(&self) -> bool {
        !self.tools.input.is_empty() || self.tools.decoder.is_amid_head()
    }

    /// Gives back what was lent.
    pub(super) fn finish(mut self) {
        self.resets();
        self.tools.output.give_up(self.sending.as_deref().map(Sending::body));
        self.tools.give_back();
    }
}
