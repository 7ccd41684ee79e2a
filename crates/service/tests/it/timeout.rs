//! The deadline: where it is set, what it cuts, and which one wins.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use unary_service::{Compose, Context, Error, Kind, Service, Timeout, service_fn};

use crate::message::{After, Request, seconds};

fn with_deadline(in_seconds: Option<u64>) -> Request {
    let deadline = in_seconds.map(|n| Instant::now() + seconds(n));
    Request { context: Context { deadline, ..Context::default() }, ..Request::default() }
}

/// With a limit of `outer` around one of `inner`, both in seconds, and perhaps a deadline from the
/// start: the service is told, and the body is cut, `expected` seconds from now.
async fn check_deadline(outer: u64, inner: u64, from_start: Option<u64>, expected: u64) {
    let begun = Instant::now();
    let server = Timeout::new(seconds(outer)).and_then(Timeout::new(seconds(inner)).and_then(After(seconds(0))));
    let reply = server.call(with_deadline(from_start)).await.unwrap();
    assert_eq!(reply.seen, Some(begun + seconds(expected)));
    assert_eq!(reply.cut_at, Some(begun + seconds(expected)));
}

#[tokio::test(start_paused = true)]
async fn the_earliest_deadline_wins() {
    check_deadline(5, 9, None, 5).await;
    check_deadline(9, 5, None, 5).await;
    check_deadline(9, 5, Some(2), 2).await;
    check_deadline(9, 5, Some(7), 5).await;
}

/// A call that needs `needs` seconds with a limit of `limit`: it fails exactly when its time is up.
async fn check_limit(limit: u64, needs: u64, from_start: Option<u64>, fails_after: Option<u64>) {
    let begun = Instant::now();
    let server = Timeout::new(seconds(limit)).and_then(After(seconds(needs)));
    let error = server.call(with_deadline(from_start)).await.err();
    assert_eq!(error.as_ref().map(Error::kind), fails_after.map(|_| Kind::Timeout));
    assert_eq!(begun.elapsed(), seconds(fails_after.unwrap_or(needs)));
}

#[tokio::test(start_paused = true)]
async fn a_late_call_fails_when_its_time_is_up() {
    check_limit(5, 4, None, None).await;
    check_limit(5, 6, None, Some(5)).await;
    check_limit(5, 4, Some(3), Some(3)).await;
    check_limit(5, 4, Some(0), Some(0)).await;
    check_limit(0, 4, None, Some(0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_dropped() {
    let request = Request::default();
    let kept = request.kept.clone();
    let server = Timeout::new(seconds(1)).and_then(After(seconds(2)));
    let late = server.call(request).await.err().expect("it is late");
    let text = "timed out while waiting for the answer: none within 1s, or by an earlier deadline";
    assert_eq!(late.to_string(), text);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[tokio::test]
async fn the_longest_limit_is_a_point_in_time_too() {
    let server = Timeout::new(Duration::MAX).and_then(service_fn(|n: u32| ready(Ok(n))));
    assert_eq!(server.call(7).await.unwrap(), 7);
}

#[test]
fn a_call_that_is_ready_needs_no_timer() {
    let server = Timeout::new(seconds(1)).and_then(service_fn(|n: u32| ready(Ok(n))));
    // No runtime here: making a timer would panic.
    let polled = pin!(server.call(7)).poll(&mut std::task::Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(7))));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_always_busy_is_cut_all_the_same() {
    let busy = service_fn(async |_: u32| -> Result<u32, Error> {
        let (sender, mut receiver) = mpsc::channel(1);
        loop {
            // Neither ever waits; only the task's budget makes them pause.
            sender.send(()).await.unwrap();
            receiver.recv().await.unwrap();
        }
    });
    let server = Timeout::new(seconds(0)).and_then(busy);
    assert_eq!(server.call(1).await.unwrap_err().kind(), Kind::Timeout);
}
