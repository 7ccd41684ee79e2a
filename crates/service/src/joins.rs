//! Joins: Rust's futures are lazy, so concurrency is asked for by name.
//!
//! All of these run their futures inside the calling task: nothing is spawned, and dropping the
//! joined future cancels what is left.

use std::future::Future;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::Error;

/// Runs both at once; gives both results, or the first failure.
pub async fn join<A, B>(
    first: impl Future<Output = Result<A, Error>>,
    second: impl Future<Output = Result<B, Error>>,
) -> Result<(A, B), Error> {
    futures_util::future::try_join(first, second).await
}

/// Runs all of them, at most `at_once` at a time (at least one), and gives the results in the
/// order of the futures, or the first failure.
pub async fn collect<T, F>(futures: impl IntoIterator<Item = F>, at_once: usize) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    stream::iter(futures).buffered(at_once.max(1)).try_collect().await
}

/// What [`select`] saw first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first future's output.
    First(A),
    /// The second's.
    Second(B),
}

/// Runs both until one is done, and drops the other.
pub async fn select<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> Either<A, B> {
    tokio::select! {
        biased;
        output = first => Either::First(output),
        output = second => Either::Second(output),
    }
}

/// Fails with [`Kind::Timeout`](crate::Kind::Timeout) unless the future is done within `limit`.
pub async fn within<T>(limit: Duration, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_) => Err(Error::timeout("waiting").because(format!("not done within {limit:?}"))),
    }
}

/// Gives a failure a second chance: what `instead` makes of the error is the result.
pub async fn rescue<T, F>(
    future: impl Future<Output = Result<T, Error>>,
    instead: impl FnOnce(Error) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    match future.await {
        Ok(value) => Ok(value),
        Err(error) => instead(error).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    async fn after(ms: u64) -> Result<u64, Error> {
        sleep(Duration::from_millis(ms)).await;
        Ok(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_join_takes_as_long_as_the_slower() {
        let begun = Instant::now();
        assert_eq!(join(after(30), after(50)).await.unwrap(), (30, 50));
        assert_eq!(begun.elapsed(), Duration::from_millis(50));
    }

    #[tokio::test(start_paused = true)]
    async fn a_join_fails_as_soon_as_one_does() {
        let begun = Instant::now();
        let fails = async { Err::<(), _>(Error::internal("trying")) };
        assert!(join(after(1000), fails).await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn collect_keeps_order_and_bound() {
        let begun = Instant::now();
        assert_eq!(collect([20, 10, 20, 10].map(after), 2).await.unwrap(), [20, 10, 20, 10]);
        assert_eq!(begun.elapsed(), Duration::from_millis(40));
    }

    #[tokio::test(start_paused = true)]
    async fn select_drops_the_slower() {
        assert!(matches!(select(after(9), after(5)).await, Either::Second(Ok(5))));
    }

    #[tokio::test(start_paused = true)]
    async fn within_and_rescue_compose() {
        let late = within(Duration::from_millis(10), after(50));
        let result = rescue(late, async |error: Error| {
            assert_eq!(error.kind(), crate::Kind::Timeout);
            Ok(0)
        });
        assert_eq!(result.await.unwrap(), 0);
    }
}
