//! Who is at the other end, and what the connection to them is doing right now.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use unary_service::{Context, Remote};

use crate::listener::Door;
use crate::tls::TlsFacts;

/// The other end of a connection. Cheap to clone, and may be kept after the connection is over.
#[derive(Clone)]
pub struct Peer(Arc<Inner>);

struct Inner {
    number: u64,
    address: Option<SocketAddr>,
    /// It does not change: the kernel is asked once.
    local: OnceLock<SocketAddr>,
    door: Option<Arc<Door>>,
    /// Set once, when a handshake is over.
    tls: OnceLock<Box<TlsFacts>>,
    /// The socket while it is open. Its owner empties this, under the lock, before closing it.
    socket: Mutex<Option<RawFd>>,
    /// How much is being done that is of use only while the peer is there.
    awaited: AtomicU32,
}

static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

impl Peer {
    /// A peer at this address, met at `local` where that is known, with no socket of its own.
    pub fn new(address: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        Self(Arc::new(Inner { address, local: local.map_or_else(OnceLock::new, OnceLock::from), ..Inner::next() }))
    }

    pub(crate) fn of_socket(address: Option<SocketAddr>, socket: BorrowedFd<'_>, door: Option<Arc<Door>>) -> Self {
        Self(Arc::new(Inner { address, door, socket: Mutex::new(Some(socket.as_raw_fd())), ..Inner::next() }))
    }

    /// The same connection with other addresses: what a proxy in between says they are. The socket
    /// goes over to the result, which its owner must keep in place of this: only that one will be
    /// told when the socket closes.
    pub(crate) fn proxied(&self, address: SocketAddr, local: SocketAddr) -> Self {
        let socket = self.0.socket.lock().expect("no panic while the lock is held").take();
        let (address, local, door) = (Some(address), local.into(), self.0.door.clone());
        let same = Inner::numbered(self.0.number);
        Self(Arc::new(Inner { address, local, door, tls: self.0.tls.clone(), socket: Mutex::new(socket), ..same }))
    }

    /// The connection's number within this process, from 1.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The peer's address; `None` for Unix sockets and memory.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Our own address on this connection. Asks the kernel, the first time.
    pub fn local(&self) -> Option<SocketAddr> {
        if let Some(local) = self.0.local.get() {
            return Some(*local);
        }
        let name = self.with_socket(|socket| rustix::net::getsockname(socket).ok())??;
        let local = name.try_into().ok()?;
        Some(*self.0.local.get_or_init(|| local))
    }

    /// The listened-on address that the connection came in by; `None` for what no listener accepted.
    pub fn door(&self) -> Option<&Door> {
        self.0.door.as_deref()
    }

    /// What both ends agreed on, if they speak TLS with each other: the version, the name that was
    /// asked for, who the client proved to be.
    pub fn tls(&self) -> Option<&TlsFacts> {
        self.0.tls.get().map(|facts| &**facts)
    }

    /// Says that the handshake is over, for whoever ends TLS: the stage [`tls`](crate::tls::tls()) does.
    /// A connection has one; of a second nothing is noted.
    pub fn secured(&self, facts: TlsFacts) {
        let _ = self.0.tls.set(Box::new(facts));
    }

    /// What is done for the peer until this is dropped is of no use to anybody once it has gone: whoever
    /// serves the connection may then give the call up that does it.
    pub fn while_there(self) -> WhileThere {
        self.0.awaited.fetch_add(1, Ordering::Relaxed);
        WhileThere(self)
    }

    /// Whether anything is done of that kind.
    pub fn is_awaited(&self) -> bool {
        self.0.awaited.load(Ordering::Relaxed) > 0
    }

    /// What TCP knows of the connection as of now. `None` once it is closed, and for what is not TCP.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        self.with_socket(tcp_info)?
    }

    /// The peer of a request, where it came over a connection of ours.
    pub fn of(context: &Context) -> Option<Self> {
        let remote: Arc<dyn Any + Send + Sync> = context.peer.clone()?;
        remote.downcast().ok().map(Self)
    }

    /// As part of a request's context.
    pub fn remote(&self) -> Arc<dyn Remote> {
        self.0.clone()
    }

    fn with_socket<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.0.with_socket(ask)
    }

    /// Says that the socket is about to be closed. Whoever owns the socket calls this first.
    pub(crate) fn forget_socket(&self) {
        *self.0.socket.lock().expect("no panic while the lock is held") = None;
    }
}

impl Inner {
    /// A connection that has not been before, of which nothing is known.
    fn next() -> Self {
        Self::numbered(CONNECTIONS.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn numbered(number: u64) -> Self {
        Self {
            number,
            address: None,
            local: OnceLock::new(),
            door: None,
            tls: OnceLock::new(),
            socket: Mutex::new(None),
            awaited: AtomicU32::new(0),
        }
    }

    fn with_socket<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let socket = self.socket.lock().expect("no panic while the lock is held");
        // SAFETY: the number is there only while the socket is open: `Socket::drop` calls
        // `forget_socket`, which takes this lock, before it closes the descriptor, and we hold
        // the lock until `ask` is done with it.
        socket.map(|number| ask(unsafe { BorrowedFd::borrow_raw(number) }))
    }
}

impl Remote for Inner {
    fn address(&self) -> Option<SocketAddr> {
        self.address
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "#{} {address}", self.number),
            None => write!(f, "#{} local", self.number),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// See [`Peer::while_there`].
#[derive(Debug)]
pub struct WhileThere(Peer);

impl Drop for WhileThere {
    fn drop(&mut self) {
        self.0.0.awaited.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What TCP knows of a connection (`TCP_INFO`, tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// Smoothed round-trip time.
    pub round_trip: Duration,
    /// How much it varies.
    pub round_trip_variance: Duration,
    /// Segments sent again since the connection began.
    pub retransmits: u32,
    /// Segments sent and not yet acknowledged.
    pub unacknowledged: u32,
    /// The congestion window in segments.
    pub congestion_window: u32,
    /// The largest segment we send, in bytes.
    pub segment_bytes_max: u32,
    /// Time since the peer last sent data.
    pub since_received: Duration,
}

fn tcp_info(socket: BorrowedFd<'_>) -> Option<TcpInfo> {
    // SAFETY: `tcp_info` is plain integers, for which all zeros is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` is writable for `length` bytes, `length` says how many those are, and the
    // descriptor is borrowed, so open, for the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    (status == 0).then(|| TcpInfo {
        round_trip: Duration::from_micros(info.tcpi_rtt.into()),
        round_trip_variance: Duration::from_micros(info.tcpi_rttvar.into()),
        retransmits: info.tcpi_total_retrans,
        unacknowledged: info.tcpi_unacked,
        congestion_window: info.tcpi_snd_cwnd,
        segment_bytes_max: info.tcpi_snd_mss,
        since_received: Duration::from_millis(info.tcpi_last_data_recv.into()),
    })
}
