//! What is left of a run whose program has taken the connection over: bytes, both ways, until either end has gone.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::sleep;
use unary_http::h1::connection::Upgrade;
use unary_net::pipeline::drain::Phase;

use super::run::{End, Run};

/// Passes bytes on between the client, once it has been told, and the program. Neither may be silent for longer than
/// `silence_max` while the other is, too.
pub(super) fn begin(client: Upgrade, stdin: Sender, stdout: (Receiver, BytesMut), mut run: Run, silence_max: Duration) {
    tokio::spawn(async move {
        let Ok(mut client) = client.taken().await else { return };
        let mut watch = client.watch();
        let moved = Arc::new(AtomicU64::new(0));
        let mut program = Program { stdin: Some(stdin), stdout: stdout.0, first: stdout.1, moved: moved.clone() };
        tokio::select! {
            ended = copy_bidirectional(&mut client, &mut program) => match ended {
                Ok(_) => run.end(End::Answered),
                Err(error) => tracing::debug!(%error, "a program's connection ended early"),
            },
            () = silent(&moved, silence_max) => run.end(End::Failed),
            () = watch.reached(Phase::Over) => {}
        }
    });
}

/// Waits until nothing has been moved for so long, and up to as long again.
async fn silent(moved: &AtomicU64, silence_max: Duration) {
    let mut before = u64::MAX;
    loop {
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
        sleep(silence_max).await;
    }
}

/// A program, as what is at the other end of a wire.
struct Program {
    /// Closed once the client has said all.
    stdin: Option<Sender>,
    stdout: Receiver,
    /// What came behind the head.
    first: BytesMut,
    moved: Arc<AtomicU64>,
}

impl Program {
    fn stdin(&mut self) -> io::Result<Pin<&mut Sender>> {
        self.stdin.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncRead for Program {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.first.has_remaining() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(length));
        } else {
            ready!(Pin::new(&mut self.stdout).poll_read(task, buffer))?;
        }
        self.moved.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Program {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.stdin()?.poll_write(task, bytes))?;
        self.moved.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // A pipe holds nothing back.
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}
