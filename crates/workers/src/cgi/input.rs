//! What a program reads: the request's body, exactly as long as it is told, and then the end.
//!
//! A body that has a length is passed on as it comes. One that has none is kept until it has: in memory, and from some
//! size on in a file without a name, which is then the program's input itself.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use unary_http::Body;
use unary_service::pool::Pool;
use unary_service::{Error, Kind};

use super::Settings;

/// A body without a length is kept in memory up to this: what a pipe takes at once.
const MEMORY_BYTES_MAX: usize = 64 * 1024;

const STEP: &str = "keeping a body for a program";

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
pub(super) async fn prepare(
    head: &Parts,
    mut body: Body,
    offered: Offered,
    settings: &Settings,
) -> Result<Input, Error> {
    if let Some(length) = body.length() {
        if length > 0 {
            return passed_on(Bytes::new(), body, length, length);
        }
        let is_said = head.headers.contains_key(CONTENT_LENGTH);
        return without_body(offered, is_said.then_some(0));
    }
    let mut kept = BytesMut::new();
    while let Some(bytes) = body.next_bytes().await? {
        if kept.len() + bytes.len() > MEMORY_BYTES_MAX {
            return in_file(kept, bytes, body, settings).await;
        }
        kept.extend_from_slice(&bytes);
    }
    let length = kept.len() as u64;
    if length == 0 { without_body(offered, Some(0)) } else { passed_on(kept.freeze(), Body::empty(), 0, length) }
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

/// Keeps a long body in a file. Writing waits for a disk, so threads of the pool do it.
async fn in_file(kept: BytesMut, next: Bytes, mut body: Body, settings: &Settings) -> Result<Input, Error> {
    let failed = |cause: io::Error| Error::internal(STEP).because(cause);
    let folder = settings.spool_folder.clone();
    let mut file = Pool::shared().run(move || unnamed(folder)).await?.map_err(failed)?;
    let mut length = kept.len() as u64;
    let (mut chunk, mut next) = (kept, Some(next));
    while let Some(bytes) = next {
        length += bytes.len() as u64;
        if length > settings.spool_bytes_max {
            let why = format!("it has no length, and is longer than the {} bytes kept", settings.spool_bytes_max);
            return Err(Error::new(Kind::TooLarge, STEP).because(why));
        }
        chunk.extend_from_slice(&bytes);
        next = body.next_bytes().await?;
        if chunk.len() >= MEMORY_BYTES_MAX || next.is_none() {
            let full = chunk.split().freeze();
            let write = move || file.write_all(&full).map(|()| file);
            file = Pool::shared().run(write).await?.map_err(failed)?;
        }
    }
    file.rewind().map_err(failed)?;
    Ok(Input { stdin: file.into(), feed: None, held: None, length: Some(length) })
}

/// A file that nobody else can open, and that is gone with its last descriptor.
fn unnamed(folder: PathBuf) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let made = open(&folder, flags, Mode::RUSR | Mode::WUSR);
    made.map(File::from).map_err(|cause| {
        let cause = io::Error::from(cause);
        io::Error::new(cause.kind(), format!("cannot make a file in {}: {cause}", folder.display()))
    })
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
