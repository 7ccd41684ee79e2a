//! Prints what the bridges to tower cost.
//!
//! `cargo run --release -p unary-http --example tower_cost`
//!
//! Each line is what a call takes longer than a call of our service itself; all take turns, and the
//! best of many rounds counts.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use axum::routing::get;
use unary_http::tower::{into_tower, mount, mount_with};
use unary_http::{Body, Request, Response, message};
use unary_service::{BoxService, Service, service_fn};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 100;

type Boxed = BoxService<Request, Response>;

fn main() {
    let ours = || service_fn(async |_: Request| Ok(message::text("hello")));
    let theirs = || tower::service_fn(async |_: Request| Ok::<_, Infallible>(message::text("hello")));
    let axum_route = axum::Router::new().route("/", get(async || "hello"));
    let axum_around = axum::Router::new().route_service("/", into_tower(ours()));
    let cases: [(&str, Boxed); 6] = [
        ("our service itself", BoxService::new(ours())),
        ("ours -> tower: a tower service", BoxService::new(mount(theirs()))),
        ("the same, one per thread", BoxService::new(mount_with(theirs))),
        ("ours -> tower -> ours", BoxService::new(mount(into_tower(ours())))),
        ("ours -> axum: a route of its own", BoxService::new(mount(axum_route))),
        ("ours -> axum -> ours: a route", BoxService::new(mount(axum_around))),
    ];
    let mut times = cases.each_ref().map(|_| Vec::new());
    for _ in 0..ROUNDS {
        for ((_, service), times) in cases.iter().zip(&mut times) {
            times.push(time(service));
        }
    }
    let times = times.map(best);
    for ((name, _), time) in cases.iter().zip(times) {
        println!("{name:<34}{time:>8.1} ns{:>+9.1} ns", time - times[0]);
    }
}

/// Nanoseconds a call, its request and the reading of its reply's body included.
fn time(service: &Boxed) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS {
        let request = Request::new(Body::empty());
        let exchange = pin!(async { service.call(request).await?.into_body().collect(16).await });
        let body = exchange.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(body, Poll::Ready(Ok(body)) if body.len() == 5));
    }
    started.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// What is more than the least is noise of the machine.
fn best(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}
