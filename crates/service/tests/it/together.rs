//! Filters around actors and offloaded work: the parts hold to one another's rules.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::task::{Context, Waker};

use unary_service::{Actor, Ask, Behaviour, Compose, InFlight, Kind, Pool, Service, Stack, Timeout, offload};

use crate::message::seconds;

fn stuck() -> Behaviour<Ask<u32, u32>> {
    Behaviour::new(async |_ask| pending().await)
}

#[tokio::test(start_paused = true)]
async fn a_stuck_actor_costs_its_callers_no_more_than_their_time() {
    let limit = InFlight::refuse(3);
    let server = Stack::new()
        .push("timeout", "5s", Timeout::new(seconds(5)))
        .push("in-flight", 3, limit.clone())
        .service(Actor::new("stuck", stuck).spawn(1));
    let calls = (0..4).map(|n| server.call(n));
    let kinds = futures_util::future::join_all(calls).await.into_iter().map(|result| result.unwrap_err().kind());
    assert_eq!(kinds.collect::<Vec<_>>(), [Kind::Timeout, Kind::Timeout, Kind::Timeout, Kind::Overloaded]);
    assert_eq!(limit.running(), 0);
}

#[tokio::test]
async fn a_timed_out_calculation_that_was_not_begun_never_runs() {
    let pool = Pool::new(1, 1);
    let (release, released) = sync_channel::<()>(1);
    let mut busy = pin!(pool.run(move || released.recv().is_ok()));
    assert!(busy.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

    let ran = Arc::new(AtomicBool::new(false));
    let note = ran.clone();
    let calculation = offload(move |n: u32| {
        note.store(true, Ordering::SeqCst);
        Ok(n)
    });
    let server = Timeout::new(seconds(0)).and_then(calculation.on(pool.clone()));
    assert_eq!(server.call(1).await.unwrap_err().kind(), Kind::Timeout);

    release.send(()).unwrap();
    assert!(busy.await.unwrap());
    pool.run(|| ()).await.unwrap(); // The one thread has been through its queue.
    assert!(!ran.load(Ordering::SeqCst));
}
