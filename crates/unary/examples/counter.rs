//! A hit counter: state that all requests share, in one process and without a database.
//!
//! `cargo run --example counter`, then `curl http://127.0.0.1:8080/` a few times.

use std::sync::atomic::{AtomicU64, Ordering};

use unary::prelude::*;

fn main() -> std::process::ExitCode {
    unary::main(Counter::default())
}

/// A service is any value that answers; what it knows lives as long as the server.
#[derive(Default)]
struct Counter {
    hits: AtomicU64,
}

impl Available for Counter {}

impl Service<Request> for Counter {
    type Reply = Response;

    async fn call(&self, _request: Request) -> Result<Response, Error> {
        // Every event loop counts here at the same time.
        let hits = self.hits.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(unary::text(format!("{hits}\n")))
    }
}
