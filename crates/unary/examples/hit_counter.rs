//! A hit counter that is right whoever runs it: one server, or a hundred CGI processes at the same time.
//!
//! `cargo run --example hit_counter`, then `curl http://127.0.0.1:8080/` a few times. The same program is a CGI, FastCGI
//! or SCGI program: see `docs/library.md`. It counts in the file that `HIT_COUNTER` names, or in `hit_counter.hits`
//! beside the program.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use unary::prelude::*;
use unary::service::offload;

fn main() -> std::process::ExitCode {
    let path = path();
    // It waits for its turn and for a disk: not on an event loop.
    let count = offload(move |()| count(&path).map_err(|cause| Error::internal("counting").because(cause)));
    let app = Counter(count);
    unary::main(app)
}

struct Counter<S>(S);

impl<S: Send + Sync> Available for Counter<S> {}

impl<S: Service<(), Reply = u64>> Service<Request> for Counter<S> {
    type Reply = Response;

    async fn call(&self, _request: Request) -> Result<Response, Error> {
        let hits = self.0.call(()).await?;
        Ok(unary::text(format!("{hits}\n")))
    }
}

/// Counts one, and says how many that makes. No other process or thread counts meanwhile, and whoever reads the file
/// without asking sees the old number or the new one.
fn count(path: &Path) -> io::Result<u64> {
    let lock = File::options().create(true).write(true).truncate(false).open(path.with_extension("lock"))?;
    lock.lock()?; // Until it is dropped, or the process ends.
    let hits = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse::<u64>().map_err(io::Error::other)? + 1,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 1,
        Err(error) => return Err(error),
    };
    let new = path.with_extension("new");
    fs::write(&new, format!("{hits}\n"))?;
    fs::rename(new, path)?;
    Ok(hits)
}

fn path() -> PathBuf {
    let named = std::env::var_os("HIT_COUNTER").map(PathBuf::from);
    let beside = || std::env::current_exe().ok().map(|program| program.with_extension("hits"));
    named.or_else(beside).unwrap_or_else(|| "hit_counter.hits".into())
}
