//! How a server has programs run: it asks its keeper, which starts them, waits for them, and ends them.
//!
//! The server names a program of the config, and hands over what belongs to this run of it: variables that tell of a
//! request, and descriptors. So it is never forked, however large it is, it never waits, and it can have nothing run
//! but what the config says.
//!
//! Each running program has a channel of its own between the two, on which the keeper tells how it ended. While the
//! server holds its end, which is [`Running`], the program's number stays its own, so that a signal reaches it and
//! those it started, and nobody else. A server that dies lets go of all at once; what becomes of its programs is said
//! by [`Launch::finish_time`].

mod environment;
mod launch;
pub(crate) mod message;
mod running;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::Interest;
use unary_service::{Error, Kind};

use crate::keeper::channel::Channel;
pub use environment::may_be_set;
pub(crate) use launch::Asked;
pub use launch::{LAUNCH_BYTES_MAX, Launch, SOCKETS_MAX};
use message::{News, Refused};
use running::Handle;
pub use running::Running;
pub use rustix::process::Signal;

/// How long the keeper may take to start a program. It does not wait for it: this is for a disk that is slow, and for a
/// keeper that is held.
pub const START_MAX: Duration = Duration::from_secs(10);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Nobody knows: the keeper is gone.
    Unknown,
}

impl Exit {
    /// Whether all went well, as far as it says.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("it is gone"),
        }
    }
}

/// A server's way to programs. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Spawner(Arc<OnceLock<Channel>>);

impl Spawner {
    /// Asks the keeper at the other end of the channel that came, from now on, if there was none.
    pub(crate) fn connect_over(&self, descriptors: Vec<OwnedFd>) {
        if let Some(channel) = descriptors.into_iter().next().and_then(Channel::of) {
            let _ = self.0.set(channel); // A keeper says it once.
        }
    }

    /// Has a program run. Dropping the future ends what it may have begun.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file, `Forbidden` if it may not be run, `Upstream` if it is nothing that can be
    /// run, `Overloaded` if there is no room for it now, `Unavailable` if there is no keeper, `TooLarge` if what belongs
    /// to it is; the cause says why.
    pub async fn spawn(&self, launch: Launch) -> Result<Running, Error> {
        let step = || format!("starting the program {}", launch.program);
        let message = launch.encode()?;
        let no_keeper =
            || Error::new(Kind::Unavailable, step()).because("this server has no keeper that runs programs");
        let channel = self.0.get().ok_or_else(no_keeper)?;
        let failed = |error: io::Error| Error::internal(step()).because(error);
        let (theirs, ours) = Channel::pair().map_err(failed)?;
        let handle = Handle::new(ours).map_err(failed)?;
        let started = async {
            let beside: Vec<_> = std::iter::once(theirs.as_fd()).chain(launch.descriptors()).collect();
            send(channel, &message, &beside).await?;
            drop(beside);
            drop(theirs); // Or the end of the keeper's would not be seen.
            handle.news().await
        };
        let late = || Error::timeout(step()).because("the keeper does not answer");
        let started = tokio::time::timeout(START_MAX, started).await.map_err(|_| late())?;
        match started {
            Ok(News::Started(pid)) => Ok(Running::new(launch.program, pid, handle)),
            Ok(News::Refused(refused, why)) => Err(Error::new(kind_of(refused), step()).because(why)),
            Ok(News::Ended(_)) => Err(Error::internal(step()).because("the keeper said what makes no sense")),
            Err(cause) => Err(Error::new(Kind::Unavailable, step()).because(cause)),
        }
    }
}

fn kind_of(refused: Refused) -> Kind {
    match refused {
        Refused::NotFound => Kind::NotFound,
        Refused::Forbidden => Kind::Forbidden,
        Refused::Broken => Kind::Upstream,
        Refused::NoRoom => Kind::Overloaded,
        Refused::Unknown | Refused::Failed => Kind::Internal,
    }
}

/// Sends when the keeper has room for it: a full channel holds up whoever asks, and nobody else.
async fn send(channel: &Channel, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let is_full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    match channel.try_send(message, descriptors) {
        Err(error) if is_full(&error) => {}
        sent => return sent,
    }
    // Rare, and so a descriptor for this event loop is made when it is needed.
    let own = channel.try_clone()?.watched(Interest::WRITABLE)?;
    loop {
        let mut ready = own.writable().await?;
        match ready.try_io(|_| channel.try_send(message, descriptors)) {
            Ok(sent) => return sent,
            Err(_is_full) => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
