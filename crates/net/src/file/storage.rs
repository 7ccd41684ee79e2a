//! What a file lives on, as far as waiting is concerned.

use std::os::fd::BorrowedFd;

/// What a file lives on, as far as waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Storage {
    /// Memory itself. It may be swapped out, as any of this process's memory may.
    Memory,
    /// A disk of this machine behind the page cache: what is cached is read without waiting.
    Local,
    /// Layers of other file systems. They cache, but it does not say what.
    Overlay,
    /// Anything else: a network or another program may be asked at every turn.
    Remote,
}

/// File systems on this machine's disks whose cached pages are read without waiting.
const LOCAL: [u64; 11] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0xf2f5_2010, // f2fs
    0x2fc1_2fc1, // zfs
    0xca45_1a4e, // bcachefs
    0xe0f5_e1e2, // erofs
    0x7371_7368, // squashfs
    0x9660,      // iso9660
    0x4d44,      // vfat
    0x2011_bab0, // exfat
];
/// tmpfs and ramfs.
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const OVERLAY: u64 = 0x794c_7630;

impl Storage {
    /// Asks the file system, which may block where it is remote.
    pub(super) fn of(file: BorrowedFd<'_>) -> Self {
        let Ok(about) = rustix::fs::fstatfs(file) else { return Self::Remote };
        // The field is signed or not and wider or not, by architecture; all the numbers have 32 bits.
        match about.f_type as u64 & 0xffff_ffff {
            OVERLAY => Self::Overlay,
            magic if MEMORY.contains(&magic) => Self::Memory,
            magic if LOCAL.contains(&magic) => Self::Local,
            _ => Self::Remote,
        }
    }
}
