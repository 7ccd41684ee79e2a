//! Composition: `filter.and_then(filter.and_then(service))`.

use std::future::Future;

use crate::{Available, Error, Filter, Service, Status};

/// Joins a filter to what comes after it.
///
/// A trait of its own, on every type: on [`Filter`] itself the call would be ambiguous, as a
/// filter may fit many request types.
pub trait Compose: Sized {
    /// This filter, then `next`: a service if `next` is one.
    fn and_then<N>(self, next: N) -> AndThen<Self, N> {
        AndThen { filter: self, next }
    }
}

impl<F> Compose for F {}

/// A filter and what comes after it.
#[derive(Clone, Copy, Debug)]
pub struct AndThen<F, N> {
    filter: F,
    next: N,
}

impl<F, N: Available> Available for AndThen<F, N> {
    // A filter's own say in the status needs the request's type, which is not known here; a
    // filter that has one (`in_flight`) says it through the service it wraps, see `Stack`.
    fn status(&self) -> Status {
        self.next.status()
    }
}

impl<Req: Send, F: Filter<Req, N>, N: Available + Send + Sync> Service<Req> for AndThen<F, N> {
    type Reply = F::Reply;

    fn call(&self, request: Req) -> impl Future<Output = Result<F::Reply, Error>> + Send {
        self.filter.apply(request, &self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Next, filter_fn, service_fn};

    struct Parse;

    impl<N: Service<u32, Reply = u32>> Filter<String, N> for Parse {
        type Reply = String;

        async fn apply(&self, request: String, next: &N) -> Result<String, Error> {
            let number = request.parse().map_err(|cause| Error::invalid("parsing a number").because(cause))?;
            Ok(next.call(number).await?.to_string())
        }
    }

    #[tokio::test]
    async fn a_filter_may_change_both_types() {
        let plus_one = filter_fn(async |n: u32, next: Next<'_, u32, u32>| Ok(next.call(n).await? + 1));
        let server = Parse.and_then(plus_one.and_then(service_fn(async |n: u32| Ok(n * 2))));
        assert_eq!(server.call("20".into()).await.unwrap(), "41");
        assert_eq!(server.call("x".into()).await.unwrap_err().kind(), crate::Kind::Invalid);
    }
}
