//! Long calculations as a service: they run on the [`Pool`], and no event loop is held up.

use std::fmt;
use std::sync::Arc;

use crate::pool::Pool;
use crate::{Available, Error, Service, Status};

/// A service that runs `function`, a long calculation or something that blocks, on the shared
/// pool.
///
/// Refuses with [`Kind::Overloaded`](crate::Kind::Overloaded) when the pool's queue is full. A
/// call that is dropped is not begun any more, unless it runs already: then it runs to its end.
///
/// ```
/// use unary_service::{Service, offload::offload};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), unary_service::Error> {
/// let sum = offload(|up_to: u64| Ok((1..=up_to).sum::<u64>()));
/// assert_eq!(sum.call(1_000).await?, 500_500);
/// # Ok(()) }
/// ```
pub fn offload<Req, Reply, F>(function: F) -> Offload<F>
where
    F: Fn(Req) -> Result<Reply, Error> + Send + Sync + 'static,
{
    Offload { function: Arc::new(function), pool: Pool::shared().clone() }
}

/// See [`offload`].
///
/// ```
/// use unary_service::{offload::offload, pool::Pool};
///
/// // At most two of these at once, however many other things the shared pool does.
/// let thumbnails = offload(|size: u32| Ok(vec![0; size as usize])).on(Pool::new(2, 64));
/// # let _: &dyn unary_service::Available = &thumbnails;
/// ```
pub struct Offload<F> {
    function: Arc<F>,
    pool: Pool,
}

impl<F> Offload<F> {
    /// The same on a pool of its own.
    pub fn on(self, pool: Pool) -> Self {
        Self { pool, ..self }
    }
}

impl<F> Available for Offload<F> {
    fn status(&self) -> Status {
        self.pool.status()
    }
}

impl<Req, Reply, F> Service<Req> for Offload<F>
where
    Req: Send + 'static,
    Reply: Send + 'static,
    F: Fn(Req) -> Result<Reply, Error> + Send + Sync + 'static,
{
    type Reply = Reply;

    async fn call(&self, request: Req) -> Result<Reply, Error> {
        let function = self.function.clone();
        self.pool.run(move || function(request)).await?
    }
}

impl<F> Clone for Offload<F> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), pool: self.pool.clone() }
    }
}

impl<F> fmt::Debug for Offload<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").field("pool", &self.pool).finish_non_exhaustive()
    }
}
