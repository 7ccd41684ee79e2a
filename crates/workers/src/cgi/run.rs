//! One run of a program, from its start until nothing of it is left: its input is fed, its errors are logged, its end
//! is waited for, and is brought about where it does not come.
//!
//! A task of its own, since a program may outlast its reply: the reply ends with the program's output, and what it does
//! after that is its own affair, for as long as it may run at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use unary_service::Error;
use unary_service::context::RequestId;

use super::input::Feed;
use super::output;
use super::places::Place;
use crate::spawner::{Exit, Launch, Running, Signal, Spawner};
use crate::voice::{Lines, Voice};

/// How long what a program has started may hold its output open once the program itself has ended.
pub const LINGER_MAX: Duration = Duration::from_secs(1);

/// Whatever starts programs: the keeper, as a [`Spawner`] asks it.
pub trait Start: Send + Sync {
    /// A program that runs.
    type Running: Process;

    /// Starts one.
    fn start(&self, launch: Launch) -> impl Future<Output = Result<Self::Running, Error>> + Send;
}

/// A program that runs. Dropped, it is ended, with all it has started.
pub trait Process: Send + Sync + 'static {
    /// Waits until it has ended. May be given up and asked again.
    fn exited(&self) -> impl Future<Output = Exit> + Send;

    /// Sends a signal to it and to all it has started.
    fn signal(&self, signal: Signal);
}

impl Start for Spawner {
    type Running = Running;

    async fn start(&self, launch: Launch) -> Result<Running, Error> {
        self.spawn(launch).await
    }
}

impl Process for Running {
    async fn exited(&self) -> Exit {
        Running::exited(self).await
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = Running::signal(self, signal) {
            tracing::debug!(%error, program = self.program(), "a program could not be signalled");
        }
    }
}

/// For whom it runs, and for how long it may.
pub(super) struct Terms {
    pub(super) id: RequestId,
    pub(super) begun: Instant,
    pub(super) time: Duration,
    pub(super) stop_time: Duration,
    /// How it is told that nobody waits for its reply any more.
    pub(super) gone_signal: Signal,
}

/// How a reply came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The reply is whole: the program may go on.
    Answered,
    /// It took too long, or made no sense.
    Failed,
    /// Nobody waits for it any more.
    Gone,
}

/// The reply's hold on a run. Dropped, it says that nobody waits for the reply any more.
#[derive(Debug)]
pub(super) struct Run {
    end: Option<oneshot::Sender<End>>,
    /// Says that no output is to be waited for any more: the program has ended.
    pub(super) cut: oneshot::Receiver<()>,
    fed_ms: Arc<AtomicU64>,
}

impl Run {
    pub(super) fn end(&mut self, end: End) {
        if let Some(sender) = self.end.take() {
            let _ = sender.send(end); // Nobody hears it where all is over.
        }
    }

    /// When the program was last given anything to read, in milliseconds after its start.
    pub(super) fn fed_ms(&self) -> u64 {
        self.fed_ms.load(Ordering::Relaxed)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end(End::Gone);
    }
}

/// Looks after a program from now on.
pub(super) fn begin<P: Process>(
    process: P,
    terms: Terms,
    feed: Option<Feed>,
    errors: Receiver,
    voice: Arc<Voice>,
    place: Place,
) -> Run {
    let (end, ended) = oneshot::channel();
    let (cut, is_cut) = oneshot::channel();
    let fed_ms = Arc::new(AtomicU64::new(0));
    let fed = fed_ms.clone();
    tokio::spawn(async move {
        attend(process, terms, feed, errors, &voice, ended, cut, &fed).await;
        drop(place);
    });
    Run { end: Some(end), cut: is_cut, fed_ms }
}

#[expect(clippy::too_many_arguments, reason = "they are what a run is made of, and this is its one caller")]
async fn attend<P: Process>(
    process: P,
    terms: Terms,
    feed: Option<Feed>,
    errors: Receiver,
    voice: &Voice,
    mut ended: oneshot::Receiver<End>,
    cut: oneshot::Sender<()>,
    fed_ms: &AtomicU64,
) {
    let id = terms.id;
    let mut errors = std::pin::pin!(hear(errors, voice, id));
    let mut feeding = std::pin::pin!(async {
        match feed {
            Some(feed) => feed.run(|| note(fed_ms, terms.begun)).await,
            None => Ok(()),
        }
    });
    let (mut heard, mut fed, mut is_answered) = (false, false, false);
    let left = {
        let mut exited = std::pin::pin!(process.exited());
        let mut late = std::pin::pin!(sleep_until(terms.begun + terms.time));
        loop {
            tokio::select! {
                exit = &mut exited => break Left::ByItself(exit),
                () = &mut late => break Left::ToBeTold(Signal::TERM),
                end = &mut ended, if !is_answered => match end {
                    Ok(End::Answered) => is_answered = true,
                    Ok(End::Failed) => break Left::WithoutReply,
                    Ok(End::Gone) | Err(_) => break Left::ToBeTold(terms.gone_signal),
                },
                () = &mut errors, if !heard => heard = true,
                outcome = &mut feeding, if !fed => {
                    fed = true;
                    if outcome.is_err() {
                        break Left::ToBeTold(terms.gone_signal); // What it has read is not what was to be sent.
                    }
                }
            }
        }
    };
    // One that writes to somebody who has gone ends by that signal, and nothing is wrong with it.
    let say = |exit: Exit, told: Option<Signal>| {
        let is_expected = |signal: Signal| exit == Exit::Signal(signal.as_raw());
        if !exit.is_success() && !is_expected(Signal::PIPE) && !told.is_some_and(is_expected) {
            voice.ended(id, &exit.to_string());
        }
    };
    match left {
        Left::ByItself(exit) => say(exit, None),
        Left::ToBeTold(_) | Left::WithoutReply => {
            let signal = if let Left::ToBeTold(signal) = left { signal } else { Signal::TERM };
            process.signal(signal);
            let exited = async {
                tokio::select! {
                    exit = process.exited() => exit,
                    // Its last words are heard, too.
                    exit = async { if !heard { errors.as_mut().await; heard = true; } std::future::pending().await } => exit,
                }
            };
            let exit = timeout(terms.stop_time, exited).await;
            if let (Left::WithoutReply, Ok(exit)) = (&left, exit) {
                say(exit, Some(signal)); // That it has failed may be why its reply has.
            }
        }
    }
    // What it has started may have something to say yet, but nobody waits for that for long.
    let silent = async {
        if !heard {
            errors.await;
        }
        if !is_answered && matches!(left, Left::ByItself(_)) {
            let _ = ended.await; // Its reply may have more to read, and no end.
        }
    };
    tokio::select! {
        () = silent => {}
        () = sleep(LINGER_MAX) => {}
    }
    let _ = cut.send(());
}

/// How a run comes to its end.
enum Left {
    ByItself(Exit),
    ToBeTold(Signal),
    /// It is to end, having written no reply, or part of one.
    WithoutReply,
}

/// Logs what comes, to its end.
async fn hear(errors: Receiver, voice: &Voice, id: RequestId) {
    let mut lines = Lines::default();
    while let Ok(Some(bytes)) = output::next(&errors).await {
        lines.add(&bytes, |line| voice.line(id, line));
    }
    lines.end(|line| voice.line(id, line));
}

fn note(fed_ms: &AtomicU64, begun: Instant) {
    let since = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    fed_ms.store(since, Ordering::Relaxed);
}
