//! A body that is compressed while it is sent.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use unary_http::Body;
use unary_service::service::BoxFuture;
use unary_service::{Error, Kind, Pool};

use super::coder::{Coder, Step};

/// What a loop compresses at a time, in half a millisecond at most.
const SLICE_BYTES: usize = 16 * 1024;

/// After so much others get their turn on the loop.
const TURN_BYTES: usize = 2 * SLICE_BYTES;

/// What the pool compresses at a time.
const SLICE_BYTES_AWAY: usize = 64 * 1024;

/// How long to wait for the pool to take a slice, time after time: 1.5 s together. Half a body helps
/// nobody, and the next slice is not urgent.
const PAUSES_MS: [u64; 6] = [20, 50, 130, 300, 400, 600];

/// A body that is compressed while it is sent, as fast as it comes: nothing stays in the compressor
/// while the source has no more to give, so that events arrive when they are sent.
pub(super) struct Compressing {
    source: Body,
    /// `None` once all has come out.
    coder: Option<Arc<Mutex<Coder>>>,
    place: Place,
    /// What the source gave and the coder has not taken.
    input: Bytes,
    work: Work,
    /// The coder may hold something back.
    is_holding: bool,
    trailers: Option<HeaderMap>,
    /// How much has been compressed in this turn of the loop.
    turn_bytes: usize,
}

/// Where a coder works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On the event loop.
    Loop,
    /// On the shared pool.
    Pool,
}

enum Work {
    None,
    Done(Result<Vec<u8>, Error>),
    Away(BoxFuture<'static, Result<Vec<u8>, Error>>),
}

impl Compressing {
    /// Compresses what is left of `source`, which has given `first` already.
    pub(super) fn new(source: Body, first: Bytes, coder: Coder, place: Place) -> Self {
        Self {
            source,
            coder: Some(Arc::new(Mutex::new(coder))),
            place,
            input: first,
            work: Work::None,
            is_holding: false,
            trailers: None,
            turn_bytes: 0,
        }
    }

    fn begin(&mut self, coder: Arc<Mutex<Coder>>, step: Step) {
        self.work = match self.place {
            Place::Loop => Work::Done(run(&coder, step)),
            Place::Pool => Work::Away(Box::pin(run_away(coder, step))),
        };
    }

    /// Gives the next slice to the coder.
    fn begin_slice(&mut self, coder: Arc<Mutex<Coder>>) {
        let length = match self.place {
            Place::Loop => SLICE_BYTES,
            Place::Pool => SLICE_BYTES_AWAY,
        };
        let slice = self.input.split_to(length.min(self.input.len()));
        if self.place == Place::Loop {
            self.turn_bytes += slice.len();
        }
        self.is_holding = true;
        self.begin(coder, Step::Write(slice));
    }

    fn begin_end(&mut self, coder: Arc<Mutex<Coder>>) {
        self.coder = None;
        self.begin(coder, Step::Finish);
    }

    /// What the work under way gives, if there is any.
    fn poll_work(&mut self, task: &mut TaskContext<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let outcome = match mem::replace(&mut self.work, Work::None) {
            Work::None => return Poll::Ready(None),
            Work::Done(outcome) => outcome,
            Work::Away(mut work) => match work.as_mut().poll(task) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => {
                    self.work = Work::Away(work);
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(Some(outcome.map(Bytes::from)))
    }
}

impl http_body::Body for Compressing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.get_mut();
        loop {
            match ready!(body.poll_work(task)) {
                Some(Ok(out)) if out.is_empty() => {}
                Some(Ok(out)) => return Poll::Ready(Some(Ok(Frame::data(out)))),
                Some(Err(error)) => {
                    body.coder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {}
            }
            let Some(coder) = body.coder.clone() else {
                return Poll::Ready(body.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            };
            if body.turn_bytes >= TURN_BYTES {
                body.turn_bytes = 0;
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !body.input.is_empty() {
                body.begin_slice(coder);
                continue;
            }
            match Pin::new(&mut body.source).poll_frame(task) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => body.input = bytes,
                    Err(frame) => {
                        body.trailers = frame.into_trailers().ok();
                        body.begin_end(coder);
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    body.coder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => body.begin_end(coder),
                Poll::Pending if body.is_holding => {
                    body.is_holding = false;
                    body.begin(coder, Step::Flush);
                }
                Poll::Pending => {
                    body.turn_bytes = 0;
                    return Poll::Pending;
                }
            }
        }
    }
}

fn run(coder: &Mutex<Coder>, step: Step) -> Result<Vec<u8>, Error> {
    // A panic has ended the body it was in: nobody comes back to a poisoned one.
    coder.lock().unwrap_or_else(PoisonError::into_inner).run(step)
}

/// Does a step on the pool, which may have to make room first.
async fn run_away(coder: Arc<Mutex<Coder>>, step: Step) -> Result<Vec<u8>, Error> {
    let mut pauses = PAUSES_MS.into_iter();
    loop {
        let (coder, step) = (coder.clone(), step.clone());
        let outcome = Pool::shared().run(move || run(&coder, step)).await;
        match outcome {
            Err(error) if error.kind() == Kind::Overloaded => {
                let Some(pause_ms) = pauses.next() else { return Err(error) };
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            outcome => return outcome?,
        }
    }
}
