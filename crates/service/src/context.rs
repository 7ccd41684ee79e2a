//! What travels with a request beside its content: deadline, id, peer, attempt.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// What travels with a request beside its content. A few words, cloned for the price of one
/// reference count; it is a field of the request, since a map lookup would cost more than the
/// rest of the request path.
#[derive(Clone, Default)]
pub struct Context {
    /// When the answer is of no more use. Filters only ever bring it nearer.
    pub deadline: Option<Instant>,
    /// Which request this is.
    pub id: RequestId,
    /// Who asks. `None` for requests that came from this process.
    pub peer: Option<Arc<dyn Remote>>,
    /// 0 for the first try of a client's call.
    pub attempt: u8,
}

/// Names a request within this process: the connection's number and the request's place on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestId {
    /// The connection's number, from 1. 0 where there was none.
    pub connection: u64,
    /// The request's place on its connection, from 0.
    pub sequence: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.connection, self.sequence)
    }
}

/// The other end of a connection, as far as generic code needs it. `unary_net::Peer` is one, and
/// `Any` is how it gets back its own type.
pub trait Remote: Any + Send + Sync + fmt::Debug {
    /// Its network address; `None` for Unix sockets and memory.
    fn address(&self) -> Option<SocketAddr>;
}

impl Context {
    /// Brings the deadline to at most `limit` from now, and returns it.
    pub fn shrink(&mut self, limit: Duration) -> Instant {
        let latest = Instant::now() + limit;
        let deadline = self.deadline.map_or(latest, |set| set.min(latest));
        self.deadline = Some(deadline);
        deadline
    }

    /// The time left, `None` if there is no deadline.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &format_args!("{}", self.id))
            .field("deadline", &self.deadline)
            .field("peer", &self.peer)
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// A request that carries a [`Context`], or says that it has none.
pub trait HasContext {
    /// The context, if this kind of request has one.
    fn context(&self) -> Option<&Context> {
        None
    }
    /// The same, to change.
    fn context_mut(&mut self) -> Option<&mut Context> {
        None
    }
}

/// A reply that may outlast the call that made it, as one with a streaming body does.
///
/// **A call ends when its reply's body ends**: permits, deadlines, log lines and pooled
/// connections ride in the reply, or downloads would go uncounted.
pub trait Lasting: Sized {
    /// Keeps `guard` until the reply has been sent or dropped.
    fn holding<G: Send + 'static>(self, guard: G) -> Self;

    /// Fails what is left of the reply at `deadline`.
    fn until(self, deadline: Instant) -> Self;
}

/// Messages that are over once they are there.
macro_rules! plain {
    ($($message:ty),*) => {$(
        impl HasContext for $message {}
        impl Lasting for $message {
            fn holding<G: Send + 'static>(self, _guard: G) -> Self { self }
            fn until(self, _deadline: Instant) -> Self { self }
        }
    )*};
}

plain!((), bool, u8, u16, u32, u64, i32, i64, usize, String, &'static str, Vec<u8>, bytes::Bytes);

// Here and not in `unary-http`, where the orphan rule forbids them: `http`'s types are the
// currency, and the body's type decides.
impl<B: HasContext> HasContext for http::Request<B> {
    fn context(&self) -> Option<&Context> {
        self.body().context()
    }
    fn context_mut(&mut self) -> Option<&mut Context> {
        self.body_mut().context_mut()
    }
}

impl<B: Lasting> Lasting for http::Response<B> {
    fn holding<G: Send + 'static>(self, guard: G) -> Self {
        self.map(|body| body.holding(guard))
    }
    fn until(self, deadline: Instant) -> Self {
        self.map(|body| body.until(deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_only_comes_nearer() {
        let mut context = Context::default();
        context.shrink(Duration::from_secs(5));
        context.shrink(Duration::from_secs(9));
        assert_eq!(context.left(), Some(Duration::from_secs(5)));
        context.shrink(Duration::from_secs(1));
        assert_eq!(context.left(), Some(Duration::from_secs(1)));
    }
}
