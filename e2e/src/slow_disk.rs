//! Storage that takes its time: a file system of this process, mounted through FUSE.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, Request, Session,
};

use crate::wait::pause;

/// How long the kernel may believe what it was told: not even a moment, so that nothing is warm.
const BELIEVED: Duration = Duration::ZERO;

/// How many files there are. They are named `0`, `1` and so on.
pub const FILES: u64 = 100;

/// How many of them are listed.
const LISTED: u64 = 3;

/// A mounted disk on which each read takes so long, and, if that is wanted, finding and listing files. Its
/// files hold one byte again and again: their number, as ASCII counts from `0` on. Dropping it unmounts it.
#[derive(Debug)]
pub struct SlowDisk {
    waits: Arc<Waits>,
    /// Dropped, it unmounts.
    _session: BackgroundSession,
}

/// What the disk takes its time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowAt {
    /// Reading files.
    Reading,
    /// That, finding a file by its name, and saying which there are.
    Everything,
}

/// How many of each are being waited for now.
#[derive(Debug, Default)]
struct Waits {
    reads: AtomicUsize,
    finds: AtomicUsize,
    lists: AtomicUsize,
}

#[derive(Debug)]
struct Slow {
    at: SlowAt,
    time: Duration,
    file_bytes: u64,
    waits: Arc<Waits>,
}

impl SlowDisk {
    /// Mounts it over an empty folder.
    ///
    /// # Errors
    ///
    /// If this machine has no FUSE, or this user may not use it.
    pub fn mount(folder: &Path, at: SlowAt, time: Duration, file_bytes: u64) -> io::Result<Self> {
        let waits = Arc::<Waits>::default();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::RO, MountOption::FSName("slow".to_owned())];
        let slow = Slow { at, time, file_bytes, waits: waits.clone() };
        Ok(Self { waits, _session: Session::new(slow, folder, &config)?.spawn()? })
    }

    /// How many reads are being waited for now.
    pub fn reads(&self) -> usize {
        self.waits.reads.load(Ordering::SeqCst)
    }

    /// How many names are being looked for now.
    pub fn finds(&self) -> usize {
        self.waits.finds.load(Ordering::SeqCst)
    }

    /// How many lists of names are being waited for now.
    pub fn lists(&self) -> usize {
        self.waits.lists.load(Ordering::SeqCst)
    }
}

impl Slow {
    /// Answers after a while. Slow, but not one after the other: as a network file system under load.
    fn later(&self, which: fn(&Waits) -> &AtomicUsize, answer: impl FnOnce() + Send + 'static) {
        let (waits, time) = (self.waits.clone(), self.time);
        which(&waits).fetch_add(1, Ordering::SeqCst);
        thread::spawn(move || {
            pause(time);
            which(&waits).fetch_sub(1, Ordering::SeqCst);
            answer();
        });
    }

    /// The same, but at once where only reading is slow.
    fn maybe_later(&self, which: fn(&Waits) -> &AtomicUsize, answer: impl FnOnce() + Send + 'static) {
        match self.at {
            SlowAt::Reading => answer(),
            SlowAt::Everything => self.later(which, answer),
        }
    }

    /// What is known of a node: 1 is the folder, the files come after it.
    fn about(&self, node: INodeNo) -> Option<FileAttr> {
        let is_folder = node == INodeNo::ROOT;
        if !is_folder && u64::from(node) - 1 > FILES {
            return None;
        }
        Some(FileAttr {
            ino: node,
            size: if is_folder { 0 } else { self.file_bytes },
            blocks: self.file_bytes.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_folder { FileType::Directory } else { FileType::RegularFile },
            perm: if is_folder { 0o755 } else { 0o644 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

/// What the file with this number is full of.
pub fn content(number: u64) -> u8 {
    b'0' + u8::try_from(number % 64).expect("64 fits")
}

impl Filesystem for Slow {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
        let about = number.filter(|number| *number < FILES).and_then(|number| self.about(INodeNo(number + 2)));
        self.maybe_later(
            |waits| &waits.finds,
            move || match about {
                Some(about) => reply.entry(&BELIEVED, &about, Generation(0)),
                None => reply.error(Errno::ENOENT),
            },
        );
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.about(node) {
            Some(about) => reply.attr(&BELIEVED, &about),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = self.file_bytes.saturating_sub(offset).min(u64::from(size));
        let bytes = vec![content(u64::from(node) - 2); usize::try_from(length).expect("the kernel asks for little")];
        self.later(|waits| &waits.reads, move || reply.data(&bytes));
    }

    fn readdir(&self, _: &Request, _: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        self.maybe_later(
            |waits| &waits.lists,
            move || {
                // Few, since each is then asked for by its name.
                for number in offset..LISTED {
                    let node = INodeNo(number + 2);
                    if reply.add(node, number + 1, FileType::RegularFile, number.to_string()) {
                        break;
                    }
                }
                reply.ok();
            },
        );
    }
}
