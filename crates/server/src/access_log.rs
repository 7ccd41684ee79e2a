//! The access log: `events >> format >> write`, on a thread of its own, off the request path.
//!
//! Serving goes before logging. When lines cannot be written, or come faster than they can be, they
//! are lost, counted, and the loss is said on standard error.

mod clock;
mod combined;
mod custom;
mod field;
mod json;
mod line;
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
use unary_web::filter::AccessLog;
use unary_web::filter::access_log::Access;

pub(crate) use field::Field;
pub(crate) use line::Format;
pub(crate) use named_file::Rotation;
use output::Output;

/// Requests whose lines may wait to be written. About a second's worth for a busy core: a few
/// megabytes, and 25 MiB if each of them is as long as it may be.
const WAITING_MAX: usize = 8192;

/// After a write, lines gather for so long before the next one. Under load this makes one write, and
/// one waking of the thread that writes, of hundreds; a line by itself is written at once.
const GATHER: Duration = Duration::from_millis(10);

/// A write of so much is worth a waking: whoever has that much does not wait for more.
const WRITE_BYTES: usize = 16 * 1024;

/// How long the last lines have to be written when the program ends.
const END_MAX: Duration = Duration::from_secs(1);

/// How long the lines that were not have to be counted: as long as a wait that has begun, and some.
const COUNT_MAX: Duration = output::READER_MAX.saturating_add(Duration::from_secs(1));

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
}

/// Starts writing there.
pub(crate) fn start(to: To, format: Format) -> Result<(AccessLog, Writing), Error> {
    let failed = |cause| Error::internal("starting the access log").because(cause);
    let (emitter, source) = events(WAITING_MAX);
    let dropped = Emitter::dropped_counter(&emitter);
    let output = match to {
        To::Output => Output::of(io::stdout(), dropped).map_err(failed)?,
        To::File { path, rotation } => {
            let opening = format!("opening {}", path.display());
            Output::named(path, rotation, dropped).map_err(|cause| Error::internal(opening).because(cause))?
        }
    };
    let (hurry, lost, reopen) = (output.hurry(), output.lost(), Arc::new(Notify::new()));
    let log = AccessLog::new(emitter).keeping(format.detail());
    let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (end, ended) = sync_channel(1);
    let asked = reopen.clone();
    let write = move || {
        runtime.block_on(write(source, format, output, &asked));
        let _ = end.send(());
    };
    thread::Builder::new().name("access-log".to_owned()).spawn(write).map_err(failed)?;
    Ok((log, Writing { ended, hurry, reopen, lost }))
}

impl Writing {
    /// Opens the file anew, soon: somebody has put the old one aside.
    pub(crate) fn reopen(&self) {
        self.reopen.notify_one();
    }

    /// How many lines were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until the last line has been written, but not for long: whatever takes the lines may
    /// have stopped taking them. What is left then is lost, and said. All filters have to be gone by
    /// now.
    pub(crate) fn finish(self) {
        if self.ended.recv_timeout(END_MAX).is_err() {
            self.hurry.store(true, Ordering::Relaxed);
            let _ = self.ended.recv_timeout(COUNT_MAX);
        }
    }
}

/// Writes until the last filter is gone.
async fn write(source: Line<Events<Access>, Id>, format: Format, output: Output, asked: &Notify) {
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
    let line = source >> map(move |batch: Vec<Access>| format.lines(&batch)) >> write;
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
