//! Requests and replies of a guest's connection, one after the other.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context as Task, Poll, ready};

use bytes::Bytes;
use http::uri::Scheme as UriScheme;
use http::{Method, Version};
use http_body::Body as _;
use unary_gateway::Guest;
use unary_gateway::cgi::guest::{Asked, BodyLength, VariableError};
use unary_gateway::guest::{Next, ReplyHead};
use unary_http::body::Incoming;
use unary_http::failed;
use unary_http::h1::encode::{Announced, BodyPlan};
use unary_http::h1::head::Framing;
use unary_http::message::{failure, status_of};
use unary_http::{Body, Request, Response};
use unary_net::conversation::answer;
use unary_net::pipeline::Awaited;
use unary_net::pipeline::drain::Phase;
use unary_net::{Connection, Exchange, Peer, Transport};
use unary_service::context::RequestId;
use unary_service::flow::Consumer;
use unary_service::{Context, Error};
use unary_web::scheme::Scheme;

use super::wire::{Head, Heard, Wire};

/// A reply is gathered up to about here before it is written.
pub(super) const OUTPUT_BYTES: usize = 64 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve<G, S, D>(guest: G, connection: Connection<S>, down: &D) -> Result<(), Error>
where
    G: Guest,
    S: Transport,
    D: Consumer<Exchange<Request, Response>>,
{
    let mut wire = Wire::new(guest, connection);
    let mut awaited = Awaited::default();
    while let Some(head) = poll_fn(|task| wire.poll_request(task)).await? {
        let next = wire.exchange(head, &mut awaited, down).await?;
        wire.forget_body();
        if next == Next::End || wire.connection.watch.phase() != Phase::Serving {
            break;
        }
    }
    wire.close().await
}

/// What a request's reply and the log need to know of it.
struct Asking {
    method: Method,
    path: Box<str>,
    id: RequestId,
    peer: Peer,
}

impl<G: Guest, S: Transport> Wire<G, S> {
    /// Answers one request.
    async fn exchange<D>(&mut self, head: Head, awaited: &mut Awaited<Response>, down: &D) -> Result<Next, Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        let (asking, answered) = match head {
            Ok(asked) => {
                let (asking, request) = self.request(*asked).await?;
                let Some(answered) = self.answer(request, &asking.peer, awaited, down).await? else {
                    return self.give_up().await;
                };
                (asking, answered)
            }
            Err(error) => (Asking::of_nobody(), Err(no_request(error))),
        };
        let response = match answered {
            Ok(response) if response.status().is_informational() => {
                // Upgrades are not offered, and no interim status ends an exchange.
                let wrong = Error::internal("answering").because(format!("the service says {}", response.status()));
                self.failed(&asking, &wrong)
            }
            Ok(response) => response,
            Err(error) => self.failed(&asking, &error),
        };
        self.reply(&asking, response).await
    }

    /// The request as the service gets it, with as much of its body as is there.
    async fn request(&mut self, asked: Asked) -> Result<(Asking, Request), Error> {
        let Asked { head, body, scheme, remote, local, variables } = asked;
        let peer = Peer::new(remote, local);
        let id = RequestId { connection: peer.number(), sequence: 0 };
        let asking = Asking { method: head.method().clone(), path: head.uri().path().into(), id, peer };
        let (parts, ()) = head.into_parts();
        let body = self.body(body).await?;
        let context = Context { id, peer: Some(asking.peer.remote()), ..Context::default() };
        let mut request = Request::from_parts(parts, body.with_context(context));
        request.extensions_mut().insert(variables);
        let scheme = if scheme == UriScheme::HTTPS { Scheme::Https } else { Scheme::Http };
        request.extensions_mut().insert(scheme);
        Ok((asking, request))
    }

    async fn body(&mut self, length: BodyLength) -> Result<Body, Error> {
        let length = match length {
            BodyLength::Empty => return Ok(Body::empty()),
            BodyLength::Bytes(length) => Some(length),
            BodyLength::Unknown => None,
        };
        let (feed, incoming) = Incoming::new(length);
        self.feed = Some(feed);
        // A host that does not say that there is none says so at once by ending it.
        let body = Body::incoming(incoming);
        poll_fn(|task| match self.poll_hear(task) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(_)) => Poll::Ready(Err(Error::closed("reading a request: the host gave it up"))),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        Ok(if body.is_end_stream() { Body::empty() } else { body })
    }

    /// Runs the call to its answer. `None`: nobody waits for it any more.
    async fn answer<D>(
        &mut self,
        request: Request,
        peer: &Peer,
        awaited: &mut Awaited<Response>,
        down: &D,
    ) -> Result<Option<Result<Response, Error>>, Error>
    where
        D: Consumer<Exchange<Request, Response>>,
    {
        let mut call = pin!(answer(request, awaited, down));
        poll_fn(|task| {
            if let Poll::Ready(answered) = call.as_mut().poll(task) {
                return Poll::Ready(Ok(Some(answered)));
            }
            let is_over = self.poll_over(task)? || (self.is_forsaken() && peer.is_awaited());
            let _ = self.poll_flush(task)?;
            if is_over { Poll::Ready(Ok(None)) } else { Poll::Pending }
        })
        .await
    }

    /// Whether the host says that it has no use for the reply.
    fn poll_over(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        match self.poll_hear(task)? {
            Poll::Ready(Heard::Abort) => Ok(true),
            Poll::Ready(Heard::Request(_)) => Err(Error::invalid("reading a request: another is under way")),
            Poll::Pending => Ok(false),
        }
    }

    async fn give_up(&mut self) -> Result<Next, Error> {
        self.forget_body();
        let next = self.guest.abort(&mut self.output);
        poll_fn(|task| self.poll_flush(task)).await?;
        Ok(next)
    }

    /// Tells the operator why a request failed, and gives the reply that says so.
    fn failed(&mut self, asking: &Asking, error: &Error) -> Response {
        failed::log(asking.id, &asking.method, &asking.peer, error);
        if status_of(error.kind()).is_server_error() {
            let line = format!("{} {}: {}", asking.method, asking.path, failed::in_words(error));
            let told = self.guest.log(&line, &mut self.output);
            // Standard error is what a host logs of a program; unless the program has a log of its own.
            if !told && !tracing::dispatcher::has_been_set() {
                say(&line);
            }
        }
        failure(error)
    }

    async fn reply(&mut self, asking: &Asking, response: Response) -> Result<Next, Error> {
        let (head, body) = response.into_parts();
        // None of these wires needs a length: as over HTTP/1.1, what has none lasts until it ends.
        let plan = BodyPlan::of_response(&asking.method, Version::HTTP_11, head.status, body.length(), &head.headers);
        let length = match plan.announced {
            Announced::Length(length) => Some(length),
            Announced::Nothing | Announced::Chunked => None,
        };
        self.guest.head(&ReplyHead { status: head.status, headers: &head.headers, length }, &mut self.output);
        let mut sending = Sending::new(body, plan.framing);
        let sent = poll_fn(|task| {
            // What was said of the request's body may be what the reply's is waiting for.
            if self.poll_over(task)? {
                return Poll::Ready(Ok(None));
            }
            self.poll_send(&mut sending, task).map_ok(Some)
        });
        match sent.await {
            Ok(Some(next)) => Ok(next),
            Ok(None) => self.give_up().await,
            Err(error) => Err(match sending.has_failed {
                true => self.cut(asking, sending.left, error).await,
                false => error, // The connection has.
            }),
        }
    }

    /// Sends what there is of a reply.
    fn poll_send(&mut self, sending: &mut Sending, task: &mut Task<'_>) -> Poll<Result<Next, Error>> {
        loop {
            self.fill(sending, task)?;
            if self.output.is_empty() {
                return sending.next.map_or(Poll::Pending, |next| Poll::Ready(Ok(next)));
            }
            ready!(self.poll_flush(task))?;
        }
    }

    /// Encodes as much as there is room for.
    fn fill(&mut self, sending: &mut Sending, task: &mut Task<'_>) -> Result<(), Error> {
        while self.output.len() < OUTPUT_BYTES && sending.next.is_none() {
            if !sending.piece.is_empty() {
                let room = sending.piece.len().min(OUTPUT_BYTES - self.output.len());
                self.guest.body(&sending.piece.split_to(room), &mut self.output);
                continue;
            }
            match sending.poll_piece(task)? {
                Poll::Pending => break,
                Poll::Ready(Some(piece)) => sending.piece = piece,
                Poll::Ready(None) => sending.next = Some(self.guest.end(&mut self.output)),
            }
        }
        Ok(())
    }

    /// The reply cannot be completed. The host gets what there is of it, and notices.
    async fn cut(&mut self, asking: &Asking, left: Left, error: Error) -> Error {
        let error = Error::new(error.kind(), "sending a reply, which is cut").because(error);
        self.failed(asking, &error);
        let _ = poll_fn(|task| self.poll_flush(task)).await;
        if left == Left::All && !self.guest.tells_its_end() {
            self.connection.stream.reset();
        }
        error
    }
}

impl Asking {
    /// Who asked what was no request.
    fn of_nobody() -> Self {
        let peer = Peer::new(None, None);
        let id = RequestId { connection: peer.number(), sequence: 0 };
        Self { method: Method::GET, path: "?".into(), id, peer }
    }
}

/// Variables that are no request: the client's doing, but for those that no host leaves out.
fn no_request(error: VariableError) -> Error {
    let step = "reading a request's variables";
    match error {
        VariableError::NoMethod => Error::internal(step).because(error),
        error => Error::invalid(step).because(error),
    }
}

/// Says a line on standard error. Nobody may be there to read it, which is no reason to stop.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A reply's body on its way.
struct Sending {
    body: Body,
    left: Left,
    /// What was taken of it and has no place in the output yet.
    piece: Bytes,
    /// What comes after it, once all of it is encoded.
    next: Option<Next>,
    has_failed: bool,
}

/// How much of a body is to be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// So many bytes.
    Bytes(u64),
    /// Whatever it has.
    All,
}

impl Sending {
    fn new(body: Body, framing: Framing) -> Self {
        let left = match framing {
            Framing::Empty => Left::Bytes(0),
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked | Framing::UntilClose => Left::All,
        };
        Self { body, left, piece: Bytes::new(), next: None, has_failed: false }
    }

    /// The next bytes, one at least; `None` at the end.
    fn poll_piece(&mut self, task: &mut Task<'_>) -> Result<Poll<Option<Bytes>>, Error> {
        loop {
            if self.left == Left::Bytes(0) {
                return Ok(Poll::Ready(None));
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(task) else { return Ok(Poll::Pending) };
            let frame = frame.transpose().inspect_err(|_| self.has_failed = true)?;
            let Some(frame) = frame else { return self.ended() };
            let Ok(mut piece) = frame.into_data() else { continue };
            if let Left::Bytes(left) = &mut self.left {
                piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= piece.len() as u64;
            }
            if !piece.is_empty() {
                return Ok(Poll::Ready(Some(piece)));
            }
        }
    }

    fn ended(&mut self) -> Result<Poll<Option<Bytes>>, Error> {
        match self.left {
            Left::All => Ok(Poll::Ready(None)),
            Left::Bytes(left) => {
                self.has_failed = true;
                Err(Error::internal("reading a reply's body")
                    .because(format!("it is {left} bytes shorter than it said")))
            }
        }
    }
}
