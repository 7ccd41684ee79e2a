//! The bytes under a connection: TCP and Unix sockets, and whatever stands in for them.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::Peer;
use crate::file::FileRange;
use crate::listener::Door;

/// What a protocol needs of its bytes beyond reading and writing them. The defaults are right for
/// everything that is not a socket: TLS, memory.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Writes, and tells the network that more follows at once (`MSG_MORE`), so that a head and
    /// the file after it share a packet.
    fn poll_write_more(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(task, bytes)
    }

    /// Whether [`poll_send_file`](Self::poll_send_file) works here.
    fn sends_files(&self) -> bool {
        false
    }

    /// Sends from the front of the range, as much as the socket takes, without copying it through
    /// this process. 0 says that the file has become shorter.
    fn poll_send_file(&mut self, task: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
        let _ = (task, range);
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Lets the end that comes when this is dropped be one that no peer takes for an orderly one: a reset,
    /// where there is such a thing. What has not left by then is lost.
    fn reset(&mut self) {}
}

impl Transport for tokio::io::DuplexStream {}

/// A connected TCP or Unix socket.
#[derive(Debug)]
pub struct Socket {
    stream: Stream,
    peer: Peer,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Runs the same expression on whichever stream it is.
macro_rules! each {
    ($socket:expr, $stream:ident => $run:expr) => {
        match &mut $socket.stream {
            Stream::Tcp($stream) => $run,
            Stream::Unix($stream) => $run,
        }
    };
}

impl Socket {
    /// A connected TCP socket.
    pub fn tcp(stream: TcpStream, address: SocketAddr) -> Self {
        Self::tcp_through(stream, address, None)
    }

    /// A connected Unix socket.
    pub fn unix(stream: UnixStream) -> Self {
        Self::unix_through(stream, None)
    }

    pub(crate) fn tcp_through(stream: TcpStream, address: SocketAddr, door: Option<Arc<Door>>) -> Self {
        let peer = Peer::of_socket(Some(address), stream.as_fd(), door);
        Self { stream: Stream::Tcp(stream), peer }
    }

    pub(crate) fn unix_through(stream: UnixStream, door: Option<Arc<Door>>) -> Self {
        let peer = Peer::of_socket(None, stream.as_fd(), door);
        Self { stream: Stream::Unix(stream), peer }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Says that somebody in between knows the addresses better (the PROXY protocol), and gives
    /// the peer that is right from now on.
    pub(crate) fn proxied(&mut self, address: SocketAddr, local: SocketAddr) -> Peer {
        self.peer = self.peer.proxied(address, local);
        self.peer.clone()
    }

    /// Sends what `write` can send now, once the socket takes anything.
    fn poll_send(
        &mut self,
        task: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => loop {
            ready!(stream.poll_write_ready(task))?;
            match stream.try_io(Interest::WRITABLE, || write(stream.as_fd())) {
                Err(full) if full.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        })
    }
}

impl Transport for Socket {
    fn poll_write_more(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        use rustix::net::SendFlags;
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        self.get_mut().poll_send(task, |socket| Ok(rustix::net::send(socket, bytes, flags)?))
    }

    fn sends_files(&self) -> bool {
        true
    }

    fn poll_send_file(&mut self, task: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
        let length = usize::try_from(range.length).unwrap_or(usize::MAX);
        let send = |socket: BorrowedFd<'_>| {
            let mut offset = range.offset;
            Ok(rustix::fs::sendfile(socket, &*range.file, Some(&mut offset), length)?)
        };
        self.poll_send(task, send)
    }

    fn reset(&mut self) {
        if let Stream::Tcp(stream) = &self.stream {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Before the descriptor closes and its number may come to mean something else.
        self.peer.forget_socket();
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(task, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(task, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(task, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(task))
    }
}
