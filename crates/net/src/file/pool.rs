//! Work on files that may wait for a disk, run where it delays nobody.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use unary_service::{Error, Kind, Pool};

/// How often reading on is tried while the pool is overloaded, and the first pause between two
/// tries, which doubles: 1.5 seconds in all. A reply is half sent by then, so it is worth a wait.
const TRIES_MAX: u32 = 6;
const PAUSE_MS: u64 = 50;

/// Runs `work` on the shared pool.
pub(super) async fn run<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    Pool::shared().run(work).await.map_err(refused)?
}

/// The same; an overloaded pool is tried again a few times.
pub(super) async fn run_patiently<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: Fn() -> io::Result<T> + Send + Sync + 'static,
{
    let work = Arc::new(work);
    for attempt in 0..TRIES_MAX - 1 {
        let again = work.clone();
        match Pool::shared().run(move || again()).await {
            Err(error) if error.kind() == Kind::Overloaded => {}
            outcome => return outcome.map_err(refused)?,
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS << attempt)).await;
    }
    run(move || work()).await
}

fn refused(error: Error) -> io::Error {
    let kind = match error.kind() {
        Kind::Overloaded | Kind::Unavailable => io::ErrorKind::ResourceBusy,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
