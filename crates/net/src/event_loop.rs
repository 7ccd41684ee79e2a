//! Event loops: one single-threaded runtime per core, each serving its own connections.
//!
//! There is no work stealing and no lock shared between cores on the request path. Each loop accepts
//! from TCP sockets of its own: see [`listener`](crate::listener).

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use unary_service::Error;
use unary_service::flow::{Consumer, Forked, Line, Producer, Queued, Transducer};

use crate::pipeline::drain::Phase;
use crate::{Address, Drain, Pulse};

/// How long connections have to finish once the server is told to stop.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(30);

/// How long a loop still runs once draining is over, for connections to notice.
const OVER_GRACE: Duration = Duration::from_millis(500);

/// Where a server's items come from: a producer that several loops can share.
pub trait Source: Producer + Clone {
    /// Acquires what it needs (binds its sockets), and says where it can be reached.
    fn prepare(&mut self) -> Result<Vec<Address>, Error>;

    /// What tells it, and all that came out of it, to stop.
    fn drain(&self) -> Drain;
}

impl<P: Source + 'static, C: Transducer<P::Item> + 'static> Source for Queued<Line<P, Arc<C>>>
where
    C::Out: 'static,
{
    fn prepare(&mut self) -> Result<Vec<Address>, Error> {
        self.line.producer_mut().prepare()
    }
    fn drain(&self) -> Drain {
        self.line.producer().drain()
    }
}

impl<P: Source + 'static, C: Transducer<P::Item> + 'static> Source for Forked<Line<P, Arc<C>>>
where
    C::Out: 'static,
{
    fn prepare(&mut self) -> Result<Vec<Address>, Error> {
        self.line.producer_mut().prepare()
    }
    fn drain(&self) -> Drain {
        self.line.producer().drain()
    }
}

/// Runs a finished line as a server: `(listen(…) >> … >> reply()).run()`.
pub trait Run {
    /// Runs it on one event loop per core until SIGTERM or SIGINT, then drains. See
    /// [`EventLoops`] for other ways.
    fn run(self) -> Result<(), Error>;

    /// Runs it on these event loops.
    fn run_on(self, loops: EventLoops) -> Result<(), Error>;
}

impl<P, C> Run for Line<P, C>
where
    P: Source + 'static,
    C: Transducer<P::Item, Out = ()> + 'static,
{
    fn run(self) -> Result<(), Error> {
        self.run_on(EventLoops::new())
    }

    fn run_on(self, loops: EventLoops) -> Result<(), Error> {
        loops.run(self)
    }
}

/// How many event loops, and how they end.
pub struct EventLoops {
    threads: usize,
    drain_deadline: Duration,
    ready: Ready,
    stopping: Box<dyn FnOnce()>,
    pulse: Option<Pulse>,
}

type Ready = Box<dyn FnOnce(&[Address])>;

impl EventLoops {
    /// One loop per core this process may use; says on standard error where it listens.
    pub fn new() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (ready, stopping) = (Box::new(say_where), Box::new(|| {}));
        Self { threads, drain_deadline: DRAIN_DEADLINE, ready, stopping, pulse: None }
    }

    /// This many loops instead, at least one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// How long connections have to finish once the server is told to stop. 30 s by default.
    pub fn drain_deadline(mut self, deadline: Duration) -> Self {
        self.drain_deadline = deadline;
        self
    }

    /// What to do once the sockets listen, instead of saying so.
    pub fn ready(mut self, ready: impl FnOnce(&[Address]) + 'static) -> Self {
        self.ready = Box::new(ready);
        self
    }

    /// What to do when the server is told to stop and begins to drain: nothing, unless it is said.
    pub fn stopping(mut self, stopping: impl FnOnce() + 'static) -> Self {
        self.stopping = Box::new(stopping);
        self
    }

    /// Lets the loops beat, for somebody who watches whether they turn.
    pub fn pulse(mut self, pulse: &Pulse) -> Self {
        self.pulse = Some(pulse.clone());
        self
    }

    fn run<P, C>(self, line: Line<P, C>) -> Result<(), Error>
    where
        P: Source + 'static,
        C: Transducer<P::Item, Out = ()> + 'static,
    {
        let (mut source, down) = line.into_parts();
        let down = Arc::new(down);
        let drain = source.drain();
        // Signals are caught before anybody can find that we are there.
        let first = event_loop(self.pulse.as_ref())?;
        let stop = {
            let _inside = first.enter();
            stop_on_signal(drain.clone(), self.drain_deadline, self.stopping)?
        };
        let addresses = source.prepare()?;
        let mut threads = Vec::new();
        let (begin, begun) = sync_channel(self.threads);
        for index in 1..self.threads {
            let (source, down, drain, begin) = (source.clone(), down.clone(), drain.clone(), begin.clone());
            let pulse = self.pulse.clone();
            let work = move || {
                let begin = move || {
                    let _ = begin.send(());
                };
                let event_loop = event_loop(pulse.as_ref());
                let result = event_loop.and_then(|event_loop| event_loop.block_on(drive(source, down, begin)));
                if result.is_err() {
                    drain.expire(); // One loop less would go unnoticed; stopping does not.
                }
                result
            };
            let thread = thread::Builder::new().name(format!("loop-{index}")).spawn(work);
            threads.push(thread.map_err(|cause| Error::internal("starting an event loop").because(cause))?);
        }
        drop(begin);
        let mut result = Ok(());
        // Each thread says that it has begun; one that failed says why when it is joined.
        if begun.iter().count() == threads.len() {
            result = first.block_on(async {
                tokio::select! {
                    result = drive(source, down, || (self.ready)(&addresses)) => result,
                    never = stop => never,
                }
            });
        }
        if result.is_err() {
            drain.expire();
        }
        for thread in threads {
            let panicked = |payload: Box<dyn std::any::Any + Send>| Error::panicked("running an event loop", &*payload);
            result = result.and(thread.join().unwrap_or_else(|payload| Err(panicked(payload))));
        }
        drop(first);
        result
    }
}

impl Default for EventLoops {
    fn default() -> Self {
        Self::new()
    }
}

/// Drives a source until it ends, or draining is over: a stage that hangs must not outlast that.
/// `begin` is called once its sockets are in the event loop, unless that fails.
async fn drive<P: Source, D>(source: P, down: D, begin: impl FnOnce()) -> Result<(), Error>
where
    D: Consumer<P::Item> + 'static,
{
    let mut watch = source.drain().watch(0);
    let mut driven = pin!(source.drive(down));
    let polled = poll_fn(|task| Poll::Ready(driven.as_mut().poll(task))).await;
    if !matches!(polled, Poll::Ready(Err(_))) {
        begin();
    }
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let over = async {
                watch.reached(Phase::Over).await;
                tokio::time::sleep(OVER_GRACE).await;
            };
            tokio::select! { result = driven => result, () = over => Ok(()) }
        }
    }
}

fn say_where(addresses: &[Address]) {
    for address in addresses {
        // Nobody may be there to read it, which is no reason to stop.
        let _ = writeln!(io::stderr(), "listening on {address}");
    }
}

fn event_loop(pulse: Option<&Pulse>) -> Result<Runtime, Error> {
    let built = Builder::new_current_thread().enable_all().build();
    let event_loop = built.map_err(|cause| Error::internal("starting an event loop").because(cause))?;
    if let Some(pulse) = pulse {
        event_loop.spawn(pulse.beating());
    }
    Ok(event_loop)
}

/// Drains on the first SIGTERM or SIGINT, and gives up what is left at the deadline or at the
/// second.
fn stop_on_signal(
    drain: Drain,
    deadline: Duration,
    stopping: Box<dyn FnOnce()>,
) -> Result<impl Future<Output = Result<(), Error>>, Error> {
    let failed = |cause| Error::internal("catching signals").because(cause);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let wait = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        drain.start();
        stopping();
        tokio::select! {
            () = tokio::time::sleep(deadline) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        drain.expire();
        std::future::pending().await
    };
    Ok(wait)
}

/// How long one task may hold its event loop before a debug build says so.
const HOLD_MAX: Duration = Duration::from_millis(10);

/// In a debug build, names whatever holds its event loop for 10 ms; otherwise nothing at all.
pub(crate) fn named<D, F: Future<Output = ()>>(task: F) -> impl Future<Output = ()> + use<D, F> {
    if cfg!(debug_assertions) {
        futures_util::future::Either::Left(Held { task: Box::pin(task), what: std::any::type_name::<D>() })
    } else {
        futures_util::future::Either::Right(task)
    }
}

struct Held<F> {
    task: Pin<Box<F>>,
    what: &'static str,
}

impl<F: Future<Output = ()>> Future for Held<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let begun = Instant::now();
        let polled = self.task.as_mut().poll(task);
        let held = begun.elapsed();
        if held >= HOLD_MAX {
            tracing::warn!(
                ?held,
                what = self.what,
                "something held the event loop; `offload` runs long calculations elsewhere"
            );
        }
        polled
    }
}
