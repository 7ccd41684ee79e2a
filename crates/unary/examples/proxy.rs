//! Passes every request on to one server: a reverse proxy.
//!
//! `cargo run --release --example proxy -- --listen 127.0.0.1:8080 --to http://127.0.0.1:3000`, then
//! `curl http://127.0.0.1:8080/`.

use std::process::ExitCode;

use clap::Parser;
use unary::net::event_loop::EventLoops;
use unary::net::{Address, descriptors};
use unary::prelude::*;
use unary::web::handler::Proxy;
use unary::web::handler::proxy::Endpoint;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Passes every request on to one server.
#[derive(Parser)]
struct Arguments {
    /// Where to listen: host:port, :port or unix:/path.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: Vec<Address>,
    /// The server: host:port, http://host:port/base or unix:/path.
    #[arg(long, value_name = "ADDR", value_parser = endpoint)]
    to: Endpoint,
    /// Event loops; one per core unless told.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let url = match text.contains("://") || text.starts_with("unix:") {
        true => text.to_owned(),
        false => format!("http://{text}"),
    };
    url.parse().map_err(|bad| format!("{bad}"))
}

fn main() -> ExitCode {
    let Arguments { listen: addresses, to, threads } = Arguments::parse();
    descriptors::raise_limit();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let server = listen(addresses) >> connect(http()) >> process(Proxy::to(to)) >> reply();
    let loops = threads.map_or_else(EventLoops::new, |threads| EventLoops::new().threads(threads));
    match server.run_on(loops) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
