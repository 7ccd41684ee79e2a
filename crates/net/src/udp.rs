//! UDP: the same line over datagrams, `listen_udp(…) >> connect(codec) >> process(…) >> reply()`.
//!
//! Each event loop has a socket of its own on the same port (`SO_REUSEPORT`): a shared one would wake
//! every loop for every datagram. [`UdpListener`] still refuses a port that is taken. A peer's
//! datagrams stay with one loop.

mod packet;
mod protocol;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, SockAddr, Type};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unary_service::flow::{Consumer, Id, Line, Producer, line};
use unary_service::{Error, Kind};

use crate::event_loop::{Source, named};
use crate::listener::cannot_listen;
use crate::pipeline::drain::Phase;
use crate::pipeline::listen::drained;
use crate::{Address, Drain, Peer};
use packet::{Origin, Port};

/// The longest datagram IPv4 carries: 64 KiB less its own header and UDP's. Replies are held to it.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Datagrams under way at once by default, over all event loops. They bound memory, at 64 KiB each
/// where peers do their worst; a service that is done sooner than a millisecond needs far fewer.
pub const DATAGRAMS_MAX: usize = 1_024;

/// Datagrams still taken from a socket's queue once draining has begun: no flood keeps us here.
const LATE_MAX: usize = 4_096;

/// How long to wait after receiving failed, which is for want of memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A datagram on its way through the line.
#[derive(Debug)]
pub struct Datagram {
    /// What it says.
    pub bytes: BytesMut,
    /// Who sent it.
    pub peer: Peer,
    origin: Origin,
    port: Arc<Port>,
    /// This datagram's share of those under way.
    _permit: OwnedSemaphorePermit,
}

impl Datagram {
    /// Sends a datagram back to the sender, from the address and port that this one was sent to.
    ///
    /// # Errors
    ///
    /// [`Kind::TooLarge`] beyond [`DATAGRAM_BYTES_MAX`]; that it was sent says nothing of whether
    /// it arrives.
    pub async fn reply(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            let limit = format!("{} bytes, of {DATAGRAM_BYTES_MAX} that fit", bytes.len());
            return Err(Error::new(Kind::TooLarge, "sending a datagram").because(limit));
        }
        self.port.send(bytes, &self.origin).await
    }
}

/// Bound UDP sockets.
///
/// They bind at first without `SO_REUSEPORT`, so that a port that somebody has is refused, even if
/// that somebody is ourselves; the sockets of further event loops join them afterwards.
#[derive(Clone, Debug)]
pub struct UdpListener(Arc<Bound>);

#[derive(Debug)]
struct Bound {
    addresses: Vec<SocketAddr>,
    /// For the first loop that asks. They receive, so they must not be left lying about.
    first: Mutex<Option<Vec<std::net::UdpSocket>>>,
}

impl UdpListener {
    /// Binds every address. A host name binds all addresses it stands for; `:port` all of this
    /// machine's.
    pub fn bind(addresses: &[Address]) -> Result<Self, Error> {
        let mut sockets = Vec::new();
        for address in addresses {
            bind(address, &mut sockets).map_err(|cause| cannot_listen(address, cause))?;
        }
        let bound = sockets.iter().map(std::net::UdpSocket::local_addr).collect::<io::Result<_>>();
        let addresses = bound.map_err(|cause| Error::internal("binding a UDP socket").because(cause))?;
        Ok(Self(Arc::new(Bound { addresses, first: Mutex::new(Some(sockets)) })))
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> Vec<Address> {
        self.0.addresses.iter().copied().map(Address::from).collect()
    }

    /// Sockets for one event loop, which must be entered.
    fn ports(&self) -> io::Result<Vec<Port>> {
        let first = self.0.first.lock().expect("no panic while the lock is held").take();
        let sockets = match first {
            Some(sockets) => sockets,
            None => {
                self.0.addresses.iter().map(|&address| bind_one(address, Sharing::Joins)).collect::<io::Result<_>>()?
            }
        };
        sockets.into_iter().map(Port::new).collect()
    }
}

fn bind(address: &Address, bound: &mut Vec<std::net::UdpSocket>) -> io::Result<()> {
    let Address::Tcp { host, port } = address else {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "datagrams come over UDP only: write host:port"));
    };
    let mut resolved = address.resolve()?;
    if *port == 0 {
        resolved.truncate(1); // Several would each get a port of their own.
    }
    for socket_address in resolved {
        match bind_one(socket_address, Sharing::Refuses) {
            // A machine without IPv6 still has every IPv4 address.
            Err(_) if host.is_none() => {
                bound.push(bind_one((std::net::Ipv4Addr::UNSPECIFIED, *port).into(), Sharing::Refuses)?);
            }
            socket => bound.push(socket?),
        }
    }
    Ok(())
}

/// Whether a socket may be bound where another one is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// No, but further ones may join it later.
    Refuses,
    /// Yes, if they are ours.
    Joins,
}

fn bind_one(address: SocketAddr, sharing: Sharing) -> io::Result<std::net::UdpSocket> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(sharing == Sharing::Joins)?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

/// Receives datagrams: see [`listen_udp`].
#[derive(Clone, Debug)]
pub struct ListenUdp {
    on: On,
    permits: Arc<Semaphore>,
    permits_max: usize,
    dropped: Dropped,
    drain: Drain,
}

#[derive(Clone, Debug)]
enum On {
    Addresses(Vec<Address>),
    Bound(UdpListener),
    Nothing(String),
}

/// How many datagrams were dropped because too many were under way. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Dropped(Arc<AtomicU64>);

impl Dropped {
    /// As of now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        let dropped = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "too many datagrams are under way; further ones are dropped");
        }
    }
}

/// The beginning of a server's line over UDP: receives datagrams at an address (`host:port` or
/// `:port`), several, or a [`UdpListener`] that is bound already.
///
/// Whatever is wrong with the address is said when the line is run.
pub fn listen_udp(on: impl Into<ListenUdp>) -> Line<ListenUdp, Id> {
    line(on.into())
}

impl ListenUdp {
    fn on(on: On) -> Self {
        let permits = Arc::new(Semaphore::new(DATAGRAMS_MAX));
        Self { on, permits, permits_max: DATAGRAMS_MAX, dropped: Dropped::default(), drain: Drain::new() }
    }

    /// Works on at most so many datagrams at once (at least one), over all event loops. What comes
    /// beyond is dropped, as the network would: see [`dropped`](Self::dropped).
    pub fn datagrams_max(mut self, datagrams_max: usize) -> Self {
        self.permits_max = datagrams_max.clamp(1, u32::MAX as usize >> 3);
        self.permits = Arc::new(Semaphore::new(self.permits_max));
        self
    }

    /// The number of datagrams dropped, to be read while it runs.
    pub fn dropped(&self) -> Dropped {
        self.dropped.clone()
    }

    /// Stops when `drain` says so.
    pub fn draining(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    fn bound(&self) -> Result<UdpListener, Error> {
        match &self.on {
            On::Bound(listener) => Ok(listener.clone()),
            On::Addresses(addresses) => UdpListener::bind(addresses),
            On::Nothing(why) => Err(Error::new(Kind::Invalid, "reading an address").because(why.clone())),
        }
    }
}

impl From<UdpListener> for ListenUdp {
    fn from(listener: UdpListener) -> Self {
        Self::on(On::Bound(listener))
    }
}

impl From<&[Address]> for ListenUdp {
    fn from(addresses: &[Address]) -> Self {
        Self::on(On::Addresses(addresses.to_vec()))
    }
}

impl From<Address> for ListenUdp {
    fn from(address: Address) -> Self {
        Self::on(On::Addresses(vec![address]))
    }
}

impl From<&str> for ListenUdp {
    fn from(text: &str) -> Self {
        match text.parse::<Address>() {
            Ok(address) => address.into(),
            Err(bad) => Self::on(On::Nothing(bad.to_string())),
        }
    }
}

impl Source for ListenUdp {
    fn prepare(&mut self) -> Result<Vec<Address>, Error> {
        let listener = self.bound()?;
        let addresses = listener.addresses();
        self.on = On::Bound(listener);
        Ok(addresses)
    }

    fn drain(&self) -> Drain {
        self.drain.clone()
    }
}

impl Producer for ListenUdp {
    type Item = Datagram;

    async fn drive<D: Consumer<Datagram> + 'static>(self, down: D) -> Result<(), Error> {
        let ports = self.bound()?.ports();
        let ports = ports.map_err(|cause| Error::internal("opening a UDP socket").because(cause))?;
        let down = Arc::new(down);
        let receiving = ports.into_iter().map(|port| self.receive_all(Arc::new(port), &down));
        futures_util::future::join_all(receiving).await;
        drained(&self.drain, || self.permits.available_permits() == self.permits_max).await;
        down.finish().await
    }
}

impl ListenUdp {
    async fn receive_all<D: Consumer<Datagram> + 'static>(&self, port: Arc<Port>, down: &Arc<D>) {
        let mut scratch = BytesMut::with_capacity(packet::RECEIVE_BYTES);
        let mut watch = self.drain.watch(0);
        loop {
            tokio::select! {
                biased;
                () = watch.reached(Phase::Draining) => break,
                received = port.receive(&mut scratch) => match received {
                    Ok(origin) => self.begin(&scratch, origin, &port, down),
                    Err(error) => {
                        tracing::warn!(%error, wait = ?BACK_OFF, "cannot receive datagrams; trying again");
                        tokio::time::sleep(BACK_OFF).await;
                    }
                },
            }
        }
        // What is queued already was sent to a server that was there.
        for _ in 0..LATE_MAX {
            let Ok(origin) = port.receive_now(&mut scratch) else { return };
            self.begin(&scratch, origin, &port, down);
        }
    }

    fn begin<D: Consumer<Datagram> + 'static>(&self, bytes: &[u8], origin: Origin, port: &Arc<Port>, down: &Arc<D>) {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else { return self.dropped.add() };
        let datagram = Datagram {
            bytes: BytesMut::from(bytes),
            peer: Peer::new(Some(origin.peer), Some(port.local(&origin))),
            origin,
            port: port.clone(),
            _permit: permit,
        };
        let down = down.clone();
        tokio::spawn(named::<D, _>(async move {
            if let Err(error) = down.accept(datagram).await {
                tracing::debug!(%error, "a datagram was not answered");
            }
        }));
    }
}
