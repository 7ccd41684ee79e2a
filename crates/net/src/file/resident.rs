//! Whether bytes of a file are in memory, found out without waiting for those that are not.
//!
//! No single question serves everywhere. `cachestat` is cheap, but counts pages that are still on
//! their way from the disk, and answers only to whoever may write the file. A read of one byte
//! with `RWF_NOWAIT` tells the truth to everybody, about one page. `mincore` tells the truth about
//! all pages to whoever owns the file, even where layers hide the first two, but needs a mapping.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::{Errno, ReadWriteFlags};

use super::storage::Storage;

/// The kernel's smallest page: where pages are larger, some are asked about twice.
const PAGE_BYTES: u64 = 4096;
/// Pages come from the disk in runs, and one that is on its way is noticed by a probe in each
/// stretch of the shorter ones, and by one of the last byte.
const RUN_BYTES: u64 = 32 * 1024;
/// More than this is not asked about at once: probing it all takes about a millisecond.
const MEASURE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How long a part of a file that was seen to be in memory is believed to be. Pages that were just
/// used are the last that the kernel gives up, and a second of a warm file is thousands of requests.
const BELIEVED_MS: u64 = 1000;
/// Parts of so many bytes are remembered, of a file's first 64: a quick look, and enough to send.
const PART_BYTES: u64 = 1024 * 1024;
const PARTS_MAX: u64 = 64;

/// Which parts of a file were lately seen to be in memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When what is in `parts` was begun to be gathered; 0 for never.
    since_ms: AtomicU64,
    /// A bit for each part.
    parts: AtomicU64,
}

impl Memory {
    /// Whether all bytes of the range are in memory: seen lately, or else looked at now. `whole`
    /// is the length of the file. Ranges over 16 MiB are not looked into: no.
    pub(super) fn holds(&self, file: BorrowedFd<'_>, storage: Storage, whole: u64, offset: u64, length: u64) -> bool {
        match storage {
            Storage::Memory => return true,
            Storage::Remote => return false,
            Storage::Local | Storage::Overlay => {}
        }
        if length == 0 {
            return true;
        }
        if length > MEASURE_BYTES_MAX {
            return false;
        }
        let last = offset.saturating_add(length - 1) / PART_BYTES;
        let is_remembered = last < PARTS_MAX && {
            let seen = self.lately();
            let mut wanted = (offset / PART_BYTES..=last).filter(|part| seen & (1 << part) == 0);
            wanted.all(|part| self.look(file, storage, whole, part))
        };
        is_remembered || is_resident(file, storage, offset, length)
    }

    /// Looks at one part, and remembers if all of it is there.
    fn look(&self, file: BorrowedFd<'_>, storage: Storage, whole: u64, part: u64) -> bool {
        let start = part * PART_BYTES;
        let length = PART_BYTES.min(whole.saturating_sub(start));
        let there = length > 0 && is_resident(file, storage, start, length);
        if there {
            self.parts.fetch_or(1 << part, Ordering::Relaxed);
        }
        there
    }

    /// What is remembered and recent enough. Two threads may both begin anew: at worst one looks
    /// again at what the other has just seen.
    fn lately(&self) -> u64 {
        let (since_ms, now_ms) = (self.since_ms.load(Ordering::Relaxed), now_ms());
        if since_ms != 0 && now_ms.saturating_sub(since_ms) < BELIEVED_MS {
            return self.parts.load(Ordering::Relaxed);
        }
        self.parts.store(0, Ordering::Relaxed);
        self.since_ms.store(now_ms, Ordering::Relaxed);
        0
    }
}

/// Milliseconds since this was first asked, plus one: never 0.
fn now_ms() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let since: Duration = FIRST.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// Whether all bytes of the range are in memory as of now.
fn is_resident(file: BorrowedFd<'_>, storage: Storage, offset: u64, length: u64) -> bool {
    if storage == Storage::Overlay {
        return all_mapped_pages(file, offset, length).unwrap_or(false);
    }
    let stride = match cached_pages(file, offset, length) {
        Ok(cached) if cached < pages(offset, length) => return false,
        Ok(_) => RUN_BYTES,
        Err(_) => PAGE_BYTES,
    };
    match probe(file, offset, length, stride) {
        Ok(resident) => resident,
        Err(_) => all_mapped_pages(file, offset, length).unwrap_or(false),
    }
}

/// Reads what is in memory. `WouldBlock` if nothing is, `Unsupported` if that cannot be asked here.
pub(super) fn read_now(file: BorrowedFd<'_>, offset: u64, length_max: usize) -> io::Result<Vec<u8>> {
    let mut first = [0];
    preadv2(file, &mut first, offset)?; // Costs little, and spares a large buffer for a cold file.
    let mut bytes = vec![0; length_max];
    let length = preadv2(file, &mut bytes, offset)?;
    bytes.truncate(length);
    Ok(bytes)
}

fn preadv2(file: BorrowedFd<'_>, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    match rustix::io::preadv2(file, &mut [IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::Unsupported.into()),
        read => Ok(read?),
    }
}

/// Reads a byte every `stride` bytes, and the last one. `Err` if this file system cannot tell.
pub(super) fn probe(file: BorrowedFd<'_>, offset: u64, length: u64, stride: u64) -> io::Result<bool> {
    let end = offset.saturating_add(length);
    let stretches = (offset..end).step_by(usize::try_from(stride).unwrap_or(usize::MAX));
    for at in stretches.chain([end - 1]) {
        match preadv2(file, &mut [0], at) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Ok(true)
}

pub(super) fn pages(offset: u64, length: u64) -> u64 {
    let page = page_bytes();
    offset.saturating_add(length).div_ceil(page) - offset / page
}

fn page_bytes() -> u64 {
    rustix::param::page_size() as u64
}

/// How many pages of the range the cache holds or awaits.
pub(super) fn cached_pages(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<u64> {
    /// `cachestat` has this number on every architecture.
    const SYS_CACHESTAT: libc::c_long = 451;
    #[repr(C)]
    struct Range {
        offset: u64,
        length: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Counts {
        cached: u64,
        dirty: u64,
        written_back: u64,
        evicted: u64,
        evicted_lately: u64,
    }
    let range = Range { offset, length };
    let mut counts = Counts::default();
    // SAFETY: the descriptor is borrowed for the call; the kernel reads `range` and writes `counts`,
    // both alive and laid out as `struct cachestat_range` and `struct cachestat`; flags must be 0.
    let outcome =
        unsafe { libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut counts, 0 as libc::c_uint) };
    if outcome == 0 { Ok(counts.cached) } else { Err(io::Error::last_os_error()) }
}

/// Whether every page of the range is in memory, by way of a mapping. `Err` if that cannot be
/// asked: to whoever does not own the file, `mincore` says that all is there.
pub(super) fn all_mapped_pages(file: BorrowedFd<'_>, offset: u64, length: u64) -> io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    let user = rustix::process::geteuid();
    if stat.st_uid != user.as_raw() && !user.is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let page = page_bytes();
    let start = offset / page * page;
    let reach = usize::try_from(offset.saturating_add(length) - start).map_err(io::Error::other)?;
    let start = libc::off_t::try_from(start).map_err(io::Error::other)?;
    // SAFETY: a fresh private mapping at an address of the kernel's choice disturbs nothing; `start`
    // is a multiple of the page size; the descriptor is borrowed for the call.
    let address =
        unsafe { libc::mmap(ptr::null_mut(), reach, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), start) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mut states = vec![0_u8; reach.div_ceil(page as usize)];
    // SAFETY: `address` and `reach` are those of the mapping above, and `states` has a byte for
    // each page of it.
    let outcome = unsafe { libc::mincore(address, reach, states.as_mut_ptr()) };
    let outcome = if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: the mapping is ours alone and nothing points into it: it was never read.
    unsafe { libc::munmap(address, reach) };
    outcome.map(|()| states.iter().all(|state| state & 1 == 1))
}
