//! A log: `events >> lines >> write`, on a thread of its own, off the request path.
//!
//! Serving goes before logging. When lines cannot be written, or come faster than they can be, they
//! are lost, counted, and the loss is said on standard error.

mod losses;
mod named_file;
mod output;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use unary_service::Error;
use unary_service::flow::{Emitter, Events, Id, Line, events, map, sink};

pub(crate) use named_file::Rotation;
use output::Output;

/// After a write, lines gather for so long before the next one. Under load this makes one write, and
/// one waking of the thread that writes, of hundreds; a line by itself is written at once.
const GATHER: Duration = Duration::from_millis(10);

/// A write of so much is worth a waking: whoever has that much does not wait for more.
const WRITE_BYTES: usize = 16 * 1024;

/// How long the last lines have to be written when the program ends.
const END_MAX: Duration = Duration::from_secs(1);

/// How long the lines that were not have to be counted: as long as a wait that has begun, and some.
const COUNT_MAX: Duration = output::READER_MAX.saturating_add(Duration::from_secs(1));

/// Which log it is, and how many events may wait to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// As messages about it call it.
    pub(crate) name: &'static str,
    pub(crate) waiting_max: usize,
}

/// Where the lines go.
pub(crate) enum To {
    /// To standard output.
    Output,
    /// To the end of this file.
    File {
        path: PathBuf,
        /// When it is put aside; never unless told.
        rotation: Option<Rotation>,
    },
}

/// The thread that writes.
pub(crate) struct Writing {
    ended: Receiver<()>,
    hurry: Arc<AtomicBool>,
    reopen: Arc<Notify>,
    lost: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

/// Starts writing there what `lines` makes of events: whole lines.
pub(crate) fn start<T: Send + 'static>(
    kind: Kind,
    to: To,
    lines: impl Fn(Vec<T>) -> Vec<u8> + Send + Sync + 'static,
) -> Result<(Emitter<T>, Writing), Error> {
    let failed = |cause| Error::internal(format!("starting the {}", kind.name)).because(cause);
    let (emitter, source) = events(kind.waiting_max);
    let dropped = Emitter::dropped_counter(&emitter);
    let output = match to {
        To::Output => Output::of(kind.name, io::stdout(), dropped).map_err(failed)?,
        To::File { path, rotation } => {
            let opening = format!("opening {}", path.display());
            let opened = Output::named(kind.name, path, rotation, dropped);
            opened.map_err(|cause| Error::internal(opening).because(cause))?
        }
    };
    let (hurry, lost, reopen) = (output.hurry(), output.lost(), Arc::new(Notify::new()));
    let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (end, ended) = sync_channel(1);
    let is_over = Arc::new(AtomicBool::new(false));
    let (asked, over) = (reopen.clone(), is_over.clone());
    let write = move || {
        runtime.block_on(write(source, lines, output, &asked));
        over.store(true, Ordering::Release);
        let _ = end.send(());
    };
    thread::Builder::new().name(kind.name.replace(' ', "-")).spawn(write).map_err(failed)?;
    Ok((emitter, Writing { ended, hurry, reopen, lost, is_over }))
}

impl Writing {
    /// Opens the file anew, soon: somebody has put the old one aside.
    pub(crate) fn reopen(&self) {
        self.reopen.notify_one();
    }

    /// Whether the last line is written, and the file closed.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// How many lines were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until the last line has been written, but not for long: whatever takes the lines may
    /// have stopped taking them. What is left then is lost, and said. Nobody may emit any more by now. Says
    /// how many lines were lost.
    pub(crate) fn finish(self) -> u64 {
        if self.ended.recv_timeout(END_MAX).is_err() {
            self.hurry.store(true, Ordering::Relaxed);
            let _ = self.ended.recv_timeout(COUNT_MAX);
        }
        self.lost()
    }
}

/// Writes until the last emitter is gone.
async fn write<T: Send + 'static>(
    source: Line<Events<T>, Id>,
    lines: impl Fn(Vec<T>) -> Vec<u8> + Send + Sync + 'static,
    output: Output,
    asked: &Notify,
) {
    let output = Arc::new(Mutex::new(output));
    let write = {
        let output = output.clone();
        sink(move |lines: Vec<u8>| {
            lock(&output).write(&lines);
            let gather = if lines.len() < WRITE_BYTES { GATHER } else { Duration::ZERO };
            async move {
                tokio::time::sleep(gather).await;
                Ok(())
            }
        })
    };
    let line = source >> map(lines) >> write;
    tokio::select! {
        // Its last stage never fails, so neither does it: a line that ends early would log no more.
        _ = line.drive() => {}
        () = report(&output) => {}
        () = reopen(&output, asked) => {}
    }
    lock(&output).finish();
}

/// Says what there is to say of losses while no line comes to occasion it.
async fn report(output: &Mutex<Output>) {
    loop {
        tokio::time::sleep(losses::SAY_EVERY).await;
        lock(output).report();
    }
}

/// Opens the file anew whenever that is asked for.
async fn reopen(output: &Mutex<Output>, asked: &Notify) {
    loop {
        asked.notified().await;
        lock(output).reopen();
    }
}

fn lock(output: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
