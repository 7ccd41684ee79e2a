//! Sockets that listen, on their way from the process that opens them to the one that serves.

use std::os::fd::OwnedFd;

use unary_service::Error;

use super::bind::{self, Bound, Sharing, cannot_listen};
use crate::Address;

/// The sockets of one address, listening. Dropping it closes them here and leaves a Unix socket's path.
#[derive(Debug)]
pub struct Opened {
    /// The address, as it was asked for.
    pub address: Address,
    /// The sockets.
    pub sockets: Vec<OwnedFd>,
}

impl Opened {
    /// Listens there: with so many sockets for each TCP address it stands for, one for a Unix socket.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::bind`](super::Listener::bind).
    pub fn open(address: &Address, sockets_each: usize) -> Result<Self, Error> {
        Self::bind(address, sockets_each, Sharing::Refuses)
    }

    /// The same for an address that has its port in common with one that is listened on by this user already, as
    /// `127.0.0.1:80` has with `:80`. Whoever connects is led to the one that says more.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_beside(address: &Address, sockets_each: usize) -> Result<Self, Error> {
        Self::bind(address, sockets_each, Sharing::Joins)
    }

    fn bind(address: &Address, sockets_each: usize, sharing: Sharing) -> Result<Self, Error> {
        let groups = bind::bind(address, sockets_each, sharing).map_err(|cause| cannot_listen(address, cause))?;
        let sockets = groups.into_iter().flatten().map(Bound::into_socket).collect();
        Ok(Self { address: address.clone(), sockets })
    }

    /// Where that is, with the ports the kernel chose.
    pub fn addresses(&self) -> Vec<Address> {
        let mut addresses = Vec::new();
        for socket in &self.sockets {
            let address = socket2::SockRef::from(socket).local_addr().ok();
            let address = address.and_then(|address| match address.as_socket() {
                Some(tcp) => Some(Address::from(tcp)),
                None => Some(Address::Unix(address.as_pathname()?.to_owned())),
            });
            addresses.extend(address.filter(|address| !addresses.contains(address)));
        }
        addresses
    }
}

impl Bound {
    /// The bare socket, whose path is somebody else's care from now on.
    fn into_socket(self) -> OwnedFd {
        match self {
            Self::Tcp(socket) => socket.into(),
            Self::Unix(socket, path) => {
                path.into_iter().for_each(super::bind::UnixPath::keep);
                socket.into()
            }
        }
    }
}
