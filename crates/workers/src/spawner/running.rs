//! A program that runs, as the server sees it.

use std::future::poll_fn;
use std::io;
use std::sync::OnceLock;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::{MESSAGE_BYTES_MAX, News, Wish};
use super::{Exit, Signal};
use crate::keeper::channel::Channel;

/// The server's end of a program's own channel. Dropped, the program is ended, with all it started.
#[derive(Debug)]
pub(super) struct Handle(AsyncFd<Channel>);

impl Handle {
    pub(super) fn new(channel: Channel) -> io::Result<Self> {
        Ok(Self(channel.watched(Interest::READABLE)?))
    }

    /// What the keeper says next.
    pub(super) async fn news(&self) -> io::Result<News> {
        let mut message = [0; MESSAGE_BYTES_MAX];
        let gone =
            || io::Error::new(io::ErrorKind::UnexpectedEof, "the keeper is gone, or has no room for its descriptors");
        let taken = poll_fn(|context| {
            loop {
                let mut ready = std::task::ready!(self.0.poll_read_ready(context))?;
                if let Ok(received) = ready.try_io(|channel| channel.get_ref().try_receive(&mut message)) {
                    return std::task::Poll::Ready(received);
                }
            }
        })
        .await?
        .ok_or_else(gone)?;
        News::decode(&message[..taken.bytes])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it makes no sense"))
    }

    fn wish(&self, wish: Wish) -> io::Result<()> {
        self.0.get_ref().try_send(&wish.encode(), &[])
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.wish(Wish::End); // Nobody hears it where it has ended.
    }
}

/// A program that runs. Dropped, it is ended with all it started, if it has not ended itself.
///
/// It belongs to the event loop that asked for it: [`exited`](Self::exited) is heard there.
#[derive(Debug)]
pub struct Running {
    program: String,
    pid: u32,
    handle: Handle,
    exit: OnceLock<Exit>,
}

impl Running {
    pub(super) fn new(program: String, pid: u32, handle: Handle) -> Self {
        Self { program, pid, handle, exit: OnceLock::new() }
    }

    /// Its name in the config.
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Its number, which stays its own until this is dropped.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended: the process itself, whatever became of those it started. To be awaited by one at a
    /// time; later calls say the same at once.
    pub async fn exited(&self) -> Exit {
        if let Some(exit) = self.exit.get() {
            return *exit;
        }
        let exit = match self.handle.news().await {
            Ok(News::Ended(exit)) => exit,
            Ok(_) | Err(_) => Exit::Unknown,
        };
        *self.exit.get_or_init(|| exit)
    }

    /// Lets go of it without a word, as a server does that dies.
    #[cfg(test)]
    pub(super) fn lose(self) {
        rustix::net::shutdown(&self.handle.0, rustix::net::Shutdown::Both).unwrap();
    }

    /// How it ended, if that has been heard.
    pub fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    /// Sends a signal to it and to all that it started. That it has ended is no error, nor what is then too late for
    /// it: those it started get the signal also after that.
    ///
    /// # Errors
    ///
    /// If the keeper is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        self.handle.wish(Wish::Signal(signal))
    }
}
