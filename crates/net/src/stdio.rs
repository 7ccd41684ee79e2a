//! Standard input and output as one connection, as CGI has it.
//!
//! Pipes and sockets are waited for as those of a server are, once there is something to wait for; whatever else a host
//! has opened (files, most often) is read and written as it is.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use crate::Transport;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use rustix::stdio::{stdin, stdout};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Standard input and output.
#[derive(Debug)]
pub struct Stdio {
    input: Half,
    output: Half,
    writing: Writing,
}

/// Knows how the writing went, when it is over.
#[derive(Clone, Debug, Default)]
pub struct Writing(Arc<AtomicBool>);

/// One of the two.
#[derive(Debug)]
struct Half {
    descriptor: BorrowedFd<'static>,
    interest: Interest,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It was not needed yet.
    Untouched,
    /// Waiting for it is done by the system call.
    Blocks,
    /// It never waits, and was never to be waited for; its flags were these.
    Ready(OFlags),
    /// The event loop waits for it.
    Watched(OFlags, AsyncFd<OwnedFd>),
}

impl Stdio {
    /// This process's. To be made once.
    pub fn new(writing: Writing) -> Self {
        let half = |descriptor, interest| Half { descriptor, interest, state: State::Untouched };
        Self { input: half(stdin(), Interest::READABLE), output: half(stdout(), Interest::WRITABLE), writing }
    }
}

impl Writing {
    /// Whether a reply was cut where nobody else can see it.
    pub fn was_cut(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Half {
    /// Does what can be done now; pending, and the task is woken, if nothing can.
    fn poll<T>(
        &mut self,
        task: &mut Context<'_>,
        mut act: impl FnMut(BorrowedFd<'static>) -> rustix::io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match &mut self.state {
                State::Untouched => self.state = first_touch(self.descriptor),
                State::Blocks => return Poll::Ready(Ok(rustix::io::retry_on_intr(|| act(self.descriptor))?)),
                State::Ready(flags) => match rustix::io::retry_on_intr(|| act(self.descriptor)) {
                    Err(rustix::io::Errno::AGAIN) => {
                        self.state = State::Watched(*flags, watch(self.descriptor, self.interest)?);
                    }
                    done => return Poll::Ready(Ok(done?)),
                },
                State::Watched(_, watched) => {
                    let mut ready = ready!(match self.interest.is_readable() {
                        true => watched.poll_read_ready(task),
                        false => watched.poll_write_ready(task),
                    })?;
                    if let Ok(done) = ready.try_io(|_| Ok(act(self.descriptor)?)) {
                        return Poll::Ready(done);
                    }
                }
            }
        }
    }
}

/// Pipes and sockets are made not to block.
fn first_touch(descriptor: BorrowedFd<'_>) -> State {
    let is_stream = fstat(descriptor)
        .is_ok_and(|about| matches!(FileType::from_raw_mode(about.st_mode), FileType::Fifo | FileType::Socket));
    if !is_stream {
        return State::Blocks;
    }
    let flags = fcntl_getfl(descriptor);
    let set = |flags| fcntl_setfl(descriptor, flags | OFlags::NONBLOCK).map(|()| flags);
    flags.and_then(set).map_or(State::Blocks, State::Ready)
}

fn watch(descriptor: BorrowedFd<'_>, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    let own = descriptor.try_clone_to_owned()?;
    // SAFETY: it is handed an open descriptor that nobody else has, which closes when what it is handed to is dropped.
    unsafe { AsyncFd::register_with_interest(own, interest) }.map_err(|failed| failed.into_parts().1)
}

impl Drop for Half {
    fn drop(&mut self) {
        // The pipe's end may be shared: with a shell that goes on when we are gone.
        if let State::Ready(flags) | State::Watched(flags, _) = &self.state {
            let _ = fcntl_setfl(self.descriptor, *flags);
        }
    }
}

impl Transport for Stdio {
    fn reset(&mut self) {
        self.writing.0.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Stdio {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let read = ready!(self.get_mut().input.poll(task, |descriptor| rustix::io::read(descriptor, &mut *room)))?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().output.poll(task, |descriptor| rustix::io::write(descriptor, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The end of the process is the end of its output.
    fn poll_shutdown(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
