//! Accepting, on one event loop, from all the sockets that are its own as of now.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};

use futures_util::task::AtomicWaker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};

use super::bind::Bound;
use super::{Door, Shared};
use crate::Socket;

/// Where a loop is told that the sockets have changed.
#[derive(Debug, Default)]
pub(super) struct Seat {
    is_stale: AtomicBool,
    waker: AtomicWaker,
}

impl Seat {
    pub(super) fn tell(&self) {
        self.is_stale.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// The sockets of an event loop.
pub(crate) struct Acceptor {
    seat: Arc<Seat>,
    index: usize,
    /// Gone once whoever could change the sockets is.
    shared: Weak<Shared>,
    /// Locked by one task alone: shared as far as the compiler can see.
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    list: Vec<Entry>,
    /// Where to begin, so that no busy door keeps the others waiting.
    turn: usize,
}

struct Entry {
    /// This loop's own copy: connections count its holders, which must not bind cores together.
    door: Arc<Door>,
    listening: AsyncFd<Bound>,
    state: EntryState,
}

#[derive(PartialEq, Eq)]
enum EntryState {
    Open,
    /// Who is queued is let in, and then it is over.
    Closing,
}

impl Acceptor {
    /// All sockets that are loop `index`'s. Within its runtime.
    pub(super) fn new(shared: &Arc<Shared>, seat: Arc<Seat>, index: usize) -> io::Result<Self> {
        let acceptor = Self { seat, index, shared: Arc::downgrade(shared), entries: Mutex::default() };
        acceptor.follow(&mut acceptor.lock())?;
        Ok(acceptor)
    }

    /// Waits for the next connection.
    pub(crate) fn poll_accept(&self, task: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        self.seat.waker.register(task.waker());
        let mut entries = self.lock();
        if self.seat.is_stale.swap(false, Ordering::AcqRel)
            && let Err(error) = self.follow(&mut entries)
        {
            self.seat.is_stale.store(true, Ordering::Release); // To be tried again.
            return Poll::Ready(Err(error));
        }
        if let Some(accepted) = entries.accept_closing() {
            return Poll::Ready(accepted);
        }
        for _ in 0..entries.list.len() {
            let entry = entries.next();
            if let Poll::Ready(accepted) = entry.poll_accept(task) {
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    /// The next connection if it is there, asked of the kernel: the event loop may not have heard of
    /// it yet. `WouldBlock` if none is.
    pub(crate) fn accept_now(&self) -> io::Result<Socket> {
        let mut entries = self.lock();
        for _ in 0..entries.list.len() {
            match entries.next().accept_now() {
                Err(none) if none.kind() == io::ErrorKind::WouldBlock => {}
                accepted => return accepted,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Takes in doors that are new, and lets go of those that are closed.
    fn follow(&self, entries: &mut Entries) -> io::Result<()> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        let state = shared.lock();
        for entry in &mut entries.list {
            if !state.open.iter().any(|open| open.door.number == entry.door.number) {
                entry.state = EntryState::Closing;
            }
        }
        for open in &state.open {
            if entries.list.iter().any(|entry| entry.door.number == open.door.number) {
                continue;
            }
            let door = Arc::new(open.door.clone());
            // All of a door or nothing, so that a second attempt finds what is missing.
            let share = shared.share(open, self.index)?.into_iter();
            let share: io::Result<Vec<_>> = share.map(listening).collect();
            let entry = |listening| Entry { door: door.clone(), listening, state: EntryState::Open };
            entries.list.extend(share?.into_iter().map(entry));
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("no panic while the lock is held")
    }
}

impl Entries {
    /// Whose turn it is. There is at least one.
    fn next(&mut self) -> &Entry {
        self.turn = (self.turn + 1) % self.list.len();
        &self.list[self.turn]
    }

    /// The next who is queued where it is closing. Doors without any are gone afterwards.
    fn accept_closing(&mut self) -> Option<io::Result<Socket>> {
        while let Some(at) = self.list.iter().position(|entry| entry.state == EntryState::Closing) {
            match self.list[at].accept_now() {
                Ok(socket) => return Some(Ok(socket)),
                Err(error) if is_about_one_connection(&error) => return Some(Err(error)),
                Err(_) => drop(self.list.swap_remove(at)), // Nobody is left, or nobody can be let in.
            }
        }
        None
    }
}

fn listening(bound: Bound) -> io::Result<AsyncFd<Bound>> {
    // SAFETY: a bound socket owns its one descriptor, which stays open, and the same, until that is dropped; and it
    // is dropped by the `AsyncFd` alone, which gives out nothing but shared references.
    let registered = unsafe { AsyncFd::register_with_interest(bound, Interest::READABLE) };
    registered.map_err(|failed| failed.into_parts().1)
}

impl Entry {
    fn poll_accept(&self, task: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        loop {
            let mut readiness = ready!(self.listening.poll_read_ready(task))?;
            let accepted = self.accept_now();
            let is_last = match &accepted {
                Ok(_) => !self.is_anybody_queued(),
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if is_last {
                readiness.clear_ready();
            }
            match accepted {
                Err(_) if is_last => {}
                accepted => return Poll::Ready(accepted),
            }
        }
    }

    /// Whether there is a next connection, as far as that can be told: an accept(2) that finds none has made a socket
    /// and a file in vain, and costs four times as much as asking.
    fn is_anybody_queued(&self) -> bool {
        let mut queue = [PollFd::new(self.listening.get_ref(), PollFlags::IN)];
        poll(&mut queue, Some(&Timespec::default())) != Ok(0)
    }

    fn accept_now(&self) -> io::Result<Socket> {
        let (socket, address) =
            acceptfrom_with(self.listening.get_ref(), SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        let door = Some(self.door.clone());
        Ok(match address.and_then(|address| address.try_into().ok()) {
            // Not read before it is told that something came: the first bytes are seldom there as yet.
            Some(address) => Socket::tcp_through(TcpStream::from_std(socket.into())?, address, door),
            None => Socket::unix_through(UnixStream::from_std(socket.into())?, door),
        })
    }
}

/// Errors of accept(2) that concern the connection that was to be accepted, not the listener.
pub(crate) fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | PermissionDenied | TimedOut
    ) || error.raw_os_error() == Some(libc::EPROTO)
}
