//! Dialling: the way out, as listening is the way in.
//!
//! A service of an [`Address`] that answers with a [`Connection`], so that what stands between (TLS
//! to the other end, a count, a time-out) is a filter around it. Names are looked up off the event
//! loops, and every wait has a bound. Keeping connections for later is a pool's affair.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout_at};
use unary_service::pool::Pool;
use unary_service::{Available, Error, Kind, Service};

use crate::{Address, Connection, Socket};

/// Threads that look names up, and names that wait for one. A name server that does not answer holds
/// a thread for some seconds, hence threads of their own: cold files must not wait for it.
const LOOK_UP_THREADS: usize = 4;
const LOOK_UPS_WAITING_MAX: usize = 64;

/// Addresses of one name that are tried. More than a handful means a name server that means harm.
const ADDRESSES_MAX: usize = 8;

/// How soon a Unix socket whose backlog is full is tried again. The kernel tells nobody when it has room.
const FULL_BACKLOG_RETRY: Duration = Duration::from_millis(10);

/// Dials TCP and Unix sockets: a service of an [`Address`].
///
/// A host's addresses are tried in the order the name server gives them, one after the other. TCP
/// connections send small pieces at once (`TCP_NODELAY`). An address without a host, as in `:3000`,
/// is this machine.
///
/// Fails with [`Kind::Unavailable`], whatever the cause: nothing was begun.
#[derive(Clone, Copy, Debug)]
pub struct Dial {
    connect_time_max: Duration,
    address_time_max: Duration,
}

impl Dial {
    /// Dials with the default bounds: 5 s for a connection, the look-up of its name included, and
    /// 2 s for one address while there are others to try.
    pub fn new() -> Self {
        Self { connect_time_max: Duration::from_secs(5), address_time_max: Duration::from_secs(2) }
    }

    /// How long a connection may take to be made, the look-up of its host's name included. 5 s.
    pub fn connect_time_max(mut self, time: Duration) -> Self {
        self.connect_time_max = time;
        self
    }

    /// How long one of several addresses is tried before the next one. 2 s.
    pub fn address_time_max(mut self, time: Duration) -> Self {
        self.address_time_max = time;
        self
    }

    async fn dial(&self, address: &Address) -> io::Result<Socket> {
        let deadline = Instant::now() + self.connect_time_max;
        match address {
            Address::Unix(path) => timeout_at(deadline, dial_unix(path)).await?,
            Address::Tcp { host, port } => {
                let addresses = timeout_at(deadline, addresses(host.as_deref(), *port)).await??;
                self.dial_first(&addresses, deadline).await
            }
        }
    }

    /// The first of these addresses that answers; why the last one does not, if none does.
    async fn dial_first(&self, addresses: &[SocketAddr], deadline: Instant) -> io::Result<Socket> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "its name stands for no address");
        for (index, &address) in addresses.iter().enumerate().take(ADDRESSES_MAX) {
            let is_last = index + 1 == addresses.len().min(ADDRESSES_MAX);
            let until = if is_last { deadline } else { deadline.min(Instant::now() + self.address_time_max) };
            match timeout_at(until, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(Socket::tcp(stream, address));
                }
                Ok(Err(refused)) => failure = refused,
                Err(late) => failure = late.into(),
            }
        }
        Err(failure)
    }
}

impl Default for Dial {
    fn default() -> Self {
        Self::new()
    }
}

impl Available for Dial {}

impl Service<Address> for Dial {
    type Reply = Connection<Socket>;

    async fn call(&self, address: Address) -> Result<Self::Reply, Error> {
        match self.dial(&address).await {
            Ok(socket) => {
                let peer = socket.peer().clone();
                Ok(Connection::new(socket, peer))
            }
            Err(cause) => Err(Error::new(Kind::Unavailable, format!("connecting to {address}")).because(cause)),
        }
    }
}

/// The addresses of a host; asks a name server only for what is a name.
async fn addresses(host: Option<&str>, port: u16) -> io::Result<Vec<SocketAddr>> {
    let Some(host) = host else {
        return Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]);
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, port).into()]);
    }
    static LOOK_UPS: OnceLock<Pool> = OnceLock::new();
    let look_ups = LOOK_UPS.get_or_init(|| Pool::new(LOOK_UP_THREADS, LOOK_UPS_WAITING_MAX));
    let address = Address::Tcp { host: Some(host.to_owned()), port };
    look_ups.run(move || address.resolve()).await.map_err(io::Error::other)?
}

async fn dial_unix(path: &Path) -> io::Result<Socket> {
    loop {
        match UnixStream::connect(path).await {
            Err(full) if full.kind() == io::ErrorKind::WouldBlock => sleep(FULL_BACKLOG_RETRY).await,
            connected => return connected.map(Socket::unix),
        }
    }
}

#[cfg(test)]
mod tests;
