//! Bodies: lengths, limits, and the two ends of an arriving one.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn refuses_to_collect_more_than_asked_for() {
    let body = Body::from("four");
    assert_eq!(body.length(), Some(4));
    assert_eq!(body.collect(4).await.unwrap(), "four");
    assert_eq!(Body::from("fiver").collect(4).await.unwrap_err().kind(), unary_service::Kind::TooLarge);
}

#[tokio::test]
async fn an_arriving_body_is_taken_chunk_by_chunk() {
    let (feed, incoming) = Incoming::new(None);
    let mut body = Body::incoming(incoming);
    let reader = tokio::spawn(async move {
        let first = body.next_bytes().await.unwrap();
        let second = body.next_bytes().await.unwrap();
        (first, second, body.next_bytes().await.unwrap())
    });
    std::future::poll_fn(|task| match feed.poll_wanted(task) {
        Wanted::Now => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
    feed.push(Bytes::from_static(b"one"));
    assert!(!feed.has_room());
    while !feed.has_room() {
        tokio::task::yield_now().await;
    }
    feed.push(Bytes::from_static(b"two"));
    feed.complete(None);
    assert_eq!(reader.await.unwrap(), (Some("one".into()), Some("two".into()), None));
}

#[tokio::test]
async fn a_lost_connection_fails_the_reader() {
    let (feed, incoming) = Incoming::new(Some(9));
    drop(feed);
    assert_eq!(Body::incoming(incoming).collect(9).await.unwrap_err().kind(), unary_service::Kind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_cuts_what_is_left() {
    let (_feed, incoming) = Incoming::new(None);
    let body = Body::incoming(incoming).until(Instant::now() + Duration::from_secs(1));
    assert_eq!(body.collect(9).await.unwrap_err().kind(), unary_service::Kind::Timeout);
}

#[tokio::test]
async fn the_bytes_taken_of_it_are_counted() {
    let sent = Arc::new(AtomicU64::new(0));
    let mut body = Body::stream(Body::from("streamed")).counted(sent.clone());
    assert_eq!(sent.load(Ordering::Relaxed), 0, "nobody has read it yet");
    body.next_bytes().await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 8);
    Body::from("whole").counted(sent.clone()).collect(9).await.unwrap();
    assert_eq!(sent.load(Ordering::Relaxed), 13);
}

#[tokio::test]
async fn every_counter_counts() {
    let counters: [Arc<AtomicU64>; 3] = Default::default();
    let body = counters.iter().fold(Body::from("whole"), |body, counter| body.counted(counter.clone()));
    body.took(9);
    body.gave_back(2);
    body.collect(9).await.unwrap();
    assert_eq!(counters.map(|counter| counter.load(Ordering::Relaxed)), [12; 3]);
}

#[tokio::test]
async fn a_failure_within_another_body_stays_what_it_was() {
    let failing = http_body_util::StreamBody::new(futures_util::stream::iter([Err::<Frame<Bytes>, _>(Error::new(
        unary_service::Kind::TooLarge,
        "testing",
    ))]));
    let error = Body::stream(Body::stream(failing)).collect(9).await.unwrap_err();
    assert_eq!(error.to_string(), "too large while testing");
}

/// A body that fails with this error of another library is of this kind, and says this.
#[track_caller]
fn check_failed(cause: impl Into<Box<dyn StdError + Send + Sync>>, kind: ErrorKind, said: &str) {
    let failed = http_body_util::StreamBody::new(futures_util::stream::iter([Err::<Frame<Bytes>, _>(cause.into())]));
    let mut body = Body::stream(failed);
    let polled =
        http_body::Body::poll_frame(Pin::new(&mut body), &mut TaskContext::from_waker(std::task::Waker::noop()));
    let Poll::Ready(Some(Err(error))) = polled else { panic!("it fails") };
    assert_eq!((error.kind(), &*error.to_string()), (kind, said));
}

/// What a library makes of another's error.
#[derive(Debug)]
struct Wrapped(Error);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("body error")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn an_error_of_ours_is_what_it_was_wherever_it_has_been() {
    let late = || Error::timeout("asking");
    check_failed(late(), ErrorKind::Timeout, "timed out while asking");
    let wrapped = "timed out while producing a body: body error: timed out while asking";
    check_failed(Wrapped(late()), ErrorKind::Timeout, wrapped);
    let inside = "timed out while producing a body: timed out while asking";
    check_failed(io::Error::other(late()), ErrorKind::Timeout, inside);
}

#[test]
fn another_librarys_error_is_what_it_says() {
    let reset = io::Error::new(io::ErrorKind::ConnectionReset, "reset");
    check_failed(reset, ErrorKind::Closed, "closed by the other end while producing a body: reset");
    let late = io::Error::new(io::ErrorKind::TimedOut, "late");
    check_failed(late, ErrorKind::Timeout, "timed out while producing a body: late");
    check_failed("no reason", ErrorKind::Internal, "failed while producing a body: no reason");
}
