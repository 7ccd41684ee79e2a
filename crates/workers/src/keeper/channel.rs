//! The socket pair between the keeper and a server: datagrams in order, with descriptors beside them,
//! and an end that both sides notice.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::message::MESSAGE_BYTES_MAX;

/// Descriptors in one message. The kernel takes 253.
pub(super) const DESCRIPTORS_MAX: usize = 128;

/// Room for a server that is busy starting while it is told of all sockets.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// A message, and the descriptors that came with it.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) message: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Both ends. The first never waits.
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&ours, SEND_BUFFER_BYTES)?;
        Ok((Self(ours), Self(theirs)))
    }

    /// An end that another process handed down; `None` if this is something else.
    pub(super) fn of(descriptor: OwnedFd) -> Option<Self> {
        let kind = rustix::net::sockopt::socket_type(&descriptor).ok()?;
        (kind == SocketType::SEQPACKET).then_some(Self(descriptor))
    }

    /// Sends one message.
    pub(super) fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets for one message"));
        }
        if !descriptors.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(message)], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; `None` once the other side is gone.
    pub(super) fn receive(&self) -> io::Result<Option<Received>> {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut message)], &mut beside, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None), // It died with messages unread.
                received => break received?,
            }
        };
        let mut descriptors = Vec::new();
        for part in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = part {
                descriptors.extend(sent);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut"));
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        message.truncate(received.bytes);
        Ok(Some(Received { message, descriptors }))
    }

    pub(super) fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn messages_keep_their_borders_and_descriptors() {
        let (near, far) = Channel::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        near.send(b"first", &[]).unwrap();
        near.send(b"second", &[writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let first = far.receive().unwrap().unwrap();
        assert_eq!((first.message.as_slice(), first.descriptors.len()), (b"first".as_slice(), 0));
        let second = far.receive().unwrap().unwrap();
        assert_eq!((second.message.as_slice(), second.descriptors.len()), (b"second".as_slice(), 2));
        let mut descriptors = second.descriptors.into_iter();
        io::PipeWriter::from(descriptors.next().unwrap()).write_all(b"through").unwrap();
        drop(descriptors);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn the_end_of_the_other_side_is_noticed() {
        let (near, far) = Channel::pair().unwrap();
        assert_eq!(near.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        far.send(b"unread", &[]).unwrap();
        drop(near);
        assert!(far.receive().unwrap().is_none());
        far.send(b"late", &[]).unwrap_err();
    }

    #[test]
    fn more_descriptors_than_fit_are_refused() {
        let (near, far) = Channel::pair().unwrap();
        near.send(b"x", &[near.as_fd(); DESCRIPTORS_MAX + 1]).unwrap_err();
        near.send(b"x", &[near.as_fd(); DESCRIPTORS_MAX]).unwrap();
        assert_eq!(far.receive().unwrap().unwrap().descriptors.len(), DESCRIPTORS_MAX);
    }
}
