//! Binding: from an address to sockets that listen, and what is said when that cannot be.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};
use unary_service::{Error, Kind};

use crate::Address;

/// Connections the kernel completes ahead of us. Linux cuts it to `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4_096;

/// A socket that listens.
#[derive(Debug)]
pub(super) enum Bound {
    Tcp(TcpListener),
    /// With the path that is to go with it, if it is ours.
    Unix(UnixListener, Option<Arc<UnixPath>>),
}

/// Removes the socket's path when the last that accepts from it closes.
#[derive(Debug)]
pub(super) struct UnixPath(PathBuf);

impl UnixPath {
    /// Leaves the path where it is.
    pub(super) fn keep(path: Arc<Self>) {
        std::mem::forget(path);
    }
}

impl Drop for UnixPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    pub(super) fn address(&self) -> Option<Address> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok().map(Address::from),
            Self::Unix(socket, _) => Some(Address::Unix(socket.local_addr().ok()?.as_pathname()?.to_owned())),
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket, path) => Self::Unix(socket.try_clone()?, path.clone()),
        })
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket, _) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Bound {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// Whether a socket may be bound where another one is.
#[derive(Clone, Copy)]
pub(super) enum Sharing {
    /// No, so that a port that somebody has is refused, even if that somebody is ourselves; but further
    /// ones may join it later.
    Refuses,
    /// Yes, if they are ours.
    Joins,
}

/// Binds an address: for each socket address that it stands for, so many sockets.
pub(super) fn bind(address: &Address, sockets_each: usize, sharing: Sharing) -> io::Result<Vec<Vec<Bound>>> {
    let (host, port) = match address {
        Address::Unix(path) => return Ok(vec![vec![bind_unix(path)?]]),
        Address::Tcp { host, port } => (host, *port),
    };
    let mut resolved = address.resolve()?;
    if port == 0 {
        resolved.truncate(1); // Several would each get a port of their own.
    }
    let mut groups = Vec::new();
    for socket_address in resolved {
        let first = match bind_tcp(socket_address, sharing) {
            // A machine without IPv6 still has every IPv4 address.
            Err(_) if host.is_none() => bind_tcp((Ipv4Addr::UNSPECIFIED, port).into(), sharing)?,
            socket => socket?,
        };
        let mut group = vec![Bound::Tcp(first)];
        for _ in 1..sockets_each {
            group.push(join(&group[0])?);
        }
        groups.push(group);
    }
    Ok(groups)
}

/// One more socket where this one is bound.
pub(super) fn join(first: &Bound) -> io::Result<Bound> {
    match first {
        Bound::Tcp(first) => Ok(Bound::Tcp(bind_tcp(first.local_addr()?, Sharing::Joins)?)),
        Bound::Unix(..) => first.try_clone(),
    }
}

/// Sockets that somebody else bound, those of one address together.
pub(super) fn adopt(sockets: Vec<OwnedFd>) -> io::Result<Vec<Vec<Bound>>> {
    let mut groups: Vec<(SockAddr, Vec<Bound>)> = Vec::new();
    for socket in sockets {
        let socket = socket2::Socket::from(socket);
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket does not listen"));
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let bound = if address.is_unix() {
            Bound::Unix(OwnedFd::from(socket).into(), None)
        } else {
            socket.set_tcp_nodelay(true)?; // As those that we bind.
            Bound::Tcp(socket.into())
        };
        match groups.iter_mut().find(|(known, _)| *known == address) {
            Some((_, group)) => group.push(bound),
            None => groups.push((address, vec![bound])),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| group).collect())
}

fn bind_tcp(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit this, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(matches!(sharing, Sharing::Joins))?;
    socket.bind(&SockAddr::from(address))?;
    socket.set_reuse_port(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path) -> io::Result<Bound> {
    use std::os::unix::net::UnixStream;
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
    // The standard library asks for 128, in whose queue a burst is refused while a server starts anew.
    SockRef::from(&listener).listen(BACKLOG)?;
    listener.set_nonblocking(true)?;
    Ok(Bound::Unix(listener, Some(Arc::new(UnixPath(path.to_owned())))))
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
