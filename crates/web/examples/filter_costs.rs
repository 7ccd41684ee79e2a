//! What filters cost a request that is ready at once: `cargo run --release --example filter_costs -p
//! unary-web`. Medians of some rounds, less what the request and the reply cost without a filter.

use std::future::ready;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, header};
use unary_http::{Body, Request, Response, message};
use unary_net::Peer;
use unary_service::flow::{events, sink};
use unary_service::{Compose, Context, InFlight, Remote, Service, Timeout, service_fn};
use unary_web::filter::access_log::Detail;
use unary_web::filter::basic_auth::hash_password;
use unary_web::filter::metrics::Registry;
use unary_web::filter::rate_limit::{By, Fields};
use unary_web::filter::{AccessLog, Admit, BasicAuth, Cors, Forwarded, Metrics, RateLimit, RequestIds, Trace};
use unary_web::networks::Networks;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
const CALLS: u32 = 50_000;
const TOGETHER: u32 = 256;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let app = service_fn(|request: Request| ready(Ok(answer(&request))));
    let bare = nanos(&app).await;
    println!("{bare:>7.0} ns  the request, the reply and nothing else");
    let report = async |what: &str, nanos: f64| println!("{:>7.0} ns  {what}", nanos - bare);

    let proxies = || Networks::parse(["10.0.0.0/8"]);
    let rate = || "4000000000/s".parse();
    let users = format!("anna:{}", hash_password(b"secret")?).parse()?;
    report("admit: one network", nanos(&Admit::only(proxies()?).and_then(app)).await).await;
    report("forwarded: a trusted proxy", nanos(&Forwarded::trusting(proxies()?).and_then(app)).await).await;
    report("forwarded: anybody else", nanos(&Forwarded::trusting(Networks::none()).and_then(app)).await).await;
    let limit = RateLimit::new(rate()?, By::Client);
    report("rate-limit by client", nanos(&limit.clone().and_then(app)).await).await;
    let limit = limit.fields(Fields::Refused);
    report("rate-limit by client, said to the refused", nanos(&limit.and_then(app)).await).await;
    let auth = BasicAuth::new("x", users)?;
    report("basic-auth, remembered", nanos(&auth.and_then(app)).await).await;
    report("cors", nanos(&Cors::of(["https://a.test"])?.and_then(app)).await).await;
    report("request-id", nanos(&RequestIds::new().and_then(app)).await).await;
    report("trace", nanos(&Trace::new().and_then(app)).await).await;
    report("in-flight", nanos(&InFlight::refuse(100).and_then(app)).await).await;
    let figures = Registry::new(1).figures("a.test", "/*");
    report("metrics", nanos(&Metrics::among(figures).and_then(app)).await).await;
    report("timeout", nanos(&Timeout::new(Duration::from_secs(5)).and_then(app)).await).await;
    for (what, detail) in [("log: usual lines", Detail::Usual), ("log: all there is", Detail::Full)] {
        let (emitter, source) = events(1024);
        let drop_all = source >> sink(async |_: Vec<_>| Ok(()));
        let writer = tokio::spawn(drop_all.drive());
        report(what, nanos(&AccessLog::new(emitter).keeping(detail).and_then(app)).await).await;
        writer.await??;
    }
    Ok(())
}

fn answer(request: &Request) -> Response {
    black_box(request.uri().path());
    message::text("Hello, World!")
}

async fn nanos<S: Service<Request, Reply = Response>>(app: &S) -> f64 {
    let peer = Peer::new(Some(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 9))), None).remote();
    let headers = HeaderMap::from_iter([
        (header::HOST, HeaderValue::from_static("example.com")),
        (header::USER_AGENT, HeaderValue::from_static("filter_costs/1.0")),
        (header::ORIGIN, HeaderValue::from_static("https://a.test")),
        (header::AUTHORIZATION, HeaderValue::from_static("Basic YW5uYTpzZWNyZXQ=")),
        ("x-forwarded-for".parse().expect("it is a name"), HeaderValue::from_static("192.0.2.1")),
    ]);
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for call in 0..CALLS {
            black_box(app.call(request(&peer, &headers)).await).ok();
            if call % TOGETHER == 0 {
                tokio::task::yield_now().await; // What takes the log's events runs on the same thread.
            }
        }
        rounds.push(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn request(peer: &Arc<dyn Remote>, headers: &HeaderMap) -> Request {
    let context = Context { peer: Some(peer.clone()), ..Context::default() };
    let mut request = Request::new(Body::empty().with_context(context));
    request.headers_mut().clone_from(headers);
    request
}
