//! Says how long a request's body is, once it has come: the smallest service that reads.
//!
//! `cargo run --release --example measure -- --listen 127.0.0.1:8080`, then
//! `curl --data-binary @file http://127.0.0.1:8080/`.

use unary::prelude::*;

fn main() -> std::process::ExitCode {
    unary::main(service_fn(async |request: Request| {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(bytes) = body.next_bytes().await? {
            length += bytes.len();
        }
        Ok(unary::text(format!("{length} bytes\n")))
    }))
}
