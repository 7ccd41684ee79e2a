//! The connection cap: a place for each connection, over all event loops, and never all of them for one client.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::Socket;
use crate::clients::{Client, Clients};
use crate::listener::Acceptor;

/// How often it is said, at most, that all places are taken.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The same of a client that was refused further ones.
const SAY_REFUSED_EVERY: Duration = Duration::from_secs(5);

/// How often connections had to wait for others to end, or were refused. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    waits: AtomicU64,
    refused: AtomicU64,
}

impl Waits {
    /// How often they had to wait, until now.
    pub fn count(&self) -> u64 {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// How many were closed at once, as their client held as many as one may.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

/// Places for connections. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    free: Semaphore,
    max: usize,
    /// How many of them one client may have; half, unless told.
    client_max: Option<usize>,
    /// Locked for a look-up, once as a connection comes and once as it goes.
    clients: Mutex<Clients>,
    waits: Waits,
    said: Said,
    said_refused: Said,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Places,
    client: Option<Client>,
}

impl Places {
    /// So many, of which one client may have half.
    pub(crate) fn new(max: usize) -> Self {
        Self::shared(max, None, Waits::default())
    }

    fn shared(max: usize, client_max: Option<usize>, waits: Waits) -> Self {
        Self(Arc::new(Inner {
            free: Semaphore::new(max),
            max,
            client_max,
            clients: Mutex::default(),
            waits,
            said: Said::default(),
            said_refused: Said::default(),
        }))
    }

    /// As many, of which one client may have so many.
    pub(crate) fn client_max(&self, client_max: usize) -> Self {
        Self::shared(self.0.max, Some(client_max.max(1)), self.waits())
    }

    /// So many, of which one client may have what was said of that.
    pub(crate) fn max(&self, max: usize) -> Self {
        Self::shared(max, self.0.client_max, self.waits())
    }

    fn share(&self) -> usize {
        self.0.client_max.unwrap_or(self.0.max.div_ceil(2))
    }

    /// Lets the next connection in. Who waits for one holds no place: it would be missing on another loop.
    pub(crate) async fn let_in(&self, acceptor: &Acceptor) -> io::Result<(Socket, Place)> {
        loop {
            let mut place = Some(self.take().await);
            let accepted = std::future::poll_fn(|task| {
                let Some(place) = place.take().or_else(|| self.try_take()) else { return Poll::Ready(None) };
                acceptor.poll_accept(task).map(|accepted| Some(accepted.and_then(|socket| place.of(socket))))
            });
            if let Some(accepted) = accepted.await {
                return accepted;
            }
        }
    }

    /// The same if somebody is there, and a place free: `WouldBlock` if not.
    pub(crate) fn let_in_now(&self, acceptor: &Acceptor) -> io::Result<(Socket, Place)> {
        let place = self.try_take().ok_or(io::ErrorKind::WouldBlock)?;
        place.of(acceptor.accept_now()?)
    }

    fn try_take(&self) -> Option<Place> {
        self.0.free.try_acquire().ok()?.forget();
        Some(Place { places: self.clone(), client: None })
    }

    async fn take(&self) -> Place {
        if let Some(place) = self.try_take() {
            return place;
        }
        self.say();
        self.0.free.acquire().await.expect("the semaphore is never closed").forget();
        Place { places: self.clone(), client: None }
    }

    /// Whether nobody has one.
    pub(crate) fn are_all_free(&self) -> bool {
        self.0.free.available_permits() == self.0.max
    }

    /// How often all of them were taken.
    pub(crate) fn waits(&self) -> Waits {
        self.0.waits.clone()
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        self.0.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn say(&self) {
        self.0.waits.0.waits.fetch_add(1, Ordering::Relaxed);
        if self.0.said.is_due(SAY_EVERY) {
            let max = self.0.max;
            tracing::warn!(max, "as many connections are open as there may be; further ones wait until others end");
        }
    }

    #[cold]
    fn say_refused(&self, socket: &Socket) {
        let refused = self.0.waits.0.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if self.0.said_refused.is_due(SAY_REFUSED_EVERY) {
            let (peer, max) = (socket.peer(), self.share());
            tracing::warn!(?peer, max, refused, "a client has as many connections as one may; further ones are closed");
        }
    }
}

impl Place {
    /// Gives it to a connection, unless its client has as many as one may. Whose address nobody knows, as
    /// over a Unix socket, is no single client.
    fn of(mut self, socket: Socket) -> io::Result<(Socket, Self)> {
        let Some(client) = socket.peer().address().map(|address| Client::from(address.ip())) else {
            return Ok((socket, self));
        };
        if !self.places.clients().take(client, self.places.share()) {
            self.places.say_refused(&socket);
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.client = Some(client);
        Ok((socket, self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.places.clients().give_back(client);
        }
        self.places.0.free.add_permits(1);
    }
}

/// When something was said last.
#[derive(Debug, Default)]
struct Said(Mutex<Option<Instant>>);

impl Said {
    /// Whether it is time to say it again, which the caller does.
    fn is_due(&self, every: Duration) -> bool {
        let (now, mut said) = (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let is_due = said.is_none_or(|said| now.duration_since(said) >= every);
        if is_due {
            *said = Some(now);
        }
        is_due
    }
}
