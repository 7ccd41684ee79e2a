//! What `rate-limit` costs a request where a million clients come: the filter around a service, less the service alone,
//! without sockets. Clients differ in their addresses; nobody comes often enough to be refused.
//!
//! Memory is what the system says this process holds, more than before there was a filter.

#![forbid(unsafe_code)]

use std::future::ready;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use unary_http::{Body, Request, Response, message};
use unary_net::Peer;
use unary_service::filter::rate_limit::Rate;
use unary_service::{Compose, Context, Error, Service, service_fn};
use unary_web::filter::RateLimit;
use unary_web::filter::rate_limit::By;

/// What the server has, since how much memory the filter takes is its business too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CLIENTS: u32 = 1_000_000;

/// Of which the middle one counts.
const ROUNDS: usize = 5;

/// How far it is to the next client, so that the one is not beside the other in the memory of the filter.
const STEP: u32 = 7_919;

const PAGE_BYTES: usize = 4_096;

/// So slow that no client is forgotten between rounds.
const QUOTA: NonZeroU32 = NonZeroU32::new(100).expect("it is not 0");
const WINDOW: Duration = Duration::from_secs(3_600);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let outcome = runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(measure()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limiter: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<(), Error> {
    let app = service_fn(|request: Request| ready(Ok(answer(&request))));
    let bare = median_round(&app).await?;
    let before = resident_bytes();
    let limited = RateLimit::new(Rate::new(QUOTA, WINDOW), By::Client).and_then(app);
    let first = round(&limited).await?;
    let grown = resident_bytes().saturating_sub(before);
    let known = median_round(&limited).await?;
    #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits after the point")]
    let mebibytes = grown as f64 / f64::from(1 << 20);
    println!("{mebibytes:>8.2} MiB for a million clients");
    println!("{:>8.1} ns a request of a new client", first - bare);
    println!("{:>8.1} ns a request of a known client", known - bare);
    Ok(())
}

fn answer(request: &Request) -> Response {
    black_box(request.uri().path());
    message::text("Hello, World!")
}

async fn median_round<S: Service<Request, Reply = Response>>(app: &S) -> Result<f64, Error> {
    let mut rounds = [0.0; ROUNDS];
    for nanoseconds in &mut rounds {
        *nanoseconds = round(app).await?;
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

/// A request of each client: nanoseconds for one.
async fn round<S: Service<Request, Reply = Response>>(app: &S) -> Result<f64, Error> {
    let (begun, mut client) = (Instant::now(), 0);
    for _ in 0..CLIENTS {
        black_box(app.call(request(client)).await?);
        client = (client + STEP) % CLIENTS;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CLIENTS))
}

fn request(client: u32) -> Request {
    let address = SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + client), 4_711));
    let peer = Peer::new(Some(address), None).remote();
    let context = Context { peer: Some(peer), ..Context::default() };
    Request::new(Body::empty().with_context(context))
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}
