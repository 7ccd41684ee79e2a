//! Places: who gets one, how long it is kept, and who is refused.

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use tokio::time::{Instant, sleep};
use unary_service::{Available, BoxService, Compose, Error, InFlight, Kind, Service, Stack, Status, joins, service_fn};

use crate::message::{After, Download, Request, seconds};

fn server(limit: &InFlight, takes: u64) -> impl Service<Request, Reply = Download> + use<> {
    limit.clone().and_then(After(seconds(takes)))
}

fn begin<F: Future>(call: Pin<&mut F>) {
    assert!(call.poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

#[track_caller]
fn check_counts(limit: &InFlight, running: usize, waiting: usize, refused: u64) {
    assert_eq!((limit.running(), limit.waiting(), limit.refused()), (running, waiting, refused));
}

#[track_caller]
fn check_refused<T>(result: Result<T, Error>, cause: &str) {
    let error = result.err().expect("it is refused");
    assert_eq!(error.kind(), Kind::Overloaded);
    assert!(error.to_string().ends_with(cause), "{error}");
}

#[tokio::test(start_paused = true)]
async fn refuses_one_too_many_at_once() {
    let limit = InFlight::refuse(2);
    let server = server(&limit, 1);
    let begun = Instant::now();
    let (first, second, third) =
        tokio::join!(server.call(Request::default()), server.call(Request::default()), async {
            let third = server.call(Request::default()).await;
            assert_eq!(begun.elapsed(), seconds(0));
            third
        });
    assert!(first.is_ok() && second.is_ok());
    check_refused(third, "all 2 are taken");
    check_counts(&limit, 2, 0, 1);
}

#[tokio::test]
async fn counts_until_the_body_has_ended() {
    let limit = InFlight::refuse(1);
    let server = server(&limit, 0);
    let download = server.call(Request::default()).await.unwrap();
    check_refused(server.call(Request::default()).await, "all 1 are taken");
    drop(download);
    server.call(Request::default()).await.unwrap();
    check_counts(&limit, 0, 0, 1);
}

#[tokio::test(start_paused = true)]
async fn gives_the_place_of_a_cancelled_call_back() {
    let limit = InFlight::queue(1, 1, seconds(60));
    let server = server(&limit, 1);
    let mut running = Box::pin(server.call(Request::default()));
    let mut waiting = Box::pin(server.call(Request::default()));
    begin(running.as_mut());
    begin(waiting.as_mut());
    check_counts(&limit, 1, 1, 0);
    drop(waiting);
    check_counts(&limit, 1, 0, 0);
    drop(running);
    check_counts(&limit, 0, 0, 0);
}

#[tokio::test]
async fn gives_the_place_of_a_failed_call_back() {
    let limit = InFlight::refuse(1);
    let fails = service_fn(async |_: u32| Err::<u32, _>(Error::internal("trying")));
    let server = limit.clone().and_then(fails);
    assert_eq!(server.call(1).await.unwrap_err().kind(), Kind::Internal);
    check_counts(&limit, 0, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn serves_the_queue_in_order() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = order.clone();
    let note = service_fn(move |n: u32| {
        seen.lock().unwrap().push(n);
        async move {
            sleep(seconds(1)).await;
            Ok(n)
        }
    });
    let limit = InFlight::queue(2, 8, seconds(60));
    let server = limit.clone().and_then(note);
    let begun = Instant::now();
    joins::collect((0..10).map(|n| server.call(n)), 10).await.unwrap();
    assert_eq!(*order.lock().unwrap(), (0..10).collect::<Vec<_>>());
    assert_eq!(begun.elapsed(), seconds(5));
    check_counts(&limit, 0, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn refuses_what_the_queue_has_no_room_for() {
    let limit = InFlight::queue(1, 1, seconds(60));
    let server = server(&limit, 1);
    let mut running = pin!(server.call(Request::default()));
    let mut waiting = pin!(server.call(Request::default()));
    begin(running.as_mut());
    begin(waiting.as_mut());
    check_refused(server.call(Request::default()).await, "all 1 are taken and 1 wait");
    check_counts(&limit, 1, 1, 1);
    drop(running.await.unwrap());
    waiting.await.unwrap();
    check_counts(&limit, 0, 0, 1);
}

#[tokio::test(start_paused = true)]
async fn refuses_who_waited_too_long() {
    let limit = InFlight::queue(1, 1, seconds(3));
    let server = server(&limit, 0);
    let download = server.call(Request::default()).await.unwrap();
    let begun = Instant::now();
    check_refused(server.call(Request::default()).await, "none of 1 became free within 3s");
    assert_eq!(begun.elapsed(), seconds(3));
    check_counts(&limit, 1, 0, 1);
    drop(download);
    check_counts(&limit, 0, 0, 1);
}

#[tokio::test]
async fn is_busy_while_it_is_full() {
    let limit = InFlight::refuse(1);
    let server = Stack::new().push("in-flight", 1, limit).service(After(seconds(0)));
    assert_eq!(server.status(), Status::Open);
    let download = server.call(Request::default()).await.unwrap();
    assert_eq!(server.status(), Status::Busy);
    drop(download);
    assert_eq!(server.status(), Status::Open);
}

#[tokio::test]
async fn refuses_all_when_there_is_no_place() {
    let server: BoxService<Request, Download> = BoxService::new(server(&InFlight::refuse(0), 0));
    check_refused(server.call(Request::default()).await, "all 0 are taken");
}
