//! What the parts cost, as of this machine: `cargo run --release --example costs -p unary-service`.
//!
//! Times are the medians of some rounds; CPU is that of all threads of this process.

use std::future::ready;
use std::time::{Duration, Instant};

use unary_service::{Actor, Ask, Behaviour, Compose, Error, InFlight, Pool, Service, Timeout, service_fn};

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let pool = Pool::new(4, 1024);
    report("pool: hand work over and back", async || pool.run(|| ()).await.is_ok()).await;
    report("tokio: spawn_blocking and back", async || tokio::task::spawn_blocking(|| ()).await.is_ok()).await;

    let actor = Actor::new("echo", echo).spawn(64);
    report("actor: ask and hear", async || actor.call(1).await.is_ok()).await;

    let bare = service_fn(|n: u32| ready(Ok(n)));
    report("service: ready at once", async || bare.call(1).await.is_ok()).await;
    let limited = Timeout::new(Duration::from_secs(5)).and_then(bare);
    report("timeout: ready at once", async || limited.call(1).await.is_ok()).await;
    let waiting = service_fn(async |n: u32| {
        tokio::task::yield_now().await;
        Ok(n)
    });
    report("service: waits once", async || waiting.call(1).await.is_ok()).await;
    let limited = Timeout::new(Duration::from_secs(5)).and_then(waiting);
    report("timeout: waits once", async || limited.call(1).await.is_ok()).await;
    let limited = InFlight::refuse(100).and_then(bare);
    report("in_flight: ready at once", async || limited.call(1).await.is_ok()).await;
    Ok(())
}

fn echo() -> Behaviour<Ask<u32, u32>> {
    Behaviour::new(async |ask: Ask<u32, u32>| {
        ask.reply.send(ask.request);
        echo()
    })
}

async fn report(what: &str, call: impl AsyncFn() -> bool) {
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let (begun, cpu) = (Instant::now(), cpu());
        for _ in 0..CALLS {
            assert!(call().await);
        }
        rounds.push((begun.elapsed() / CALLS, (self::cpu() - cpu) / CALLS));
    }
    rounds.sort();
    let (time, cpu) = rounds[ROUNDS / 2];
    println!("{what:32} {:>7.2} µs, {:>5.2} µs of CPU", micros(time), micros(cpu));
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The time all threads have run so far: the first number of each `schedstat`, in nanoseconds.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    let nanos = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
