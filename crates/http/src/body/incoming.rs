//! A body that is still arriving: the service's end ([`Incoming`]) and the connection's ([`Feed`]).
//!
//! Between the two stands one chunk at most: the connection reads no further from the socket
//! until the service has taken what it has, so back-pressure reaches the peer.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use unary_service::{Error, Kind};

/// The service's end of a body that is still arriving.
pub struct Incoming {
    shared: Arc<Mutex<Shared>>,
    left: Option<u64>,
}

/// The connection's end. Dropped before the body is complete, it fails the reader as if the connection had ended.
pub struct Feed {
    shared: Arc<Mutex<Shared>>,
}

/// What the service has done about a body so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Not asked for (any more) yet.
    NotYet,
    /// It waits for bytes.
    Now,
    /// It dropped its end: nobody will read the rest.
    Never,
}

struct Shared {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    end: End,
    wanted: Wanted,
    reader: Option<Waker>,
    connection: Option<Waker>,
}

enum End {
    Open,
    Complete,
    Failed(Kind, &'static str),
}

impl Incoming {
    /// A body of `length` bytes, if that is known.
    pub fn new(length: Option<u64>) -> (Feed, Self) {
        let shared = Arc::new(Mutex::new(Shared {
            data: None,
            trailers: None,
            end: End::Open,
            wanted: Wanted::NotYet,
            reader: None,
            connection: None,
        }));
        (Feed { shared: shared.clone() }, Self { shared, left: length })
    }

    pub(crate) fn poll_frame(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut shared = lock(&self.shared);
        if let Some(data) = shared.data.take() {
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            shared.want(Wanted::NotYet);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match shared.end {
            End::Complete => Poll::Ready(shared.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            End::Failed(kind, step) => Poll::Ready(Some(Err(Error::new(kind, step)))),
            End::Open => {
                if !shared.reader.as_ref().is_some_and(|held| held.will_wake(task.waker())) {
                    shared.reader = Some(task.waker().clone());
                }
                shared.want(Wanted::Now);
                Poll::Pending
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let shared = lock(&self.shared);
        matches!(shared.end, End::Complete) && shared.data.is_none() && shared.trailers.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.data = None;
        shared.want(Wanted::Never);
    }
}

impl Feed {
    /// What the service wants now. The task is woken when that changes.
    pub fn poll_wanted(&self, task: &mut TaskContext<'_>) -> Wanted {
        let mut shared = lock(&self.shared);
        if !shared.connection.as_ref().is_some_and(|held| held.will_wake(task.waker())) {
            shared.connection = Some(task.waker().clone());
        }
        // A chunk that waits to be taken is no demand for another.
        if shared.data.is_some() && shared.wanted == Wanted::Now { Wanted::NotYet } else { shared.wanted }
    }

    /// Whether the service has gone, and wants no more.
    pub fn is_unwanted(&self) -> bool {
        lock(&self.shared).wanted == Wanted::Never
    }

    /// Whether there is room for a chunk.
    pub fn has_room(&self) -> bool {
        lock(&self.shared).data.is_none()
    }

    /// Hands a chunk over; only when there is room, or the one before is lost.
    pub fn push(&self, data: Bytes) {
        self.change(|shared| {
            debug_assert!(shared.data.is_none(), "a chunk was pushed where one waits");
            if shared.wanted != Wanted::Never {
                shared.data = Some(data);
            }
        });
    }

    /// The body has arrived whole.
    pub fn complete(&self, trailers: Option<HeaderMap>) {
        self.change(|shared| {
            shared.trailers = trailers;
            shared.end = End::Complete;
        });
    }

    /// The body will not arrive whole; the reader is told why.
    pub fn fail(&self, kind: Kind, step: &'static str) {
        self.change(|shared| {
            if matches!(shared.end, End::Open) {
                shared.end = End::Failed(kind, step);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        let mut shared = lock(&self.shared);
        change(&mut shared);
        let reader = shared.reader.take();
        drop(shared);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.fail(Kind::Closed, "reading a body: the connection ended inside it");
    }
}

impl Shared {
    fn want(&mut self, wanted: Wanted) {
        let changed = self.wanted != wanted;
        self.wanted = wanted;
        if changed && let Some(connection) = &self.connection {
            connection.wake_by_ref();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("no panic while the lock is held")
}
