//! What a program reads: the request's body, exactly as long as it is told, and then the end.
//!
//! A body that has a length is passed on as it comes. One that has none is kept until it has: in memory, and from some
//! size on in a file without a name, which is then the program's input itself.

use std::io;
use std::os::fd::OwnedFd;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use unary_http::Body;
use unary_service::Error;

use super::Settings;
use crate::spool::{self, Kept};

/// A program's input.
pub(super) struct Input {
    /// What it reads from.
    pub(super) stdin: OwnedFd,
    /// What is still to be written there.
    pub(super) feed: Option<Feed>,
    /// Our end of it, while the connection may come to be the program's.
    pub(super) held: Option<Sender>,
    /// How long it is; `None` for a request without a body.
    pub(super) length: Option<u64>,
}

/// What becomes of the program's input if it takes up another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Nothing,
    Upgrade,
}

/// A body that is passed on while the program runs.
pub(super) struct Feed {
    to: Sender,
    /// What was read of it already.
    first: Bytes,
    body: Body,
    /// What is still to be read of it.
    left: u64,
}

/// Makes a program's input of a request's body.
pub(super) async fn prepare(head: &Parts, body: Body, offered: Offered, settings: &Settings) -> Result<Input, Error> {
    if let Some(length) = body.length() {
        if length > 0 {
            return passed_on(Bytes::new(), body, length, length);
        }
        let is_said = head.headers.contains_key(CONTENT_LENGTH);
        return without_body(offered, is_said.then_some(0));
    }
    match spool::keep(body, settings.spool_bytes_max, &settings.spool_folder).await? {
        Kept::InMemory(bytes) if bytes.is_empty() => without_body(offered, Some(0)),
        Kept::InMemory(bytes) => {
            let length = bytes.len() as u64;
            passed_on(bytes, Body::empty(), 0, length)
        }
        Kept::InFile { file, length } => Ok(Input { stdin: file.into(), feed: None, held: None, length: Some(length) }),
    }
}

fn without_body(offered: Offered, length: Option<u64>) -> Result<Input, Error> {
    if offered == Offered::Upgrade {
        let (stdin, to) = pipe()?;
        return Ok(Input { stdin, feed: None, held: Some(to), length });
    }
    let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let stdin = null.map_err(|cause| Error::internal("opening /dev/null").because(io::Error::from(cause)))?;
    Ok(Input { stdin, feed: None, held: None, length })
}

fn passed_on(first: Bytes, body: Body, left: u64, length: u64) -> Result<Input, Error> {
    let (stdin, to) = pipe()?;
    let feed = Some(Feed { to, first, body, left });
    Ok(Input { stdin, feed, held: None, length: Some(length) })
}

/// A pipe: the program's end to read from, and ours to write to.
fn pipe() -> Result<(OwnedFd, Sender), Error> {
    let failed = |cause: io::Error| Error::internal("making a pipe for a program").because(cause);
    let (theirs, ours) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(|error| failed(error.into()))?;
    Ok((theirs, Sender::from_owned_fd_unchecked(ours).map_err(failed)?))
}

impl Feed {
    /// Writes all of it, and says each time that something was taken. That the program reads no more is no error: it is
    /// not obliged to.
    ///
    /// # Errors
    ///
    /// If the body does not come whole.
    pub(super) async fn run(mut self, taken: impl Fn()) -> Result<(), Error> {
        let mut next = Some(std::mem::take(&mut self.first)).filter(|first| !first.is_empty());
        loop {
            if let Some(bytes) = next
                && self.to.write_all(&bytes).await.is_err()
            {
                return Ok(());
            }
            taken();
            if self.left == 0 {
                return Ok(());
            }
            let Some(mut bytes) = self.body.next_bytes().await? else {
                return Err(Error::closed("passing a body on: it is shorter than it says"));
            };
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= bytes.len() as u64;
            next = Some(bytes);
        }
    }
}
