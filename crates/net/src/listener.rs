//! Listening sockets: bound, accepting, and what is said when they cannot be.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use unary_service::{Error, Kind};

use crate::{Address, Socket};

/// Connections the kernel completes ahead of us. Linux cuts it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4_096;

/// Bound sockets, listening.
#[derive(Clone, Debug)]
pub struct Listener(Arc<Vec<Bound>>);

#[derive(Debug)]
enum Bound {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, Arc<UnixPath>),
}

/// Removes the socket's path when the last that accepts from it closes.
#[derive(Debug)]
pub(crate) struct UnixPath(PathBuf);

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

    /// The sockets as this thread's event loop takes them.
    pub(crate) fn acceptors(&self) -> Result<Vec<Acceptor>, Error> {
        let acceptors: io::Result<_> = self.0.iter().map(Acceptor::new).collect();
        acceptors.map_err(|cause| Error::internal("listening").because(cause))
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
        Err(taken) if taken.kind() == io::ErrorKind::AddrInUse && !is_socket(path) => {
            let advice = "a file that is no socket is there. Remove it or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, advice));
        }
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
    Ok(Bound::Unix(listener, Arc::new(UnixPath(path.to_owned()))))
}

/// Whether a socket is there, which may be removed; connecting to a file is refused just the same.
fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

pub(crate) fn cannot_listen(address: &Address, cause: io::Error) -> Error {
    let step = format!("listening on {address}");
    let advice = match cause.kind() {
        io::ErrorKind::AddrInUse => "another program listens there. Stop it, or choose another address with --listen",
        io::ErrorKind::PermissionDenied if matches!(address, Address::Tcp { .. }) => {
            "permission denied. Run as root, or allow it: setcap cap_net_bind_service=+ep $(which unary)"
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address. `:PORT` listens on all it has",
        // No attempt would succeed: a name that is no host's, a path that is too long for a socket.
        io::ErrorKind::InvalidInput => return Error::new(Kind::Invalid, step).because(cause),
        _ => return Error::new(Kind::Unavailable, step).because(cause),
    };
    Error::new(Kind::Unavailable, step).because(advice)
}

/// A listening socket in an event loop.
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _path: Arc<UnixPath> },
}

impl Acceptor {
    fn new(bound: &Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(socket) => Self::Tcp(TcpListener::from_std(socket.try_clone()?)?),
            Bound::Unix(socket, path) => {
                Self::Unix { listener: UnixListener::from_std(socket.try_clone()?)?, _path: path.clone() }
            }
        })
    }

    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Socket::tcp(stream, address)
            }
            Self::Unix { listener, .. } => Socket::unix(listener.accept().await?.0),
        })
    }

    /// The next connection if it is there, asked of the kernel: the event loop may not have heard of
    /// it yet. `WouldBlock` if none is.
    pub(crate) fn accept_now(&self) -> io::Result<Socket> {
        let listener = match self {
            Self::Tcp(listener) => SockRef::from(listener),
            Self::Unix { listener, .. } => SockRef::from(listener),
        };
        let (socket, address) = listener.accept()?;
        socket.set_nonblocking(true)?;
        Ok(match address.as_socket() {
            Some(address) => Socket::tcp(TcpStream::from_std(socket.into())?, address),
            None => Socket::unix(UnixStream::from_std(socket.into())?),
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
