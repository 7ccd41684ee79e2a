//! Bounds, cancellation, panics and the end of the pool. Threads meet through channels, so no
//! test depends on how fast anything is.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Waker};

use super::*;
use crate::{Kind, Service, joins, offload};

/// Work that says when it is begun and then waits until it is told to go on.
fn held() -> (impl FnOnce() + Send + 'static, Receiver<()>, SyncSender<()>) {
    let (begin, begun) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let work = move || {
        begin.send(()).unwrap();
        released.recv().unwrap();
    };
    (work, begun, release)
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) {
    assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

async fn overloaded(pool: &Pool) -> bool {
    pool.run(|| ()).await.is_err_and(|error| error.kind() == Kind::Overloaded)
}

#[tokio::test]
async fn threads_come_with_work_and_have_names() {
    let pool = Pool::new(2, 1);
    assert_eq!(pool.threads(), 0);
    let name = pool.run(|| thread::current().name().map(String::from)).await.unwrap();
    assert_eq!(name.as_deref(), Some("unary-pool-1"));
}

#[tokio::test]
async fn a_thread_is_started_only_when_none_sleeps() {
    let pool = Pool::new(2, 0);
    pool.run(|| ()).await.unwrap();
    while pool.0.0.state().idle == 0 {
        thread::yield_now();
    }
    let (first, first_begun, release_first) = held();
    let (second, second_begun, release_second) = held();
    let (mut first, mut second) = (pin!(pool.run(first)), pin!(pool.run(second)));
    poll_once(first.as_mut());
    assert_eq!(pool.threads(), 1);
    poll_once(second.as_mut());
    assert_eq!(pool.threads(), 2);
    assert!(overloaded(&pool).await);
    first_begun.recv().unwrap();
    second_begun.recv().unwrap();
    release_first.send(()).unwrap();
    release_second.send(()).unwrap();
    joins::join(first, second).await.unwrap();
}

#[tokio::test]
async fn so_many_run_at_once_and_all_get_done() {
    let pool = Pool::new(3, 100);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let runs = (0..100).map(|n| {
        let (now, most) = (now.clone(), most.clone());
        pool.run(move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            n
        })
    });
    let numbers = joins::collect(runs, 100).await.unwrap();
    assert!(numbers.into_iter().eq(0..100));
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(pool.threads() <= 3);
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_refused() {
    for queue_max in [0, 1, 5] {
        let pool = Pool::new(1, queue_max);
        let (work, begun, release) = held();
        let mut running = pin!(pool.run(work));
        poll_once(running.as_mut());
        begun.recv().unwrap();
        let mut queued: Vec<_> = (0..queue_max).map(|_| Box::pin(pool.run(|| ()))).collect();
        for run in &mut queued {
            assert_eq!(pool.status(), Status::Open);
            poll_once(run.as_mut());
        }
        assert_eq!(pool.status(), Status::Busy);
        assert!(overloaded(&pool).await);
        release.send(()).unwrap();
        running.await.unwrap();
        joins::collect(queued, 1).await.unwrap();
    }
}

#[tokio::test]
async fn dropped_work_is_not_begun_and_makes_room() {
    let pool = Pool::new(1, 2);
    let (work, begun, release) = held();
    let mut running = pin!(pool.run(work));
    poll_once(running.as_mut());
    begun.recv().unwrap();
    let owned = Arc::new(());
    let mut dropped = Box::pin(pool.run({
        let owned = owned.clone();
        move || panic!("was not to run: {owned:?}")
    }));
    let mut kept = pin!(pool.run(|| 7));
    poll_once(dropped.as_mut());
    poll_once(kept.as_mut());
    assert!(overloaded(&pool).await);
    drop(dropped);
    assert_eq!(pool.waiting(), 1);
    assert_eq!(Arc::strong_count(&owned), 1, "what the work owned goes with it");
    release.send(()).unwrap();
    assert_eq!(kept.await.unwrap(), 7);
}

#[tokio::test]
async fn begun_work_runs_to_its_end_unheard() {
    let pool = Pool::new(1, 1);
    let (work, begun, release) = held();
    let mut running = Box::pin(pool.run(work));
    poll_once(running.as_mut());
    begun.recv().unwrap();
    drop(running);
    release.send(()).unwrap();
    assert_eq!(pool.run(|| 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_panic_costs_the_work_and_not_the_thread() {
    let pool = Pool::new(1, 1);
    let thread = pool.run(|| thread::current().id()).await.unwrap();
    let error = pool.run(|| panic!("{} much", "too")).await.unwrap_err();
    assert_eq!(error.to_string(), "panicked while running work on the pool: too much");
    assert_eq!(pool.run(|| thread::current().id()).await.unwrap(), thread);
}

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test]
async fn a_result_nobody_waits_for_may_panic_too() {
    let pool = Pool::new(1, 1);
    let (work, begun, release) = held();
    let mut running = Box::pin(pool.run(move || {
        work();
        PanicsWhenDropped
    }));
    poll_once(running.as_mut());
    begun.recv().unwrap();
    drop(running);
    release.send(()).unwrap();
    assert_eq!(pool.run(|| 7).await.unwrap(), 7);
}

/// Tells when the thread it was made on has ended.
struct ThreadEnd(SyncSender<()>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

#[tokio::test]
async fn threads_end_with_the_last_clone() {
    thread_local! { static END: OnceLock<ThreadEnd> = const { OnceLock::new() } }
    let (ended, end) = sync_channel(1);
    let pool = Pool::new(1, 1);
    let clone = pool.clone();
    pool.run(|| END.with(|slot| slot.set(ThreadEnd(ended)).is_ok())).await.unwrap();
    drop(pool);
    assert_eq!(clone.run(|| 7).await.unwrap(), 7);
    assert!(end.try_recv().is_err());
    drop(clone);
    end.recv().unwrap();
}

#[tokio::test]
async fn offload_answers_from_the_pool() {
    let half = offload(|n: u32| if n.is_multiple_of(2) { Ok(n / 2) } else { Err(Error::invalid("halving")) });
    assert_eq!(half.call(42).await.unwrap(), 21);
    assert_eq!(half.call(7).await.unwrap_err().kind(), Kind::Invalid);
}

#[tokio::test]
async fn offload_is_as_busy_as_its_pool() {
    let pool = Pool::new(1, 0);
    let same = offload(|n: u32| Ok(n)).on(pool.clone());
    assert_eq!(same.status(), Status::Open);
    let (work, begun, release) = held();
    let mut running = pin!(pool.run(work));
    poll_once(running.as_mut());
    begun.recv().unwrap();
    assert_eq!(same.status(), Status::Busy);
    assert_eq!(same.call(1).await.unwrap_err().kind(), Kind::Overloaded);
    release.send(()).unwrap();
    running.await.unwrap();
}
