//! Thirteen bytes of text: the smallest server.
//!
//! `cargo run --release --example hello -- --listen 127.0.0.1:8080`, then `curl http://127.0.0.1:8080/`.

use unary::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    unary::main(service_fn(async |_: Request| Ok(unary::text("Hello, World!"))))
}
