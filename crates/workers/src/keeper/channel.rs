//! The socket pair between the keeper and a server: datagrams in order, with descriptors beside them,
//! and an end that both sides notice.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt::set_socket_linger,
};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::MESSAGE_BYTES_MAX;

/// Descriptors in one message. The kernel takes 253.
pub(crate) const DESCRIPTORS_MAX: usize = 128;

/// Room for a server that is busy starting while it is told of all sockets.
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What came: how many bytes, and the descriptors beside them.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Whether that is all that was sent. What does not fit into the room for it is lost, and so are descriptors that
    /// this process has no number left for; messages after it come whole.
    pub(crate) is_whole: bool,
}

/// A message, and the descriptors that came with it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) message: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Channel {
    /// Both ends. The first never waits.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(&ours, SEND_BUFFER_BYTES)?;
        Ok((Self(ours), Self(theirs)))
    }

    /// An end that another process handed down; `None` if this is something else.
    pub(crate) fn of(descriptor: OwnedFd) -> Option<Self> {
        let kind = rustix::net::sockopt::socket_type(&descriptor).ok()?;
        (kind == SocketType::SEQPACKET).then_some(Self(descriptor))
    }

    /// Sends one message, and waits where the other side is slow, unless this end never waits.
    pub(crate) fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(message, descriptors, SendFlags::NOSIGNAL)
    }

    /// Sends one message, and never waits.
    pub(crate) fn try_send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(message, descriptors, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, message: &[u8], descriptors: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets for one message"));
        }
        if !descriptors.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        rustix::net::sendmsg(&self.0, &[IoSlice::new(message)], &mut beside, flags)?;
        Ok(())
    }

    /// The next message; `None` once the other side is gone. One of which a part is lost is an error by [`is_cut`], and
    /// the next one can be had.
    pub(crate) fn receive(&self) -> io::Result<Option<Received>> {
        let mut message = vec![0; MESSAGE_BYTES_MAX];
        let Some(taken) = self.receive_with(&mut message, RecvFlags::empty())? else { return Ok(None) };
        if !taken.is_whole {
            return Err(cut());
        }
        message.truncate(taken.bytes);
        Ok(Some(Received { message, descriptors: taken.descriptors }))
    }

    /// The next message, if there is one; `None` once the other side is gone. Never waits.
    pub(crate) fn try_receive(&self, message: &mut [u8]) -> io::Result<Option<Taken>> {
        self.receive_with(message, RecvFlags::DONTWAIT)
    }

    fn receive_with(&self, message: &mut [u8], flags: RecvFlags) -> io::Result<Option<Taken>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(message)], &mut beside, flags) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::CONNRESET) => return Ok(None), // It died with messages unread.
                received => break received?,
            }
        };
        let mut descriptors = Vec::new();
        for part in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(sent) = part {
                descriptors.extend(sent.inspect(will_not_linger));
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let is_whole = !received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        Ok(Some(Taken { bytes: received.bytes.min(message.len()), descriptors, is_whole }))
    }

    /// Another descriptor of the same end.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// Watched by the event loop of this thread.
    pub(crate) fn watched(self, interest: Interest) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned, so that it stays open, and its number the same, until this is dropped.
        let watched = unsafe { AsyncFd::register_with_interest(self, interest) };
        watched.map_err(|error| error.into_parts().1)
    }

    pub(crate) fn into_descriptor(self) -> OwnedFd {
        self.0
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message came without all of its descriptors, or was too long")
}

/// Whether this is about one message, and others can be had after it.
pub(crate) fn is_cut(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

/// Sees to it that closing a socket of somebody else's does not wait for its peer.
fn will_not_linger(descriptor: &OwnedFd) {
    let _ = set_socket_linger(descriptor, None); // What is no socket does not wait either.
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
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
    fn what_is_cut_takes_nothing_else_with_it() {
        let (near, far) = Channel::pair().unwrap();
        near.send(b"too long", &[near.as_fd()]).unwrap();
        near.send(&[0; MESSAGE_BYTES_MAX + 1], &[]).unwrap();
        near.send(b"next", &[]).unwrap();
        let taken = far.try_receive(&mut [0; 3]).unwrap().unwrap();
        assert_eq!((taken.bytes, taken.descriptors.len(), taken.is_whole), (3, 1, false));
        assert!(is_cut(&far.receive().unwrap_err()));
        assert_eq!(far.receive().unwrap().unwrap().message, b"next");
    }

    #[test]
    fn more_descriptors_than_fit_are_refused() {
        let (near, far) = Channel::pair().unwrap();
        near.send(b"x", &[near.as_fd(); DESCRIPTORS_MAX + 1]).unwrap_err();
        near.send(b"x", &[near.as_fd(); DESCRIPTORS_MAX]).unwrap();
        assert_eq!(far.receive().unwrap().unwrap().descriptors.len(), DESCRIPTORS_MAX);
    }
}
