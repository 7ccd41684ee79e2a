//! The bytes of a connection, in the clear or inside TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::file::FileRange;
use crate::{Socket, Transport};

/// The bytes of a connection, in the clear or inside TLS. In the clear they are the socket's own,
/// and files leave without a copy.
#[derive(Debug)]
pub enum Stream<S: Transport = Socket> {
    /// In the clear.
    Plain(S),
    /// Inside TLS.
    Tls(Box<Encrypted<S>>),
}

/// Bytes inside TLS.
///
/// A write is over once the socket has taken all it became, not before: HTTP's bounds on what a
/// slow peer may hold up depend on it. So whoever is told to wait comes again with the same bytes,
/// as all who write to sockets do anyway; it is an error if others come.
#[derive(Debug)]
pub struct Encrypted<S: Transport> {
    tls: TlsStream<Wire<S>>,
    /// What was encrypted and is not all sent. At most what rustls buffers: 64 KiB.
    begun: Vec<u8>,
    shut: bool,
}

/// What is under TLS: a stream, and bytes of it that were read too early.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    before: BytesMut,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, before: BytesMut) -> Self {
        Self { stream, before }
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: Transport> Encrypted<S> {
    pub(super) fn new(tls: TlsStream<Wire<S>>) -> Self {
        Self { tls, begun: Vec::new(), shut: false }
    }

    fn reset(&mut self) {
        self.shut = true; // An alert that all has been said would not be true.
        self.tls.get_mut().0.stream().reset();
    }

    fn poll_send(&mut self, task: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut tls = Pin::new(&mut self.tls);
        if !self.begun.is_empty() {
            ready!(tls.poll_flush(task))?;
            let begun = std::mem::take(&mut self.begun);
            return Poll::Ready(if begin_with(slices, &begun) { Ok(begun.len()) } else { Err(other_bytes()) });
        }
        let length = ready!(tls.as_mut().poll_write_vectored(task, slices))?;
        if !tls.get_ref().1.wants_write() {
            return Poll::Ready(Ok(length));
        }
        self.begun = copy(slices, length);
        Poll::Pending
    }
}

fn copy(slices: &[IoSlice<'_>], length: usize) -> Vec<u8> {
    let mut copied = Vec::with_capacity(length);
    for slice in slices {
        copied.extend_from_slice(&slice[..slice.len().min(length - copied.len())]);
    }
    copied
}

fn begin_with(slices: &[IoSlice<'_>], mut bytes: &[u8]) -> bool {
    for slice in slices {
        let (here, rest) = bytes.split_at(slice.len().min(bytes.len()));
        if !slice.starts_with(here) {
            return false;
        }
        bytes = rest;
    }
    bytes.is_empty()
}

#[cold]
fn other_bytes() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a write that had begun was followed by one of other bytes")
}

impl<S: Transport> AsyncRead for Encrypted<S> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut tls = Pin::new(&mut self.get_mut().tls);
        let read = tls.as_mut().poll_read(task, buffer);
        if tls.get_ref().1.wants_write() {
            // Reading may call for an answer, as a new key does. It leaves now or with what is written next.
            let _ = tls.poll_flush(task);
        }
        read
    }
}

impl<S: Transport> AsyncWrite for Encrypted<S> {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(task, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(task, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tls).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shut = true;
        Pin::new(&mut this.tls).poll_shutdown(task)
    }
}

impl<S: Transport> Drop for Encrypted<S> {
    fn drop(&mut self) {
        if !self.shut {
            // Says that nothing was cut off (RFC 8446 §6.1), if the socket takes it at once.
            let _ = Pin::new(&mut self.tls).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }
}

impl<S: Transport> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.before.has_remaining() {
            let length = self.before.len().min(buffer.remaining());
            buffer.put_slice(&self.before.split_to(length));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl<S: Transport> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(task, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

/// Runs the same expression on whichever stream it is.
macro_rules! each {
    ($stream:expr, $inner:ident => $run:expr) => {
        match $stream.get_mut() {
            Stream::Plain($inner) => $run,
            Stream::Tls(encrypted) => {
                let $inner = &mut **encrypted;
                $run
            }
        }
    };
}

impl<S: Transport> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(task, buffer))
    }
}

impl<S: Transport> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(task, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(task, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(task))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(task))
    }
}

impl<S: Transport> Transport for Stream<S> {
    fn poll_write_more(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_more(task, bytes),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(task, bytes),
        }
    }

    fn sends_files(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.sends_files(),
            Self::Tls(_) => false,
        }
    }

    fn poll_send_file(&mut self, task: &mut Context<'_>, range: &FileRange) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(stream) => stream.poll_send_file(task, range),
            Self::Tls(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Plain(stream) => stream.reset(),
            Self::Tls(encrypted) => encrypted.reset(),
        }
    }
}
