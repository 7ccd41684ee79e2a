//! Order, back-pressure, end and failure of lines.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;

struct Count(u32);

impl Producer for Count {
    type Item = u32;
    async fn drive<D: Consumer<u32> + 'static>(self, down: D) -> Result<(), Error> {
        for n in 0..self.0 {
            down.accept(n).await?;
        }
        down.finish().await
    }
}

/// Hands numbers on in pairs; a last one without a partner when the line finishes.
#[derive(Default)]
struct Pairs(Mutex<Option<u32>>);

impl Transducer<u32> for Pairs {
    type Out = Vec<u32>;
    async fn feed<D: Consumer<Vec<u32>>>(&self, item: u32, down: &D) -> Result<(), Error> {
        let held = self.0.lock().unwrap().take();
        match held {
            Some(first) => down.accept(vec![first, item]).await,
            None => {
                *self.0.lock().unwrap() = Some(item);
                Ok(())
            }
        }
    }
    async fn finish<D: Consumer<Vec<u32>>>(&self, down: &D) -> Result<(), Error> {
        let held = self.0.lock().unwrap().take();
        match held {
            Some(last) => down.accept(vec![last]).await,
            None => Ok(()),
        }
    }
}

type Seen<T> = Arc<Mutex<Vec<T>>>;

fn record<T: Send + 'static>(seen: &Seen<T>) -> impl Transducer<T, Out = ()> + use<T> {
    let seen = seen.clone();
    sink(move |item| {
        seen.lock().unwrap().push(item);
        std::future::ready(Ok(()))
    })
}

#[tokio::test]
async fn what_a_stage_held_back_comes_at_the_end() {
    let seen = Seen::default();
    (line(Count(3)) >> map(|n| n + 1) >> Pairs::default() >> record(&seen)).drive().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [vec![1, 2], vec![3]]);
}

#[tokio::test]
async fn a_queue_keeps_order_and_passes_the_end_on() {
    let seen = Seen::default();
    let server = (line(Count(5)) >> map(|n| n * 2)).queue(2) >> Pairs::default() >> record(&seen);
    server.drive().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [vec![0, 2], vec![4, 6], vec![8]]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_the_producer_back() {
    let made = Arc::new(Mutex::new(0));
    let count = made.clone();
    let slow = sink(async |_: u32| {
        sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let server = (line(Count(100))
        >> map(move |n| {
            *count.lock().unwrap() += 1;
            n
        }))
    .queue(3)
        >> slow;
    let run = tokio::spawn(server.drive());
    sleep(Duration::from_millis(1500)).await;
    // One done, one being taken, three queued, one waiting for a place.
    assert_eq!(*made.lock().unwrap(), 6);
    run.abort();
}

#[tokio::test(start_paused = true)]
async fn a_fork_runs_so_many_at_once() {
    let begun = Instant::now();
    let slow = sink(async |_: u32| {
        sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    (line(Count(10)).fork(5) >> slow).drive().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

async fn fails_at_three(server: impl Future<Output = Result<(), Error>>) {
    assert_eq!(server.await.unwrap_err().step(), "taking three");
}

fn three_fails() -> impl Transducer<u32, Out = ()> {
    sink(async |n: u32| if n == 3 { Err(Error::internal("taking three")) } else { Ok(()) })
}

#[tokio::test]
async fn a_failure_ends_the_line_through_queue_and_fork() {
    fails_at_three((line(Count(9)) >> three_fails()).drive()).await;
    fails_at_three((line(Count(9)).queue(1) >> three_fails()).drive()).await;
    fails_at_three((line(Count(9)).fork(2) >> three_fails()).drive()).await;
}

#[tokio::test]
async fn a_panic_in_a_fork_is_the_lines_failure() {
    let server = line(Count(2)).fork(1) >> sink(async |_: u32| -> Result<(), Error> { panic!("oh") });
    assert_eq!(server.drive().await.unwrap_err().kind(), crate::Kind::Panicked);
}

#[tokio::test]
async fn events_beyond_the_bound_are_dropped_and_counted() {
    let seen = Seen::default();
    let (emitter, source) = events(2);
    for n in 0..5 {
        emitter.emit(n);
    }
    assert_eq!(emitter.dropped(), 3);
    drop(emitter);
    (source >> record(&seen)).drive().await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [vec![0, 1]], "what waits comes together");
}
