//! The connections of a server, counted on their way through the line.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use unary_net::Connection;
use unary_service::Error;
use unary_service::flow::{Consumer, Transducer};

/// Counts connections: a stage behind `listen`. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    ended: AtomicU64,
}

impl Connections {
    /// Those that came.
    pub(crate) fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Those that are there.
    pub(crate) fn open(&self) -> u64 {
        let ended = self.0.ended.load(Ordering::Acquire); // First: none ends that has not come.
        self.accepted().saturating_sub(ended)
    }
}

impl<S: Send + 'static> Transducer<Connection<S>> for Connections {
    type Out = Connection<S>;

    // No `async fn`: that would keep room for the connection beside what becomes of it.
    fn feed<D: Consumer<Connection<S>>>(
        &self,
        connection: Connection<S>,
        down: &D,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        let open = Open(self.0.clone());
        down.accept(connection).map(move |ended| {
            drop(open);
            ended
        })
    }
}

/// A connection that is there.
struct Open(Arc<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Release);
    }
}
