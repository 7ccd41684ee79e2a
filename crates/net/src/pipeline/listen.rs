//! The first stage: listening sockets, and the connections they produce.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, SockAddr, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unary_service::flow::{Consumer, Id, Line, Producer, line};
use unary_service::{Error, Kind};

use super::drain::{Drain, Phase, Watch};
use crate::event_loop::{Source, named};
use crate::{Address, Peer, Socket};

/// Connections served at once by default; beyond it none are accepted, and the kernel's backlog
/// and then the peers wait.
pub const CONNECTIONS_MAX: usize = 65_536;

/// Connections the kernel completes ahead of us. Linux cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// How long to wait after accepting failed for want of descriptors or memory: doubled from the
/// first to the second while it goes on failing.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long connections have to notice that the drain deadline has passed.
const EXPIRY_GRACE: Duration = Duration::from_millis(250);

/// A connection on its way through the line: its bytes, and what is known of it.
#[derive(Debug)]
pub struct Connection<S> {
    /// The bytes.
    pub stream: S,
    /// Who is at the other end.
    pub peer: Peer,
    /// Bytes that an earlier stage read too many; whoever reads on takes these first.
    pub buffered: BytesMut,
    /// Says when the server wants to stop.
    pub watch: Watch,
    /// This connection's share of the connection cap.
    permit: Option<OwnedSemaphorePermit>,
}

impl<S> Connection<S> {
    /// A connection that no listener made: in memory, or of a protocol inside another.
    pub fn new(stream: S, peer: Peer) -> Self {
        let watch = Drain::new().watch(peer.number());
        Self { stream, peer, buffered: BytesMut::new(), watch, permit: None }
    }

    /// The same connection over other bytes, as TLS makes it.
    pub fn map<T>(self, change: impl FnOnce(S) -> T) -> Connection<T> {
        let Self { stream, peer, buffered, watch, permit } = self;
        Connection { stream: change(stream), peer, buffered, watch, permit }
    }
}

/// Bound sockets, listening.
#[derive(Clone, Debug)]
pub struct Listener(Arc<Vec<Bound>>);

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, UnixPath),
}

/// Removes the socket's path when the listener closes.
#[derive(Debug)]
struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds every address and listens on it. A host name binds all addresses it stands for;
    /// `:port` all of this machine's.
    pub fn bind(addresses: &[Address]) -> Result<Self, Error> {
        let mut bound = Vec::new();
        for address in addresses {
            bind(address, &mut bound).map_err(|cause| cannot_listen(address, cause))?;
        }
        Ok(Self(Arc::new(bound)))
    }

    /// Where it listens, with the ports the kernel chose.
    pub fn addresses(&self) -> Vec<Address> {
        let address = |bound: &Bound| match bound {
            Bound::Tcp(socket) => socket.local_addr().ok().map(Address::from),
            Bound::Unix(_, path) => Some(Address::Unix(path.0.clone())),
        };
        self.0.iter().filter_map(address).collect()
    }
}

fn bind(address: &Address, bound: &mut Vec<Bound>) -> io::Result<()> {
    if let Address::Unix(path) = address {
        bound.push(bind_unix(path)?);
        return Ok(());
    }
    let Address::Tcp { host, port } = address else { return Ok(()) };
    let mut resolved = address.resolve()?;
    if *port == 0 {
        resolved.truncate(1); // Several would each get a port of their own.
    }
    for socket_address in resolved {
        match bind_tcp(socket_address) {
            // A machine without IPv6 still has every IPv4 address.
            Err(_) if host.is_none() => bound.push(bind_tcp((std::net::Ipv4Addr::UNSPECIFIED, *port).into())?),
            socket => bound.push(socket?),
        }
    }
    Ok(())
}

fn bind_tcp(address: std::net::SocketAddr) -> io::Result<Bound> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit this, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    Ok(Bound::Tcp(socket.into()))
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let listener = match UnixListener::bind(path) {
        Err(taken) if taken.kind() == io::ErrorKind::AddrInUse => {
            // A path that nobody answers on was left behind by a process that died.
            match UnixStream::connect(path) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
                _ => return Err(taken),
            }
            UnixListener::bind(path)?
        }
        listener => listener?,
    };
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener, UnixPath(path.to_owned())))
}

pub(crate) fn cannot_listen(address: &Address, cause: io::Error) -> Error {
    let advice = match cause.kind() {
        io::ErrorKind::AddrInUse => "another program listens there. Stop it, or choose another address with --listen",
        io::ErrorKind::PermissionDenied if matches!(address, Address::Tcp { .. }) => {
            "permission denied. Run as root, or allow it: setcap cap_net_bind_service=+ep $(which unary)"
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address. `:PORT` listens on all it has",
        _ => return Error::new(Kind::Unavailable, format!("listening on {address}")).because(cause),
    };
    Error::new(Kind::Unavailable, format!("listening on {address}")).because(advice)
}

/// Listens: see [`listen`].
#[derive(Clone, Debug)]
pub struct Listen {
    on: On,
    permits: Arc<Semaphore>,
    permits_max: usize,
    drain: Drain,
}

#[derive(Clone, Debug)]
enum On {
    Addresses(Vec<Address>),
    Bound(Listener),
    Nothing(String),
}

/// The beginning of a server's line: accepts connections on an address (`host:port`, `:port`,
/// `unix:/path`), several, or a [`Listener`] that is bound already.
///
/// Whatever is wrong with the address is said when the line is run.
pub fn listen(on: impl Into<Listen>) -> Line<Listen, Id> {
    line(on.into())
}

impl Listen {
    fn on(on: On) -> Self {
        Self {
            on,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            permits_max: CONNECTIONS_MAX,
            drain: Drain::new(),
        }
    }

    /// Serves at most so many connections at once (at least one), over all event loops.
    pub fn connections_max(mut self, connections_max: usize) -> Self {
        self.permits_max = connections_max.clamp(1, u32::MAX as usize >> 3);
        self.permits = Arc::new(Semaphore::new(self.permits_max));
        self
    }

    /// Stops when `drain` says so.
    pub fn draining(mut self, drain: Drain) -> Self {
        self.drain = drain;
        self
    }

    fn bound(&self) -> Result<Listener, Error> {
        match &self.on {
            On::Bound(listener) => Ok(listener.clone()),
            On::Addresses(addresses) => Listener::bind(addresses),
            On::Nothing(why) => Err(Error::new(Kind::Invalid, "reading an address").because(why.clone())),
        }
    }
}

impl From<Listener> for Listen {
    fn from(listener: Listener) -> Self {
        Self::on(On::Bound(listener))
    }
}

impl From<Vec<Address>> for Listen {
    fn from(addresses: Vec<Address>) -> Self {
        Self::on(On::Addresses(addresses))
    }
}

impl From<Address> for Listen {
    fn from(address: Address) -> Self {
        vec![address].into()
    }
}

impl From<&str> for Listen {
    fn from(text: &str) -> Self {
        match text.parse::<Address>() {
            Ok(address) => address.into(),
            Err(bad) => Self::on(On::Nothing(bad.to_string())),
        }
    }
}

impl From<String> for Listen {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl Source for Listen {
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

impl Producer for Listen {
    type Item = Connection<Socket>;

    async fn drive<D: Consumer<Connection<Socket>> + 'static>(self, down: D) -> Result<(), Error> {
        let listener = self.bound()?;
        let producing = Producing {
            down: Arc::new(down),
            permits: self.permits.clone(),
            drain: self.drain.clone(),
            back_off: BACK_OFF.0,
        };
        let mut accepting = Vec::new();
        for bound in listener.0.iter() {
            let acceptor = Acceptor::new(bound).map_err(|cause| Error::internal("listening").because(cause))?;
            accepting.push(producing.clone().accept_all(acceptor));
        }
        // What holds the sockets open is now the acceptors, and on other loops theirs.
        drop((listener, self.on));
        futures_util::future::join_all(accepting).await;
        drained(&self.permits, self.permits_max, &self.drain).await;
        producing.down.finish().await
    }
}

/// Waits until every connection has ended, or the drain's deadline has passed.
pub(crate) async fn drained(permits: &Semaphore, permits_max: usize, drain: &Drain) {
    let mut watch = drain.watch(0);
    let expired = async {
        std::future::poll_fn(|task| match watch.poll(task) {
            Phase::Over => std::task::Poll::Ready(()),
            _ => std::task::Poll::Pending,
        })
        .await;
        tokio::time::sleep(EXPIRY_GRACE).await;
    };
    tokio::select! {
        // All permits back: nobody holds a connection any more.
        _ = permits.acquire_many(permits_max as u32) => {}
        () = expired => {}
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(bound: &Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket.try_clone()?)?),
            Bound::Unix(socket, _) => Self::Unix(UnixListener::from_std(socket.try_clone()?)?),
        })
    }

    async fn accept(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Socket::tcp(stream, address)
            }
            Self::Unix(listener) => Socket::unix(listener.accept().await?.0),
        })
    }
}

/// What accepting needs: the rest of the line, and when to stop.
pub struct Producing<D> {
    down: Arc<D>,
    permits: Arc<Semaphore>,
    drain: Drain,
    back_off: Duration,
}

impl<D> Clone for Producing<D> {
    fn clone(&self) -> Self {
        let Self { down, permits, drain, back_off } = self;
        Self { down: down.clone(), permits: permits.clone(), drain: drain.clone(), back_off: *back_off }
    }
}

impl<D: Consumer<Connection<Socket>> + 'static> Producing<D> {
    async fn accept_all(mut self, acceptor: Acceptor) {
        let mut watch = self.drain.watch(0);
        let mut late = 0;
        loop {
            if watch.phase() != Phase::Serving {
                late += 1;
                if late > BACKLOG {
                    return; // As many as the backlog can have held when draining began.
                }
            }
            let permits = self.permits.clone();
            let draining = std::future::poll_fn(|task| match watch.poll(task) {
                Phase::Serving => std::task::Poll::Pending,
                _ => std::task::Poll::Ready(()),
            });
            let next = async {
                let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
                (acceptor.accept().await, permit)
            };
            tokio::select! {
                biased;
                (accepted, permit) = next => self.accepted(accepted, permit).await,
                // Whoever was already in the backlog has been accepted above: closing the socket
                // resets nobody.
                () = draining => return,
            }
        }
    }

    async fn accepted(&mut self, accepted: io::Result<Socket>, permit: OwnedSemaphorePermit) {
        match accepted {
            Ok(socket) => {
                self.back_off = BACK_OFF.0;
                self.begin(socket, permit);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, wait = ?self.back_off, "cannot accept connections; trying again. Raise the limit on open files (ulimit -n) if this goes on");
                tokio::time::sleep(self.back_off).await;
                self.back_off = (self.back_off * 2).min(BACK_OFF.1);
            }
        }
    }

    fn begin(&self, socket: Socket, permit: OwnedSemaphorePermit) {
        let peer = socket.peer().clone();
        let watch = self.drain.watch(peer.number());
        let connection = Connection { stream: socket, peer, buffered: BytesMut::new(), watch, permit: Some(permit) };
        let down = self.down.clone();
        tokio::spawn(named::<D, _>(async move {
            if let Err(error) = down.accept(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
        }));
    }
}

/// Errors of accept(2) that concern the connection that was to be accepted, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | PermissionDenied | TimedOut
    ) || error.raw_os_error() == Some(libc::EPROTO)
}
