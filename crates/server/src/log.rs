//! A log: `events >> lines >> write`, on a thread of its own, off the request path.
//!
//! Serving goes before logging. When lines cannot be written, or come faster than they can be, they
//! are lost, counted, and the loss is said on standard error.

mod losses;
mod named_file;
mod output;

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::Notify;
use unary_service::Error;
use unary_service::flow::{Emitter, Events, Id, Line, events, map, sink};

pub(crate) use named_file::Rotation;
use output::Output;

/// After a write, lines gather for so long before the next one, at least and at most: a line by itself is written
/// at once, and under load a write, and a waking of the thread that writes, has [`WRITE_BYTES`].
const GATHER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_millis(10);

/// What a write should have: enough to be worth a waking, and so little that the events are still in the processor's
/// caches when they become lines.
const WRITE_BYTES: usize = 16 * 1024;

/// After a write of so much nobody waits for more: it is there.
const BEHIND_BYTES: usize = 64 * 1024;

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
        let (output, pace) = (output.clone(), Mutex::new(*GATHER.end()));
        sink(move |lines: Vec<u8>| {
            lock(&output).write(&lines);
            let mut pace = lock(&pace);
            *pace = next_pace(*pace, lines.len());
            let gathered = (lines.len() < BEHIND_BYTES).then(|| tokio::time::sleep(*pace));
            async move {
                if let Some(gathered) = gathered {
                    gathered.await;
                }
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

/// How long to gather, if so many bytes came in such a time.
fn next_pace(time: Duration, bytes: usize) -> Duration {
    let share = WRITE_BYTES as f64 / bytes.max(1) as f64;
    Duration::try_from_secs_f64(time.as_secs_f64() * share)
        .unwrap_or(Duration::MAX)
        .clamp(*GATHER.start(), *GATHER.end())
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of so many bytes a second, from any pace: at which pace that ends, and with how much in a write.
    #[track_caller]
    fn check(bytes_a_second: f64, pace: Duration, bytes: usize) {
        for begin in [*GATHER.start(), *GATHER.end()] {
            let came = |pace: Duration| (bytes_a_second * pace.as_secs_f64()) as usize;
            let settled = (0..9).fold(begin, |pace, _| next_pace(pace, came(pace)));
            assert!(settled.abs_diff(pace) < Duration::from_micros(10), "{settled:?}");
            assert!(came(settled).abs_diff(bytes) <= bytes / 100, "{} bytes", came(settled));
        }
    }

    #[test]
    fn a_write_has_about_as_much_however_fast_lines_come() {
        check(0.0, Duration::from_millis(10), 0);
        check(1e5, Duration::from_millis(10), 1_000);
        check(3_276_800.0, Duration::from_millis(5), WRITE_BYTES);
        check(16_384_000.0, Duration::from_millis(1), WRITE_BYTES);
        check(5e7, Duration::from_millis(1), 50_000); // Beyond that it is always behind.
    }
}
