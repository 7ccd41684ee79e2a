//! One UDP socket: datagrams in with the address they were sent to, and out from that address.
//!
//! A socket bound to every address of the machine would have the kernel choose a reply's source,
//! which may be another than the one the peer asked, and then the peer takes it for a stranger's.
//! Such a socket says where each datagram was sent (`IP_PKTINFO`, ip(7); RFC 3542 §6).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{MaybeUninitSlice, MsgHdr, MsgHdrMut, SockAddr, SockRef};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use unary_service::Error;

/// More than any datagram's length, so that none is cut off unnoticed.
pub(super) const RECEIVE_BYTES: usize = 64 * 1024;

/// A socket's buffer empties as fast as the network takes it. A reply that still finds no room
/// after this is lost, as datagrams may be.
const SEND_TIME_MAX: Duration = Duration::from_secs(1);

/// Where a datagram came from, and which of our addresses it was sent to where that must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) peer: SocketAddr,
    local: Option<IpAddr>,
}

#[derive(Debug)]
pub(super) struct Port {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Port {
    /// The socket as one of the current event loop.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        if local.ip().is_unspecified() {
            ask_for_local_address(&socket, local)?;
        }
        Ok(Self { socket: UdpSocket::from_std(socket)?, local })
    }

    /// The address the datagram was sent to.
    pub(super) fn local(&self, origin: &Origin) -> SocketAddr {
        SocketAddr::new(origin.local.unwrap_or(self.local.ip()), self.local.port())
    }

    /// Waits for a datagram, which takes the place of what `bytes` held. Nothing is lost if the
    /// future is dropped.
    pub(super) async fn receive(&self, bytes: &mut BytesMut) -> io::Result<Origin> {
        self.socket.async_io(Interest::READABLE, || self.receive_now(bytes)).await
    }

    /// The same, without waiting.
    pub(super) fn receive_now(&self, bytes: &mut BytesMut) -> io::Result<Origin> {
        bytes.clear();
        bytes.reserve(RECEIVE_BYTES);
        let mut peer = SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))); // Room for either family.
        let mut control = [MaybeUninit::new(0); CONTROL_BYTES];
        let mut buffers = [MaybeUninitSlice::new(bytes.spare_capacity_mut())];
        let mut message = MsgHdrMut::new().with_addr(&mut peer).with_buffers(&mut buffers).with_control(&mut control);
        let length = SockRef::from(&self.socket).recvmsg(&mut message, 0)?;
        let control_length = message.control_len();
        // SAFETY: recvmsg(2) wrote the first `length` bytes of the spare capacity it was given.
        unsafe { bytes.set_len(length) };
        // SAFETY: all of it was initialised above; the kernel can only have changed it.
        let control = control.map(|byte| unsafe { byte.assume_init() });
        let peer = peer.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Origin { peer, local: local_address(control.get(..control_length).unwrap_or_default()) })
    }

    /// Sends a datagram back to where another came from.
    pub(super) async fn send(&self, bytes: &[u8], to: &Origin) -> Result<(), Error> {
        let peer = SockAddr::from(to.peer);
        let buffers = [IoSlice::new(bytes)];
        let (control, control_length) = to.local.map_or(([0; CONTROL_BYTES], 0), source_address);
        let send = || {
            let message = MsgHdr::new().with_addr(&peer).with_buffers(&buffers);
            // An empty control buffer is none at all.
            let message = if control_length == 0 { message } else { message.with_control(&control[..control_length]) };
            SockRef::from(&self.socket).sendmsg(&message, 0)
        };
        match tokio::time::timeout(SEND_TIME_MAX, self.socket.async_io(Interest::WRITABLE, send)).await {
            Err(_) => Err(Error::timeout("sending a datagram: the network takes nothing")),
            Ok(sent) => Ok(sent.map(|_| ())?),
        }
    }
}

fn ask_for_local_address(socket: &std::net::UdpSocket, local: SocketAddr) -> io::Result<()> {
    let (level, option) = match local {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO), // IPv4 as mapped addresses.
    };
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: `on` is readable for `length` bytes, and the descriptor is open while `socket` is
    // borrowed.
    let status = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A control message (cmsg(3)): its whole length in a machine word, level, type; then the data.
const WORD: usize = size_of::<usize>();
const HEADER_BYTES: usize = WORD + 8;

/// Room for one control message with the longer of the two kinds of data.
const CONTROL_BYTES: usize = (HEADER_BYTES + size_of::<libc::in6_pktinfo>()).next_multiple_of(WORD);

/// The address a datagram was sent to, from the control message that came with it.
fn local_address(control: &[u8]) -> Option<IpAddr> {
    let int = |at: usize| Some(i32::from_ne_bytes(control.get(at..at + 4)?.try_into().ok()?));
    let data = control.get(HEADER_BYTES..)?;
    match (int(WORD)?, int(WORD + 4)?) {
        // struct in_pktinfo: interface, our address, the address in the packet, which may be a
        // broadcast one and then no source.
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data.get(4..8)?).ok()?).into()),
        // struct in6_pktinfo: the address, interface.
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(data.get(..16)?).ok()?);
            (!address.is_multicast()).then_some(address.into())
        }
        _ => None,
    }
}

/// The control message that makes `address` a datagram's source, and its length.
fn source_address(address: IpAddr) -> ([u8; CONTROL_BYTES], usize) {
    let mut control = [0; CONTROL_BYTES]; // The interface stays 0: as the routes say.
    let (level, kind, data_bytes) = match address {
        IpAddr::V4(v4) => {
            control[HEADER_BYTES + 4..HEADER_BYTES + 8].copy_from_slice(&v4.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
        }
        IpAddr::V6(v6) => {
            control[HEADER_BYTES..HEADER_BYTES + 16].copy_from_slice(&v6.octets());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
        }
    };
    let length = HEADER_BYTES + data_bytes;
    control[..WORD].copy_from_slice(&length.to_ne_bytes());
    control[WORD..WORD + 4].copy_from_slice(&level.to_ne_bytes());
    control[WORD + 4..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
    (control, length.next_multiple_of(WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str) {
        let address: IpAddr = address.parse().unwrap();
        let (control, length) = source_address(address);
        assert_eq!(local_address(&control[..length]), Some(address));
        for cut in 0..length.min(HEADER_BYTES) {
            assert_eq!(local_address(&control[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn control_messages_say_what_was_put_in() {
        check("192.0.2.7");
        check("2001:db8::7");
        check("::ffff:192.0.2.7");
    }

    #[test]
    fn other_control_messages_say_nothing() {
        let (mut control, length) = source_address(Ipv4Addr::LOCALHOST.into());
        control[WORD..WORD + 4].copy_from_slice(&libc::SOL_SOCKET.to_ne_bytes());
        assert_eq!(local_address(&control[..length]), None);
    }
}
