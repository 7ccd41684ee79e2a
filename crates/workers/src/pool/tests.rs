//! Real workers: this program itself, started anew as one.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::pin::pin;
use std::task::Poll;
use std::thread;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use unary_http::Body;
use unary_service::{Context, service_fn};

use super::*;
use crate::host::tests::pieces;
use crate::spawner::tests::{keeper, wanted};

/// Told to those that the tests have run.
const IS_WORKER: &str = "UNARY_TEST_IS_WORKER";

/// A worker, in a process of its own: it tells everybody who connects its number, and how many there were.
#[test]
fn is_a_worker() {
    let (Ok(port), Some(_)) = (std::env::var("PORT"), std::env::var_os(IS_WORKER)) else { return };
    println!("it begins");
    if std::env::var("UNARY_TEST_CRASHES").is_ok() {
        eprintln!("it has no database");
        std::process::exit(3);
    }
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for (number, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        thread::spawn(move || {
            // Who only looks whether somebody is there says nothing.
            if stream.read(&mut [0]).is_ok_and(|read| read == 1) {
                write!(stream, "{} {number}", std::process::id()).unwrap();
            }
        });
    }
}

fn worker(environment: &[(&str, &str)]) -> Program {
    let own = std::env::current_exe().unwrap();
    let words = [own.to_str().unwrap(), "pool::tests::is_a_worker", "--exact", "--nocapture"];
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().chain(&[(IS_WORKER, "1")]).map(pair).collect();
    Program { environment, ..Program::command(words) }
}

/// A pool of that program, and its keeper.
fn pool(program: Program, settings: Settings) -> (Pool, thread::JoinHandle<()>) {
    let (spawner, keeping) = keeper(&wanted([(program.name().as_str(), program.clone())]));
    let speak = |address: &Address| {
        let address = address.to_string();
        let speak = service_fn(move |_: Request| {
            let address = address.clone();
            async move {
                let failed = |cause: std::io::Error| Error::new(Kind::Upstream, "speaking").because(cause);
                let mut stream = TcpStream::connect(address).await.map_err(failed)?;
                tokio::io::AsyncWriteExt::write_all(&mut stream, b"x").await.map_err(failed)?;
                let mut text = String::new();
                stream.read_to_string(&mut text).await.map_err(failed)?;
                Ok(Response::new(Body::from(text)))
            }
        });
        Ok(BoxService::new(speak))
    };
    (Pool::new(&program, spawner, settings, speak), keeping)
}

async fn ask(pool: &Pool) -> Result<String, Error> {
    let reply = pool.call(Request::default()).await?;
    let body = reply.into_body().collect(1024).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn pid_of(text: &str) -> String {
    text.split(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_worker_is_started_for_the_first_request_and_kept_for_the_next() {
    let (pool, keeping) = pool(worker(&[]), Settings::default());
    assert_eq!(pool.shown(), (Vec::new(), 0));
    let (one, other) = tokio::join!(ask(&pool), ask(&pool));
    assert_eq!(pid_of(&one.unwrap()), pid_of(&other.unwrap()));
    let pid = pool.shown().0[0].pid;
    assert_eq!(pool.shown().0, [Shown { pid, state: "idle", busy: 0, served: 2 }]);
    assert_eq!(Some(pid_of(&ask(&pool).await.unwrap())), pid.map(|pid| pid.to_string()));
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn an_idle_worker_is_gone_and_the_next_request_starts_another() {
    let idle_time = Duration::from_millis(1);
    let (pool, keeping) = pool(worker(&[]), Settings { idle_time, ..Settings::default() });
    let first = ask(&pool).await.unwrap();
    while !pool.shown().0.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_ne!(pid_of(&ask(&pool).await.unwrap()), pid_of(&first));
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_a_worker_wrote_last_is_why_it_cannot_be_had() {
    let (pool, keeping) = pool(worker(&[("UNARY_TEST_CRASHES", "1")]), Settings::default());
    let error = ask(&pool).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.kind(), Kind::Upstream);
    assert!(cause.starts_with("the worker ended: exit code 3. It last wrote: "), "{cause}");
    assert!(cause.contains("it begins") && cause.contains("it has no database"), "{cause}");
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_killed_is_replaced() {
    let (pool, keeping) = pool(worker(&[]), Settings::default());
    let first = pid_of(&ask(&pool).await.unwrap());
    let pid = rustix::process::Pid::from_raw(first.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while !pool.shown().0.is_empty() {
        tokio::task::yield_now().await;
    }
    let second = pid_of(&ask(&pool).await.unwrap());
    assert_ne!(second, first);
    pool.restart();
    // There is always one that answers.
    while pid_of(&ask(&pool).await.unwrap()) == second {}
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_one_shot_worker_serves_one_request() {
    let reuse = Reuse::OneShot { spares: 1 };
    let (pool, keeping) = pool(worker(&[]), Settings { reuse, ..Settings::default() });
    let mut seen = std::collections::HashSet::new();
    for _ in 0..4 {
        assert!(seen.insert(pid_of(&ask(&pool).await.unwrap())));
    }
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_replaced() {
    let (pool, keeping) = pool(worker(&[]), Settings { memory_bytes_max: Some(1), ..Settings::default() });
    let first = pid_of(&ask(&pool).await.unwrap());
    while pid_of(&ask(&pool).await.unwrap()) == first {
        tokio::task::yield_now().await;
    }
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

#[tokio::test]
async fn what_waits_in_vain_is_counted() {
    let wait_time_max = Duration::from_millis(1);
    let settings = Settings { each_max: 1, waiting_max: 1, wait_time_max, ..Settings::default() };
    let (pool, keeping) = pool(worker(&[]), settings);
    let (one, other) = tokio::join!(ask(&pool), ask(&pool));
    assert_eq!([one, other].map(|asked| asked.unwrap_err().kind()), [Kind::Overloaded, Kind::Overloaded]);
    let counts = pool.counts();
    assert_eq!((counts.waited, counts.late, counts.refused), (1, 1, 1));
    assert!(counts.waited_time >= wait_time_max, "{counts:?}");
    drop(pool);
    tokio::task::spawn_blocking(|| keeping.join().unwrap()).await.unwrap();
}

/// A pool whose workers cannot be started.
fn idle_pool(settings: Settings) -> Pool {
    let speak = |_: &Address| Err(Error::internal("speaking"));
    Pool::new(&Program::command(["none"]), Spawner::default(), settings, speak)
}

#[tokio::test]
async fn those_who_have_left_the_queue_are_passed_over_however_many_they_are() {
    const LEFT: usize = 100_000;
    let pool = idle_pool(Settings { each_max: 1, each_before_next: 1, waiting_max: LEFT + 2, ..Settings::default() });
    let queued = || pool.seat().unwrap().err().unwrap();
    let mut first = queued();
    let service = BoxService::new(service_fn(|_: Request| async { Ok::<_, Error>(Response::default()) }));
    pool.0.ready(1, service);
    let mut seat = first.try_recv().unwrap().unwrap();
    for _ in 0..LEFT {
        drop(queued());
    }
    let mut last = queued();
    seat.is_used = true;
    drop(seat);
    let _seat = last.try_recv().unwrap().unwrap();
    assert_eq!(pool.shown().0[0].served, 1, "nobody was served who had left");
}

#[tokio::test]
async fn nobody_has_a_worker_while_their_body_has_no_length_yet() {
    let pool = idle_pool(Settings { door: Door::Stdin, ..Settings::default() });
    let (sender, body) = pieces(None);
    let mut call = pin!(pool.call(Request::new(body)));
    let mut look = async || {
        let polled = std::future::poll_fn(|task| Poll::Ready(call.as_mut().poll(task).is_pending())).await;
        assert!(polled, "the call is over");
        let (workers, waiting) = pool.shown();
        (workers.len(), waiting)
    };
    assert_eq!(look().await, (0, 0));
    sender.try_send("all of it").unwrap();
    drop(sender);
    assert_eq!(look().await, (1, 1));
}

#[tokio::test]
async fn a_client_is_watched_while_its_request_waits_for_a_worker() {
    let pool = idle_pool(Settings::default());
    let peer = Peer::new(None, None);
    let context = Context { peer: Some(peer.remote()), ..Context::default() };
    let mut call = Box::pin(pool.call(Request::new(Body::empty().with_context(context))));
    assert!(std::future::poll_fn(|task| Poll::Ready(call.as_mut().poll(task))).await.is_pending());
    assert!(peer.is_awaited());
    drop(call);
    assert!(!peer.is_awaited());
}
