//! Bodies whose length is not known beforehand: they are kept until it is, since programs are told it first.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Mode, OFlags, open};
use unary_http::{Body, Request};
use unary_net::file::{FileRange, OpenFile};
use unary_service::pool::Pool;
use unary_service::{Error, HasContext, Kind};

/// As much is kept in memory, which is what a pipe takes at once; what is longer goes into a file without a name, in
/// pieces of about this.
const MEMORY_BYTES_MAX: usize = 64 * 1024;

const STEP: &str = "keeping a body for a program";

/// A body that was kept until all of it was there.
pub(crate) enum Kept {
    InMemory(Bytes),
    /// It stands in the file from where the file is to be read on.
    InFile {
        file: File,
        length: u64,
    },
}

/// Keeps a body, in memory or in a file of this folder.
///
/// # Errors
///
/// If it is longer than this, or does not come whole.
pub(crate) async fn keep(mut body: Body, bytes_max: u64, folder: &Path) -> Result<Kept, Error> {
    let mut kept = BytesMut::new();
    while let Some(bytes) = body.next_bytes().await? {
        kept.extend_from_slice(&bytes);
        if kept.len() as u64 > bytes_max {
            return Err(too_long(bytes_max));
        }
        if kept.len() > MEMORY_BYTES_MAX {
            return in_file(kept, body, bytes_max, folder.to_owned()).await;
        }
    }
    Ok(Kept::InMemory(kept.freeze()))
}

/// The same body, and how long it is: kept for that, if it has to be.
///
/// # Errors
///
/// Those of [`keep`].
pub(crate) async fn measured(body: Body, bytes_max: u64) -> Result<(Body, u64), Error> {
    if let Some(length) = body.length() {
        return Ok((body, length));
    }
    match keep(body, bytes_max, &std::env::temp_dir()).await? {
        Kept::InMemory(bytes) => {
            let length = bytes.len() as u64;
            Ok((bytes.into(), length))
        }
        Kept::InFile { file, length } => {
            let file = Pool::shared().run(move || Arc::new(OpenFile::new(file))).await?;
            Ok((Body::file(FileRange { file, offset: 0, length }), length))
        }
    }
}

/// The request with such a body.
///
/// # Errors
///
/// Those of [`keep`].
pub(crate) async fn with_length(request: Request, bytes_max: u64) -> Result<Request, Error> {
    let (head, body) = request.into_parts();
    let context = body.context().cloned().unwrap_or_default();
    let (body, _) = measured(body, bytes_max).await?;
    Ok(Request::from_parts(head, body.with_context(context)))
}

/// Keeps a long one in a file. Writing waits for a disk, so threads of the pool do it.
async fn in_file(mut kept: BytesMut, mut body: Body, bytes_max: u64, folder: PathBuf) -> Result<Kept, Error> {
    let failed = |cause: io::Error| Error::internal(STEP).because(cause);
    let mut file = Pool::shared().run(move || unnamed(&folder)).await?.map_err(failed)?;
    let mut length = 0;
    loop {
        let next = body.next_bytes().await?;
        if kept.len() >= MEMORY_BYTES_MAX || next.is_none() {
            let full: Bytes = kept.split().freeze();
            length += full.len() as u64;
            let write = move || file.write_all(&full).map(|()| file);
            file = Pool::shared().run(write).await?.map_err(failed)?;
        }
        let Some(bytes) = next else { break };
        kept.extend_from_slice(&bytes);
        if length + kept.len() as u64 > bytes_max {
            return Err(too_long(bytes_max));
        }
    }
    file.rewind().map_err(failed)?;
    Ok(Kept::InFile { file, length })
}

fn too_long(bytes_max: u64) -> Error {
    Error::new(Kind::TooLarge, STEP).because(format!("it has no length, and is longer than the {bytes_max} bytes kept"))
}

/// A file that nobody else can open, and that is gone with its last descriptor.
fn unnamed(folder: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    open(folder, flags, Mode::RUSR | Mode::WUSR).map(File::from).map_err(|cause| {
        let cause = io::Error::from(cause);
        io::Error::new(cause.kind(), format!("cannot make a file in {}: {cause}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    /// So many bytes, a few at a time, without a word on how many.
    struct Bulk(usize);

    impl http_body::Body for Bulk {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            let length = self.0.min(1000);
            self.0 -= length;
            Poll::Ready((length > 0).then(|| Ok(Frame::data(vec![b'x'; length].into()))))
        }
    }

    async fn check(length: usize, bytes_max: u64) {
        let measured = measured(Body::stream(Bulk(length)), bytes_max).await;
        if length as u64 > bytes_max {
            return assert_eq!(measured.unwrap_err().kind(), Kind::TooLarge, "{length} of {bytes_max} bytes");
        }
        let (body, found) = measured.unwrap();
        assert_eq!((found, body.length()), (length as u64, Some(length as u64)));
        assert_eq!(body.collect(length).await.unwrap(), vec![b'x'; length], "{length} bytes");
    }

    #[tokio::test]
    async fn a_body_is_kept_whole_in_memory_or_in_a_file() {
        for length in [0, 1, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 1_000_000] {
            check(length, 1_000_000).await;
            check(length, length as u64).await;
            check(length + 1, length as u64).await;
        }
    }
}
