//! Prints what it costs to find a route, with 10, 100 and 1,000 of them.
//!
//! `cargo run --release -p unary-web --example route_speed`
//!
//! The figure is what a call through the router takes longer than a call of the same service behind
//! the same pointer. Both run in turns, and the best of many rounds counts.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use http::{Extensions, Uri};
use unary_http::{Body, Request, Response};
use unary_service::{BoxService, Service, service_fn};
use unary_web::router::{LiveRouter, Router, params};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CALLS: u32 = 20_000;
const ROUNDS: usize = 100;
const NAMES: [&str; 10] =
    ["users", "orders", "articles", "invoices", "teams", "projects", "comments", "files", "settings", "reports"];

fn main() {
    println!("{:<34}{:>9}{:>9}{:>9}", "ns a match, of routes:", 10, 100, 1_000);
    row("literal    /api/v1/users0/list", "/api/v1/users0/list");
    row("2 params   /api/v1/users0/7/x/9", "/api/v1/users0/7/x/9");
    row("the same, both read", "/api/v1/users0/7/y/9");
    row("wildcard   /api/v1/users0/w/a/b.css", "/api/v1/users0/w/a/b.css");
    row("encoded    /api/v1/%75sers0/list", "/api/v1/%75sers0/list");
    let host = |count| LiveRouter::new(Router::new().host("www.example.com", routes(count)));
    let costs = [10, 100, 1_000].map(|count| cost(&host(count), "http://www.example.com/api/v1/users0/list"));
    print("literal, host, changeable", costs);
}

fn row(name: &str, uri: &str) {
    print(name, [10, 100, 1_000].map(|count| cost(&routes(count), uri)));
}

fn print(name: &str, [ten, hundred, thousand]: [f64; 3]) {
    println!("{name:<34}{ten:>9.1}{hundred:>9.1}{thousand:>9.1}");
}

/// This many routes, as an interface of many resources has them: five to a resource.
fn routes(count: usize) -> Router {
    let mut router = Router::new();
    for at in 0..count / 5 {
        let resource = format!("/api/v1/{}{}", NAMES[at % NAMES.len()], at / NAMES.len());
        router = router
            .get(&resource, service())
            .get(&format!("{resource}/list"), service())
            .get(&format!("{resource}/{{id}}/x/{{other}}"), service())
            .get(&format!("{resource}/{{id}}/y/{{other}}"), reading())
            .get(&format!("{resource}/w/{{*rest}}"), service());
    }
    router
}

thread_local! {
    /// The one request, which goes round: making another would cost more than routing it.
    static REQUEST: Cell<Option<Request>> = const { Cell::new(None) };
}

/// Answers at once and puts the request back.
fn service() -> BoxService<Request, Response> {
    BoxService::new(service_fn(|request| std::future::ready(Ok(put_back(request)))))
}

/// The same, and reads two parameters.
fn reading() -> BoxService<Request, Response> {
    BoxService::new(service_fn(|request: Request| {
        let length = |name| params(&request).get(name).map_or(0, |value| value.len());
        assert_eq!(length("id") + length("other"), 2, "both are there");
        std::future::ready(Ok(put_back(request)))
    }))
}

fn put_back(mut request: Request) -> Response {
    *request.extensions_mut() = Extensions::new();
    REQUEST.set(Some(request));
    Response::new(Body::empty())
}

/// Nanoseconds that `router` adds to a call.
fn cost(router: &impl Service<Request, Reply = Response>, uri: &str) -> f64 {
    let uri: Uri = uri.parse().expect("a URI");
    let request = || http::Request::builder().uri(uri.clone()).body(Body::empty()).expect("a request");
    let bare = service();
    let mut with = Vec::new();
    let mut without = Vec::new();
    for _ in 0..ROUNDS {
        REQUEST.set(Some(request()));
        with.push(time(router));
        without.push(time(&bare));
    }
    best(with) - best(without)
}

/// Nanoseconds a call.
fn time(service: &impl Service<Request, Reply = Response>) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS {
        let request = REQUEST.take().expect("the last call put it back");
        let reply = pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(reply, Poll::Ready(Ok(reply)) if reply.status() == 200));
    }
    started.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

/// What is more than the least is noise of the machine.
fn best(times: Vec<f64>) -> f64 {
    times.into_iter().fold(f64::INFINITY, f64::min)
}
