//! The body of a request or a reply: nothing, bytes, part of a file, or a stream.

mod begun;
mod incoming;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};
use unary_net::file::{FileRange, READ_BYTES_MAX};
use unary_service::{Context, Error, HasContext, Kind as ErrorKind, Lasting};

pub use incoming::{Feed, Incoming, Wanted};

/// The body of a request or a reply. Implements [`http_body::Body`].
///
/// It also carries what must live as long as it: a request's [`Context`], and the permits,
/// deadline and log line of a call, which ends when its reply's body ends.
pub struct Body {
    pub(crate) kind: Kind,
    extras: Option<Box<Extras>>,
    context: Context,
}

pub(crate) enum Kind {
    Empty,
    Bytes(Bytes),
    File(FileRange),
    Incoming(Incoming),
    Stream(BoxBody),
}

type BoxBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error> + Send>>;

#[derive(Default)]
struct Extras {
    /// The last guard, and before it in the same piece of memory those that were there already.
    guards: Option<Box<dyn Send>>,
    deadline: Option<Pin<Box<Sleep>>>,
    reading: Option<ReadingFile>,
    counters: Counters,
}

/// Who counts the bytes that are taken. Most often that is one, who costs no allocation.
#[derive(Default)]
struct Counters {
    first: Option<Arc<AtomicU64>>,
    more: Vec<Arc<AtomicU64>>,
}

type ReadingFile = Pin<Box<dyn Future<Output = std::io::Result<Bytes>> + Send>>;

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self::of(Kind::Empty)
    }

    /// Part of an open file. Leaves by `sendfile` where the connection allows.
    pub fn file(range: FileRange) -> Self {
        Self::of(if range.length == 0 { Kind::Empty } else { Kind::File(range) })
    }

    /// Any other body, as hyper, axum and tower-http have them.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::of(Kind::Stream(Box::pin(Foreign { body })))
    }

    /// A stream whose errors are ours.
    pub(crate) fn boxed(body: impl http_body::Body<Data = Bytes, Error = Error> + Send + 'static) -> Self {
        Self::of(Kind::Stream(Box::pin(body)))
    }

    /// A body that is still arriving, as whoever serves a connection makes it: see [`Incoming::new`].
    pub fn incoming(incoming: Incoming) -> Self {
        Self::of(Kind::Incoming(incoming))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, extras: None, context: Context::default() }
    }

    /// Sets the context, as whoever makes a request does.
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// What travels with the request, to be set where it is.
    pub(crate) fn own_context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Its length in bytes, if that is known before it is read.
    #[inline]
    pub fn length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            _ => http_body::Body::size_hint(self).exact(),
        }
    }

    /// Counts in `sent` the bytes of it that are taken, by a connection or by whoever reads it. Of a
    /// connection that breaks off it is what the kernel has taken; over HTTP/2 it may be up to 64 KiB
    /// more, which waited for the peer's window. Others may count as well.
    pub fn counted(mut self, sent: Arc<AtomicU64>) -> Self {
        self.extras().counters.add(sent);
        self
    }

    /// So many bytes of it were taken, where they are: not through `poll_frame`.
    pub(crate) fn took(&self, bytes: u64) {
        if let Some(extras) = &self.extras {
            extras.counters.each(|counter| {
                counter.fetch_add(bytes, Ordering::Relaxed);
            });
        }
    }

    /// So many bytes that were taken never left.
    pub(crate) fn gave_back(&self, bytes: u64) {
        let Some(extras) = &self.extras else { return };
        extras.counters.each(|counter| {
            let less = |count: u64| Some(count.saturating_sub(bytes));
            let _ = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        });
    }

    /// Reads it to the end. Fails with [`Kind::TooLarge`](unary_service::Kind::TooLarge) once it
    /// is longer than `bytes_max`; trailers are dropped.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, Error> {
        if let Kind::Bytes(bytes) = &mut self.kind
            && bytes.len() <= bytes_max
        {
            let bytes = std::mem::take(bytes);
            self.took(bytes.len() as u64);
            return Ok(bytes);
        }
        let mut all = bytes::BytesMut::new();
        while let Some(bytes) = self.next_bytes().await? {
            if bytes.len() > bytes_max - all.len() {
                let limit = format!("longer than {bytes_max} bytes");
                return Err(Error::new(unary_service::Kind::TooLarge, "reading a body").because(limit));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// The next bytes of it; `None` at its end. Trailers are passed over.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let frame = std::future::poll_fn(|task| http_body::Body::poll_frame(Pin::new(&mut *self), task)).await;
            match frame.transpose()?.map(Frame::into_data) {
                None => return Ok(None),
                Some(Ok(bytes)) => return Ok(Some(bytes)),
                Some(Err(_trailers)) => {}
            }
        }
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether anything must be polled or kept beside the content itself.
    pub(crate) fn is_plain(&self) -> bool {
        self.extras.is_none()
    }

    /// The bytes of a body that has them all.
    #[inline]
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        if let Kind::Bytes(bytes) = &self.kind { Some(bytes) } else { None }
    }

    /// Whether a read of its file is under way.
    pub(crate) fn is_reading(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.reading.is_some())
    }

    /// What is left of a call whose reply hands the connection over: what the body held, without content.
    pub(crate) fn into_call(mut self) -> Self {
        self.kind = Kind::Empty;
        if let Some(deadline) = self.context.deadline {
            self.alarm(deadline);
        }
        self
    }

    /// When it fails, unless it is over by then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.extras.as_ref()?.deadline.as_ref()?.deadline())
    }

    fn alarm(&mut self, deadline: Instant) {
        self.extras().deadline = Some(Box::pin(tokio::time::sleep_until(deadline)));
    }

    /// Fails once the deadline has passed.
    pub(crate) fn poll_deadline(&mut self, task: &mut TaskContext<'_>) -> Result<(), Error> {
        let deadline = self.extras.as_mut().and_then(|extras| extras.deadline.as_mut());
        match deadline.map(|deadline| deadline.as_mut().poll(task)) {
            Some(Poll::Ready(())) => Err(Error::timeout("sending a body: the call's deadline passed")),
            _ => Ok(()),
        }
    }

    fn poll_file(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Kind::File(range) = &self.kind else { return Poll::Ready(Ok(None)) };
        let range = range.clone();
        let reading = self.extras().reading.get_or_insert_with(|| {
            let length = usize::try_from(range.length).unwrap_or(READ_BYTES_MAX);
            Box::pin(range.file.clone().read_at(range.offset, length.min(READ_BYTES_MAX)))
        });
        let bytes =
            ready!(reading.as_mut().poll(task)).map_err(|cause| Error::internal("reading a file").because(cause))?;
        self.extras().reading = None;
        if bytes.is_empty() {
            self.kind = Kind::Empty;
            return Poll::Ready(Err(Error::internal("reading a file: it is shorter than it was")));
        }
        let offset = range.offset + bytes.len() as u64;
        let length = range.length - bytes.len() as u64;
        self.kind = if length == 0 { Kind::Empty } else { Kind::File(FileRange { file: range.file, offset, length }) };
        Poll::Ready(Ok(Some(bytes)))
    }
}

impl Counters {
    fn add(&mut self, counter: Arc<AtomicU64>) {
        match self.first {
            None => self.first = Some(counter),
            Some(_) => self.more.push(counter),
        }
    }

    #[inline]
    fn each(&self, count: impl Fn(&AtomicU64)) {
        if let Some(first) = &self.first {
            count(first);
            self.more.iter().for_each(|counter| count(counter));
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        if let Err(late) = body.poll_deadline(task) {
            body.kind = Kind::Empty;
            return Poll::Ready(Some(Err(late)));
        }
        let frame = match &mut body.kind {
            Kind::Empty => None,
            Kind::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                body.kind = Kind::Empty;
                Some(Ok(Frame::data(bytes)))
            }
            Kind::File(_) => ready!(body.poll_file(task)).transpose().map(|bytes| bytes.map(Frame::data)),
            Kind::Incoming(incoming) => ready!(incoming.poll_frame(task)),
            Kind::Stream(stream) => ready!(stream.as_mut().poll_frame(task)),
        };
        if let Some(bytes) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            body.took(bytes.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Bytes(_) | Kind::File(_) => false,
            Kind::Incoming(incoming) => incoming.is_end_stream(),
            Kind::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::File(range) => SizeHint::with_exact(range.length),
            Kind::Incoming(incoming) => incoming.size_hint(),
            Kind::Stream(stream) => stream.size_hint(),
        }
    }
}

impl HasContext for Body {
    fn context(&self) -> Option<&Context> {
        Some(&self.context)
    }
    fn context_mut(&mut self) -> Option<&mut Context> {
        Some(&mut self.context)
    }
}

impl Lasting for Body {
    fn holding<G: Send + 'static>(mut self, guard: G) -> Self {
        let guards = &mut self.extras().guards;
        *guards = Some(match guards.take() {
            None => Box::new(guard),
            Some(earlier) => Box::new((earlier, guard)),
        });
        self
    }

    fn until(mut self, deadline: Instant) -> Self {
        let sooner = |set: &Pin<Box<Sleep>>| set.deadline() <= deadline;
        if matches!(self.kind, Kind::Empty | Kind::Bytes(_)) {
            // What is there already waits for nothing, unless its connection is handed over.
            let set = self.context.deadline.unwrap_or(deadline);
            self.context.deadline = Some(set.min(deadline));
        } else if !self.extras().deadline.as_ref().is_some_and(sooner) {
            self.alarm(deadline);
        }
        self
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::of(if bytes.is_empty() { Kind::Empty } else { Kind::Bytes(bytes) })
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "empty",
            Kind::Bytes(_) => "bytes",
            Kind::File(_) => "file",
            Kind::Incoming(_) => "incoming",
            Kind::Stream(_) => "stream",
        };
        f.debug_struct("Body").field("kind", &kind).field("length", &self.length()).finish_non_exhaustive()
    }
}

pin_project_lite::pin_project! {
    /// A body of another library, its error made ours.
    struct Foreign<B> { #[pin] body: B }
}

impl<B> http_body::Body for Foreign<B>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.project().body.poll_frame(task).map_err(|cause| ours(cause.into()))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Causes of causes that are looked at: libraries wrap an error twice or thrice.
const CAUSES_MAX: usize = 8;

/// An error that may have been ours before other libraries passed it on.
fn ours(cause: Box<dyn StdError + Send + Sync>) -> Error {
    match cause.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(cause) => {
            let causes = std::iter::successors(Some(&*cause as &(dyn StdError + 'static)), |&cause| cause.source());
            let kind = causes.take(CAUSES_MAX).find_map(kind_of).unwrap_or(ErrorKind::Internal);
            Error::new(kind, "producing a body").because(cause)
        }
    }
}

/// What kind of error it is, if it says so.
fn kind_of(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    if let Some(ours) = cause.downcast_ref::<Error>() {
        return Some(ours.kind());
    }
    let cause = cause.downcast_ref::<io::Error>()?;
    if let Some(ours) = cause.get_ref().and_then(|inside| inside.downcast_ref::<Error>()) {
        return Some(ours.kind());
    }
    match cause.kind() {
        io::ErrorKind::TimedOut => Some(ErrorKind::Timeout),
        kind => Some(Error::from(io::Error::from(kind)).kind()),
    }
}

#[cfg(test)]
mod tests;
