//! What is left of a proxy once both ends have left HTTP: bytes, both ways, until both have ended.

use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};
use unary_http::h1::Upgraded as Server;
use unary_http::h1::connection::Upgrade;
use unary_net::pipeline::drain::Phase;
use unary_net::timer::{Ticks, Timer};

/// What is read at once, and so what is held, of what one end has sent and the other not yet taken.
/// A tunnel at rest holds nothing.
const HELD_BYTES_MAX: usize = 16 * 1024;

/// Passes bytes on between the two, once the client has been told. A task of its own: the call that
/// led to it has been answered, but ends with it.
pub(super) fn begin(client: Upgrade, server: Server, idle_max: Duration) {
    tokio::spawn(async move {
        let Ok(client) = client.taken().await else { return };
        let mut watch = client.watch();
        let deadline = client.deadline();
        tokio::select! {
            ended = run(client, server, Ticks::of(idle_max)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel ended early");
                }
            }
            () = watch.reached(Phase::Over) => {}
            () = reached(deadline) => tracing::debug!("a tunnel ended, as its call's time was over"),
        }
    });
}

/// Waits for that time, for ever if there is none.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Runs until both directions have ended, either end is lost, or neither has said anything for too
/// long.
async fn run<C, S>(mut client: C, mut server: S, idle: Ticks) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut up, mut down) = (Direction::default(), Direction::default());
    let mut timer = Timer::default();
    timer.set(idle);
    poll_fn(|task| {
        let passed = up.passed + down.passed;
        let up_ended = up.poll(task, &mut client, &mut server)?.is_ready();
        let down_ended = down.poll(task, &mut server, &mut client)?.is_ready();
        if up_ended && down_ended {
            return Poll::Ready(Ok(()));
        }
        if up.passed + down.passed != passed {
            timer.set(idle);
        }
        timer.poll(task).map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// One way through the tunnel.
#[derive(Default)]
struct Direction {
    /// What the far end has not yet taken, from `sent` on.
    held: Vec<u8>,
    sent: usize,
    /// Bytes that were read so far.
    passed: u64,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The near end has said all; the far end is to be told.
    Ending,
    Ended,
}

impl Direction {
    /// Ready once it has ended: each end may go on sending when the other has ended.
    fn poll<R, W>(&mut self, task: &mut Context<'_>, near: &mut R, far: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.sent < self.held.len() {
                self.sent += ready!(write(task, far, &self.held[self.sent..]))?;
            }
            (self.held, self.sent) = (Vec::new(), 0);
            match self.state {
                State::Open => ready!(self.read(task, near, far))?,
                State::Ending => {
                    ready!(Pin::new(&mut *far).poll_shutdown(task))?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads once, and holds what the far end does not take at once.
    fn read<R, W>(&mut self, task: &mut Context<'_>, near: &mut R, far: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut bytes = [MaybeUninit::uninit(); HELD_BYTES_MAX];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(near).poll_read(task, &mut buffer))?;
        let read = buffer.filled();
        if read.is_empty() {
            self.state = State::Ending;
            return Poll::Ready(Ok(()));
        }
        self.passed += read.len() as u64;
        let taken = match write(task, far, read) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        self.held.extend_from_slice(&read[taken..]);
        Poll::Ready(Ok(()))
    }
}

fn write<W: AsyncWrite + Unpin>(task: &mut Context<'_>, far: &mut W, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(far).poll_write(task, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        taken => Poll::Ready(Ok(taken)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_end_may_end_before_the_other() {
        let ((mut client, near), (far, mut server)) = (duplex(8), duplex(8));
        let tunnel = tokio::spawn(run(near, far, Ticks::of(Duration::from_secs(60))));
        let said = b"more than the wire holds, both ways";
        let asking = tokio::spawn(async move {
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            heard
        });
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, said);
        server.write_all(said).await.unwrap();
        server.shutdown().await.unwrap();
        assert_eq!(asking.await.unwrap(), said);
        tunnel.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_a_bound() {
        let ((mut client, near), (far, mut server)) = (duplex(8), duplex(8));
        let begun = Instant::now();
        let tunnel = tokio::spawn(run(near, far, Ticks::of(Duration::from_secs(60))));
        tokio::time::sleep(Duration::from_secs(40)).await;
        client.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        let ended = tunnel.await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!((100..=101).contains(&begun.elapsed().as_secs()));
    }
}
