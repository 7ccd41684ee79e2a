//! Makes a reply of a talk: whole if it has come whole, otherwise one that is read as it comes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use unary_gateway::cgi::head::Head;
use unary_gateway::cgi::reply::Part;
use unary_gateway::fastcgi::host::Values;
use unary_http::Body;
use unary_net::{Address, Connection, Transport, WhileThere};
use unary_service::{Error, Kind, Service};

use super::Trouble;
use super::dialect::Dialect;
use super::shelf::Shelf;
use super::talk::{Failure, Talk};
use super::wire::{Waiting, Wire};

/// How long a worker that was told that nobody wants its reply has to say that it is done, before the connection is
/// closed.
const ABORT_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a worker has to say how many connections it takes. It costs a worker that does not understand the question
/// as long, once.
const ASK_TIME_MAX: Duration = Duration::from_millis(100);

/// How long a worker has in all to do what it has to do once its reply is complete; longer where it may be silent for
/// longer amid a reply.
const REST_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// How much of what nobody wants is read for that, or once a reply is complete.
const REST_BYTES_MAX: usize = 1024 * 1024;

/// Whoever reads a body whose request failed is told this; the log has the rest.
const FAILED: &str = "reading a reply's body: the program failed amid it";

/// A talk under way. Dropped before it is over, it tells the worker so.
pub(crate) struct Live<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    /// `None` once it is over, and the connection given back or closed.
    talk: Option<Box<Talk<T, S>>>,
    shelf: Arc<Shelf<D, S>>,
}

impl<D, T, S> Live<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    pub(crate) fn new(talk: Talk<T, S>, shelf: Arc<Shelf<D, S>>) -> Self {
        Self { talk: Some(Box::new(talk)), shelf }
    }

    /// What the worker is called.
    pub(crate) fn worker(&self) -> &str {
        self.shelf.name()
    }

    /// The head of the reply. After a failure the talk is taken out of here with [`fail`](Self::fail).
    pub(crate) async fn head(&mut self) -> Result<Head, Failure> {
        poll_fn(|task| {
            let Some(talk) = &mut self.talk else { return Poll::Pending };
            let part = talk.poll_part(task, &self.shelf);
            if talk.has_answered() {
                self.shelf.answered(&mut talk.wire);
            }
            Poll::Ready(match ready!(part)? {
                Some(Part::Head(head)) => Ok(head),
                _ => Err(Failure::Trouble(Trouble::new(Kind::Upstream, "reading the reply of").because("it is empty"))),
            })
        })
        .await
    }

    /// Ends it where it failed: its connection closes.
    pub(crate) fn fail(&mut self, failure: &Failure) -> Option<Box<Talk<T, S>>> {
        let talk = self.talk.take()?;
        match failure {
            Failure::Trouble(_) => talk.is_lost(),
            // The worker may go on with the part that it has.
            Failure::Body(_) => {
                abandon(talk, &self.shelf);
                return None;
            }
            Failure::NotBegun(_) | Failure::Lost(..) => {}
        }
        Some(talk)
    }

    /// Lets the worker finish what it has to do: nobody needs more of its reply.
    pub(crate) fn let_go(mut self) {
        match self.talk.take() {
            Some(talk) if talk.may_rest() => give_back(talk, &self.shelf),
            Some(talk) if !talk.is_over() => wind_down(talk, self.shelf.clone(), Rest::Complete),
            _ => {}
        }
    }

    /// The body of the reply that has this head.
    /// `waiting` says for as long as it is awaited that somebody is there for whom it is.
    pub(crate) fn body(mut self, headers: &HeaderMap, waiting: Option<WhileThere>) -> Result<Body, Error> {
        let Some(talk) = &mut self.talk else { return Ok(Body::empty()) };
        let mut here = BytesMut::new();
        let mut first = Bytes::new();
        loop {
            match talk.part_now(&self.shelf) {
                Ok(Some(Part::Body(bytes))) if first.is_empty() => first = bytes,
                Ok(Some(Part::Body(bytes))) => here.extend_from_slice(&bytes),
                Ok(Some(Part::Head(_)) | None) => break,
                Err(failure) => {
                    self.fail(&failure);
                    return Err(error_of(failure, self.shelf.name()));
                }
            }
        }
        if !here.is_empty() {
            let mut all = BytesMut::with_capacity(first.len() + here.len());
            all.extend_from_slice(&first);
            all.extend_from_slice(&here);
            first = all.freeze();
        }
        if talk.is_over() || talk.is_complete() {
            self.finish();
            return Ok(first.into());
        }
        let is_sending = talk.is_sending();
        let left = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let arriving = Arriving { live: self, here: first, left, _waiting: waiting };
        Ok(if is_sending { arriving.pumped() } else { Body::stream(arriving) })
    }

    /// Gives the connection back, reads what is left, or closes it.
    fn finish(&mut self) {
        let Some(talk) = self.talk.take() else { return };
        if talk.may_rest() {
            give_back(talk, &self.shelf);
        } else if !talk.is_over() && talk.is_complete() {
            wind_down(talk, self.shelf.clone(), Rest::Complete);
        }
    }
}

impl<D, T, S> Drop for Live<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    fn drop(&mut self) {
        if let Some(talk) = self.talk.take() {
            abandon(talk, &self.shelf);
        }
    }
}

/// Nobody wants the reply any more. The worker is told so where there are words for it, and one of a pool is busy until
/// it is done: its connection does not close before, for a moment.
fn abandon<D, T, S>(talk: Box<Talk<T, S>>, shelf: &Arc<Shelf<D, S>>)
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    if talk.may_rest() {
        give_back(talk, shelf);
    } else if (T::KEEPS || talk.is_engaged()) && !talk.is_over() {
        wind_down(talk, shelf.clone(), Rest::Unwanted);
    }
}

/// Keeps the connection for another call; before the second, the worker is asked how many it takes. Of those of a pool
/// that is known.
fn give_back<D, T, S>(talk: Box<Talk<T, S>>, shelf: &Arc<Shelf<D, S>>)
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    match Handle::try_current() {
        Ok(event_loop) if T::ASKS && !talk.is_engaged() && shelf.may_ask() => {
            let shelf = shelf.clone();
            event_loop.spawn(async move {
                let mut wire = talk.wire;
                wire.wire.rest();
                if let Ok(Some(answer)) = timeout(ASK_TIME_MAX, ask::<T, S>(&mut wire.wire)).await {
                    let worker = shelf.name();
                    tracing::debug!(worker, connections = answer.connections_max, "how many connections it takes");
                    if let Some(connections) = answer.connections_max {
                        shelf.says(usize::try_from(connections).unwrap_or(usize::MAX));
                    }
                    shelf.give_back(wire);
                }
            });
        }
        _ => shelf.give_back(talk.wire),
    }
}

/// What a worker says of itself; `None` if it says something else, or closes the connection. PHP does so after its
/// answer, which is no matter: the connection was at rest.
async fn ask<T: Dialect, S: Transport>(wire: &mut Wire<S>) -> Option<Values> {
    T::put_question(&mut wire.output);
    poll_fn(|task| wire.poll_flush(task)).await.ok()?;
    loop {
        if let Some(answer) = T::decode_answer(&mut wire.input).ok()? {
            return Some(answer);
        }
        match poll_fn(|task| wire.poll_read(task, Waiting::Head)).await {
            Ok(1..) => {}
            _ => return None,
        }
    }
}

/// What is left of a talk that nobody listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// The worker is told.
    Unwanted,
    /// The reply is complete; the worker may have more to do.
    Complete,
}

/// Waits, off the request's path, for the worker to be done.
fn wind_down<D, T, S>(mut talk: Box<Talk<T, S>>, shelf: Arc<Shelf<D, S>>, rest: Rest)
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    // Without an event loop nothing can be said any more: the connection closes.
    let Ok(event_loop) = Handle::try_current() else { return };
    let (silence_max, time_max) = match rest {
        Rest::Complete => {
            let stall_time_max = shelf.settings().stall_time_max;
            (stall_time_max, stall_time_max.max(REST_TIME_MAX))
        }
        Rest::Unwanted => {
            talk.abort();
            (ABORT_TIME_MAX, ABORT_TIME_MAX)
        }
    };
    event_loop.spawn(async move {
        let reading = async {
            let mut read = 0;
            while read <= REST_BYTES_MAX {
                match timeout(silence_max, poll_fn(|task| talk.poll_rest(task, &shelf))).await {
                    Ok(Some(bytes)) => read += bytes,
                    Ok(None) | Err(_) => break,
                }
            }
        };
        let _ = timeout(time_max, reading).await;
        if talk.may_rest() {
            shelf.give_back(talk.wire);
        } else if !talk.is_over() {
            talk.is_lost();
        }
    });
}

/// A body that reads as it is read. Dropped before its end, it tells the worker.
struct Arriving<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    live: Live<D, T, S>,
    /// What has come with the head.
    here: Bytes,
    left: Option<u64>,
    _waiting: Option<WhileThere>,
}

impl<D, T, S> Arriving<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    /// The next bytes; `None` at the end.
    fn poll_bytes(&mut self, task: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        if !self.here.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.here))));
        }
        let Some(talk) = &mut self.live.talk else { return Poll::Ready(Ok(None)) };
        match ready!(talk.poll_part(task, &self.live.shelf)) {
            Ok(Some(Part::Body(bytes))) => Poll::Ready(Ok(Some(bytes))),
            Ok(_) => {
                self.live.finish();
                Poll::Ready(Ok(None))
            }
            Err(failure) => {
                self.live.fail(&failure);
                Poll::Ready(Err(failure))
            }
        }
    }

    /// The same driven by a task, since the request is still being sent: whoever reads the reply would stop it whenever
    /// they do not read, and a client that sends all before it reads would wait for ever.
    fn pumped(mut self) -> Body {
        let (sender, receiver) = mpsc::channel(1);
        let left = self.left;
        tokio::spawn(async move {
            loop {
                // While nobody takes what is there, the request alone moves on.
                let permit = tokio::select! {
                    biased;
                    permit = sender.reserve() => permit,
                    failure = self.send() => {
                        self.say(failure, &sender).await;
                        return;
                    }
                };
                let Ok(permit) = permit else { return }; // Nobody wants it any more.
                let bytes = tokio::select! {
                    biased;
                    bytes = poll_fn(|task| self.poll_bytes(task)) => bytes,
                    () = sender.closed() => return,
                };
                match bytes {
                    Ok(Some(bytes)) => permit.send(Ok(bytes)),
                    Ok(None) => return,
                    Err(failure) => {
                        drop(permit);
                        self.say(failure, &sender).await;
                        return;
                    }
                }
            }
        });
        Body::stream(Pumped { receiver, left })
    }

    /// Moves the request on. Never ready, but for a failure.
    async fn send(&mut self) -> Failure {
        poll_fn(|task| match self.live.talk.as_mut().map(|talk| talk.poll_send(task)) {
            Some(Err(failure)) => Poll::Ready(failure),
            _ => Poll::Pending,
        })
        .await
    }

    async fn say(&mut self, failure: Failure, sender: &mpsc::Sender<Result<Bytes, Error>>) {
        self.live.fail(&failure);
        let error = error_of(failure, self.live.shelf.name());
        let kind = error.kind();
        tracing::debug!(%error, "a program failed after its reply had begun");
        let _ = sender.send(Err(Error::new(kind, FAILED).because(error))).await;
    }
}

impl<D, T, S> HttpBody for Arriving<D, T, S>
where
    D: Service<Address, Reply = Connection<S>> + 'static,
    T: Dialect,
    S: Transport,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let bytes = ready!(this.poll_bytes(task)).map_err(|failure| error_of(failure, this.live.shelf.name()));
        Poll::Ready(count(bytes.transpose(), &mut this.left))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

struct Pumped {
    receiver: mpsc::Receiver<Result<Bytes, Error>>,
    left: Option<u64>,
}

impl HttpBody for Pumped {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        let bytes = ready!(this.receiver.poll_recv(task));
        Poll::Ready(count(bytes, &mut this.left))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn count(bytes: Option<Result<Bytes, Error>>, left: &mut Option<u64>) -> Option<Result<Frame<Bytes>, Error>> {
    bytes.map(|bytes| {
        bytes.map(|bytes| {
            *left = left.map(|left| left.saturating_sub(bytes.len() as u64));
            Frame::data(bytes)
        })
    })
}

/// The error a failure is, once there is nothing to try again.
pub(crate) fn error_of(failure: Failure, worker: &str) -> Error {
    match failure {
        Failure::Body(error) => error,
        Failure::NotBegun(trouble) | Failure::Lost(_, trouble) | Failure::Trouble(trouble) => trouble.with(worker),
    }
}
