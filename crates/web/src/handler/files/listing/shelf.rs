//! Listings for as long as they are of use: drawn by few at once, shared by all who ask for the
//! same, and bounded in bytes for as long as anybody reads them.
//!
//! Drawing asks for every name of a folder, and that on the pool which everybody's look-ups need.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Weak};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use unary_net::file::{Root, View};

use super::{Drawn, Wish};
use crate::handler::files::cache::{FRESH, Seen};

/// Listings drawn at once in this process, for each core and at most: half of the pool's threads or
/// fewer, so that there is always one for a look-up.
const TURNS_PER_CORE: usize = 2;
const TURNS_MAX: usize = 32;
/// A turn is waited for so long. That of a usual folder takes a millisecond, of a full one 50 ms.
const TURN_TIME_MAX: Duration = Duration::from_millis(500);
/// The bytes of all listings in this process, whether kept here or on their way to somebody: some
/// forty of full folders.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Listings that one shelf keeps.
const PAGES_MAX: usize = 64;

/// The listings of a root that were drawn lately.
#[derive(Clone, Debug)]
pub(in crate::handler::files) struct Shelf {
    /// Who draws has one of these.
    turns: Arc<Semaphore>,
    /// A permit is a byte.
    room: Arc<Semaphore>,
    kept: Arc<Mutex<Kept>>,
}

/// What a listing is of, and how it is to look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::handler::files) struct Key {
    /// The target's key.
    pub(in crate::handler::files) folder: Box<[u8]>,
    pub(in crate::handler::files) wish: Wish,
}

/// A listing that many replies may send.
#[derive(Clone, Debug)]
pub(in crate::handler::files) struct Page {
    /// They hold their room until the last reply with them is sent.
    pub(super) content: Bytes,
    pub(super) media_type: &'static str,
    pub(super) policy: HeaderValue,
}

#[derive(Debug, Default)]
struct Kept {
    pages: HashMap<Key, (Page, Seen)>,
    sweeper: Option<JoinHandle<()>>,
}

impl Shelf {
    /// A shelf that shares turns and room with all others.
    pub(in crate::handler::files) fn new() -> Self {
        static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
            let cores = thread::available_parallelism().map_or(1, usize::from);
            Arc::new(Semaphore::new((cores * TURNS_PER_CORE).min(TURNS_MAX)))
        });
        static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(BYTES_MAX)));
        Self::of(TURNS.clone(), ROOM.clone())
    }

    pub(in crate::handler::files) fn of(turns: Arc<Semaphore>, room: Arc<Semaphore>) -> Self {
        Self { turns, room, kept: Arc::default() }
    }

    /// The listing: as it was drawn lately, or drawn anew.
    ///
    /// # Errors
    ///
    /// Those of `draw`, and `ResourceBusy` where there is no turn or no room.
    pub(in crate::handler::files) async fn page<F>(&self, key: Key, root: &Root, draw: F) -> io::Result<Page>
    where
        F: Fn(&View) -> io::Result<Drawn> + Send + 'static,
    {
        if let Some(page) = self.get(&key, seen(root)) {
            return Ok(page);
        }
        let turn = self.turn().await?;
        let seen = seen(root);
        if let Some(page) = self.get(&key, seen) {
            return Ok(page); // Drawn while we waited.
        }
        let shelf = self.clone();
        let drawn = root.look(move |view| {
            let _turn = &turn; // Ours until the work ends, even if nobody waits for it any more.
            shelf.admit(draw(view)?)
        });
        let page = drawn.await?;
        self.put(key, page.clone(), seen);
        Ok(page)
    }

    async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        let turn = timeout(TURN_TIME_MAX, self.turns.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| busy("as many folders as may be are being listed"))
    }

    /// Finds room for a listing.
    fn admit(&self, drawn: Drawn) -> io::Result<Page> {
        let count = u32::try_from(drawn.content.len()).map_err(io::Error::other)?;
        let take = || self.room.clone().try_acquire_many_owned(count).ok();
        let room = take().or_else(|| {
            self.kept().pages.clear(); // What nobody reads any more makes room.
            take()
        });
        let room = room.ok_or_else(|| busy("the listings being sent take all the room there is"))?;
        let policy = HeaderValue::try_from(drawn.policy).map_err(io::Error::other)?;
        let content = Bytes::from_owner(Content { bytes: drawn.content.into_boxed_str(), _room: room });
        Ok(Page { content, media_type: drawn.media_type, policy })
    }

    fn get(&self, key: &Key, now: Seen) -> Option<Page> {
        let kept = self.kept();
        let (page, seen) = kept.pages.get(key)?;
        seen.is_within(FRESH, now).then(|| page.clone())
    }

    fn put(&self, key: Key, page: Page, seen: Seen) {
        let mut kept = self.kept();
        if kept.pages.len() >= PAGES_MAX {
            kept.pages.clear();
        }
        kept.pages.insert(key, (page, seen));
        // The one before may have ended with the runtime that it was in.
        if kept.sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            kept.sweeper = Some(tokio::spawn(sweep(Arc::downgrade(&self.kept))));
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

/// The bytes of a listing, and the room they take.
struct Content {
    bytes: Box<str>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

/// Takes down what is not fresh, until nothing is left or the shelf is gone.
async fn sweep(kept: Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(FRESH).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = lock(&kept);
        let now = Instant::now();
        kept.pages.retain(|_, (_, seen)| now.saturating_duration_since(seen.at) < FRESH);
        if kept.pages.is_empty() {
            *kept = Kept::default();
            return;
        }
    }
}

fn seen(root: &Root) -> Seen {
    Seen { at: Instant::now(), generation: root.generation() }
}

fn busy(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ResourceBusy, why)
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().expect("no panic while the lock is held")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::sync_channel;

    use unary_testkit::TempDir;

    use super::*;

    const ROOM: usize = 1000;

    fn shelf() -> Shelf {
        Shelf::of(Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(ROOM)))
    }

    fn key(folder: &str) -> Key {
        Key { folder: folder.as_bytes().into(), wish: Wish::of(None, &http::HeaderMap::new()) }
    }

    /// A listing of this length, once all may wait for the disk.
    fn drawn(view: &View, length: usize) -> io::Result<Drawn> {
        view.list(Path::new(""), |_| true)?;
        let policy = String::new();
        Ok(Drawn { content: "x".repeat(length), media_type: "text/plain", policy })
    }

    async fn page(shelf: &Shelf, root: &Root, folder: &str, length: usize) -> io::Result<Page> {
        shelf.page(key(folder), root, move |view| drawn(view, length)).await
    }

    /// Waits for a thread of the pool, without letting time pass.
    async fn until(mut done: impl FnMut() -> bool) {
        while !done() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_that_nobody_waits_for_keeps_its_turn_to_the_end() {
        let folder = TempDir::new();
        let (shelf, root) = (shelf(), Root::open(folder.path()).unwrap());
        let (begun, begins) = sync_channel(1);
        let (end, ended) = sync_channel::<()>(1);
        let ended = Mutex::new(ended);
        let drawing = shelf.page(key("a"), &root, move |view| {
            let drawn = drawn(view, 1)?;
            begun.send(()).unwrap();
            ended.lock().unwrap().recv().unwrap();
            Ok(drawn)
        });
        tokio::select! {
            biased;
            _ = drawing => panic!("it was not told to end"),
            () = until(|| begins.try_recv().is_ok()) => {}
        }
        assert_eq!(shelf.turns.available_permits(), 0, "the request is gone, the work is not");
        let refused = page(&shelf, &root, "b", 1).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        end.send(()).unwrap();
        until(|| shelf.turns.available_permits() == 1).await;
        assert_eq!(page(&shelf, &root, "b", 1).await.unwrap().content, "x");
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_one_listing_share_it() {
        let folder = TempDir::new();
        let (shelf, root) = (shelf(), Root::open(folder.path()).unwrap());
        let first = page(&shelf, &root, "a", 600).await.unwrap();
        let second = page(&shelf, &root, "a", 601).await.unwrap();
        assert_eq!(first.content.as_ptr(), second.content.as_ptr());
        tokio::time::advance(FRESH).await;
        drop((first, second));
        assert_eq!(page(&shelf, &root, "a", 602).await.unwrap().content.len(), 602, "drawn anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_is_bounded_and_what_is_kept_makes_room() {
        let folder = TempDir::new();
        let (shelf, root) = (shelf(), Root::open(folder.path()).unwrap());
        drop(page(&shelf, &root, "a", 600).await.unwrap());
        assert_eq!(shelf.room.available_permits(), 400, "it is kept");
        let read = page(&shelf, &root, "b", 600).await.unwrap();
        let refused = page(&shelf, &root, "c", 600).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        drop(read);
        page(&shelf, &root, "c", 600).await.unwrap();
        tokio::time::sleep(FRESH * 3).await;
        assert_eq!(shelf.room.available_permits(), ROOM, "nothing is kept for long");
    }
}
