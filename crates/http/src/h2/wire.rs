//! The bytes of a connection, watched on their way to and from the `h2` crate.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use ::h2::Reason;
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::flood::{BYTES_PER_FRAME, Flood};
use super::frames::{Frames, kind};

/// A connection's stream, behind the bytes an earlier stage read of it.
pub(super) struct Wire<S> {
    stream: S,
    buffered: BytesMut,
    frames: Frames,
    flood: Flood,
    gauge: Arc<Gauge>,
}

/// What the connection's task sees of its wire: the `h2` crate, which owns that, shows nothing of it.
/// Only ever touched by the one task.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    read: AtomicU64,
    written: AtomicU64,
    /// Frames read that reset a stream.
    resets: AtomicU64,
    earned: AtomicU64,
    blocked: AtomicBool,
    /// Why nothing more is read: 0, `NO_ERROR`, for no reason.
    fault: AtomicU32,
}

impl Gauge {
    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// How often the peer has reset a stream so far.
    pub(super) fn resets(&self) -> u64 {
        self.resets.load(Relaxed)
    }

    /// Notes that something was put on its way to the peer that is worth so many frames of it.
    pub(super) fn earn(&self, frames: u64) {
        self.earned.store(self.earned.load(Relaxed) + frames, Relaxed);
    }

    /// Whether the peer took nothing when it was last written to.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    /// Why the connection is to be closed: nothing more is read.
    pub(super) fn fault(&self) -> Option<Reason> {
        Some(Reason::from(self.fault.load(Relaxed))).filter(|&reason| reason != Reason::NO_ERROR)
    }

    /// What we have done for the peer so far, in frames of it.
    fn worth(&self) -> u64 {
        self.written() / BYTES_PER_FRAME + self.earned.load(Relaxed)
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.blocked.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            self.written.store(self.written() + bytes as u64, Relaxed);
        }
        written
    }
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, buffered: BytesMut, unpaid_frames_max: u32) -> (Self, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        let flood = Flood::new(unpaid_frames_max, Instant::now());
        (Self { stream, buffered, frames: Frames::new(), flood, gauge: gauge.clone() }, gauge)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.gauge.fault().is_some() {
            return Poll::Pending; // For good: the connection is about to be closed.
        }
        let before = into.filled().len();
        if this.buffered.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(task, into))?;
        } else {
            let length = this.buffered.len().min(into.remaining());
            into.put_slice(&this.buffered[..length]);
            this.buffered.advance(length);
            if this.buffered.is_empty() {
                this.buffered = BytesMut::new(); // Not even an empty rest of it is held on to.
            }
        }
        let read = into.filled().len() - before;
        this.gauge.read.store(this.gauge.read() + read as u64, Relaxed);
        let fit = this.judge(&into.filled()[before..]);
        into.set_filled(before + fit);
        match fit < read && fit == 0 {
            true => Poll::Pending, // No bytes would be taken for the end.
            false => Poll::Ready(Ok(())),
        }
    }
}

impl<S> Wire<S> {
    /// How many of these bytes may be read on: all, if there is nothing wrong with them.
    fn judge(&mut self, read: &[u8]) -> usize {
        let (mut cost, mut resets) = (0, 0);
        let judged = self.frames.read(read, |frame| {
            cost += Flood::cost(frame);
            resets += u64::from(frame.kind == kind::RST_STREAM);
        });
        if resets > 0 {
            self.gauge.resets.store(self.gauge.resets() + resets, Relaxed);
        }
        let (fault, fit) = match judged {
            Err(fault) => (fault.reason, fault.before),
            Ok(()) if self.flood.charge(cost, self.gauge.worth(), Instant::now) => (Reason::ENHANCE_YOUR_CALM, 0),
            Ok(()) => return read.len(),
        };
        self.gauge.fault.store(fault.into(), Relaxed);
        fit
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        self.gauge.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(task, slices);
        self.gauge.wrote(written)
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
