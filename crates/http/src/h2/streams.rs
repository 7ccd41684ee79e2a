//! The streams of a connection that have something left to do, polled inside its task.
//!
//! Every stream has a place with a waker of its own, so that only those are polled that asked for it;
//! places are used again. A stream that is done when it was polled once, as most are, costs no
//! allocation.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use unary_net::Exchange;
use unary_service::Error;

use super::stream::{Admitted, Shared, Stream};
use crate::{Request, Response};

/// Places kept for later, with the room of a call each; more are there only while they are used.
const SPARE_MAX: usize = 4;

/// The streams under way. Whoever lets requests in bounds their number.
pub(super) struct Streams<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    woken: Arc<Woken>,
    /// Those woken that are being polled.
    batch: Vec<usize>,
}

struct Place<F> {
    stream: Option<Pin<Box<Stream<F>>>>,
    in_use: bool,
    waker: Waker,
    handle: Arc<Handle>,
}

/// Wakes one place.
struct Handle {
    place: usize,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

/// Places that asked to be polled, each at most once.
struct Woken {
    queue: Mutex<Vec<usize>>,
    bell: Waker,
}

impl<F: Future<Output = Result<(), Error>>> Streams<F> {
    /// None yet. `bell` is woken when one of them is to be polled.
    pub(super) fn new(bell: Waker) -> Self {
        let woken = Arc::new(Woken { queue: Mutex::default(), bell });
        Self { places: Vec::new(), free: Vec::new(), woken, batch: Vec::new() }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Begins a call, and runs it as far as it goes.
    pub(super) fn start(
        &mut self,
        admitted: Admitted,
        shared: &Shared,
        start: impl FnOnce(Exchange<Request, Response>) -> F,
    ) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::new(self.places.len(), &self.woken));
            self.places.len() - 1
        });
        let place = &mut self.places[at];
        place.in_use = true;
        place.stream.get_or_insert_with(|| Box::pin(Stream::default())).as_mut().begin(admitted, start);
        self.poll_one(at, shared);
    }

    /// Polls those that asked for it, once each: whoever asks again waits for the next turn.
    pub(super) fn poll(&mut self, shared: &Shared) {
        let mut batch = mem::take(&mut self.batch);
        mem::swap(&mut batch, &mut *self.woken.queue.lock().expect("no panic while the lock is held"));
        for at in batch.drain(..) {
            self.places[at].handle.queued.store(false, Ordering::Release);
            // It may have ended since, or have been woken by what an earlier one left behind.
            if self.places[at].in_use {
                self.poll_one(at, shared);
            }
        }
        self.batch = batch;
    }

    fn poll_one(&mut self, at: usize, shared: &Shared) {
        let place = &mut self.places[at];
        let Some(stream) = &mut place.stream else { return };
        if stream.as_mut().poll(&mut Context::from_waker(&place.waker), shared).is_ready() {
            place.in_use = false;
            if self.free.len() >= SPARE_MAX {
                place.stream = None;
            }
            self.free.push(at);
        }
    }
}

impl<F> Place<F> {
    fn new(at: usize, woken: &Arc<Woken>) -> Self {
        let handle = Arc::new(Handle { place: at, queued: AtomicBool::new(false), woken: woken.clone() });
        Self { stream: None, in_use: false, waker: Waker::from(handle.clone()), handle }
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.woken.queue.lock().expect("no panic while the lock is held").push(self.place);
            self.woken.bell.wake_by_ref();
        }
    }
}
