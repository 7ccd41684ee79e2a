//! The access log: `events >> format >> write`, on a thread of its own, off the request path.
//!
//! Serving goes before logging. When lines cannot be written, or come faster than they can be, they
//! are lost, counted, and the loss is said on standard error.

mod line;
mod losses;
mod output;

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use unary_service::Error;
use unary_service::flow::{Emitter, Events, Id, Line, events, map, sink};
use unary_web::filter::AccessLog;
use unary_web::filter::access_log::Access;

use crate::diagnostics;
use line::Format;
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

/// The thread that writes.
pub(crate) struct Writing {
    ended: Receiver<()>,
    hurry: Arc<AtomicBool>,
}

/// Starts writing to standard output: for people if it is a terminal, in the Combined Log Format
/// otherwise.
pub(crate) fn start() -> Result<(AccessLog, Writing), Error> {
    let failed = |cause| Error::internal("starting the access log").because(cause);
    let format = match io::stdout().is_terminal() {
        true => Format::Terminal { colour: diagnostics::has_colour(&io::stdout()) },
        false => Format::Combined,
    };
    let (emitter, source) = events(WAITING_MAX);
    let output = Output::of(io::stdout(), Emitter::dropped_counter(&emitter)).map_err(failed)?;
    let hurry = output.hurry();
    let runtime = Builder::new_current_thread().enable_time().build().map_err(failed)?;
    let (end, ended) = sync_channel(1);
    let write = move || {
        runtime.block_on(write(source, format, output));
        let _ = end.send(());
    };
    thread::Builder::new().name("access-log".to_owned()).spawn(write).map_err(failed)?;
    Ok((AccessLog::new(emitter), Writing { ended, hurry }))
}

impl Writing {
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
async fn write(source: Line<Events<Access>, Id>, format: Format, output: Output) {
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

fn lock(output: &Mutex<Output>) -> std::sync::MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}
