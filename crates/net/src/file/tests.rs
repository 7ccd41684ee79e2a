//! Files found, read and listed, without waiting where they are in memory.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use unary_testkit::{TempDir, skip};

use super::look::{Look, Patience};
use super::view::Directory;
use super::*;

/// A view of a folder, as a kernel would give it that can do no more than this.
fn view(folder: &Path, look: Look) -> View {
    let known = Root::open(folder).unwrap().view().directory;
    let directory = Directory { fd: known.fd.try_clone().unwrap(), look, ..*known };
    View { directory: Arc::new(directory), patience: Patience::Disk }
}

fn read_all(view: &View, path: &str) -> io::Result<Bytes> {
    match view.open(Path::new(path))? {
        Node::File(file, stamp) => view.read(&file, usize::try_from(stamp.length).unwrap()),
        Node::Directory(_) => Ok(Bytes::from_static(b"(folder)")),
    }
}

const LOOKS: [Look; 3] = [Look::Cached, Look::Beneath, Look::Walk];

#[test]
fn files_and_folders_beneath_the_root_are_found() {
    let folder = TempDir::with([("a.txt", "a"), ("deep/er/b.txt", "b")]);
    for look in LOOKS {
        let view = view(folder.path(), look);
        for (path, expected) in [("a.txt", "a"), ("deep/er/b.txt", "b"), ("deep", "(folder)"), ("", "(folder)")] {
            assert_eq!(read_all(&view, path).unwrap(), expected, "{path} by {look:?}");
            assert!(view.stamp(Path::new(path)).is_ok(), "{path} by {look:?}");
        }
    }
}

#[test]
fn nothing_else_is_found() {
    let folder = TempDir::with([("secret.txt", "x"), ("in/a.txt", "a"), ("in/sub/b.txt", "b")]);
    folder.link("../secret.txt", "in/out.txt");
    folder.link("..", "in/up");
    folder.link(folder.join("in/a.txt"), "in/absolute");
    folder.link("/proc/self/root", "in/magic");
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("in/socket")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, folder.join("in/pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let long = "x".repeat(300);
    for look in LOOKS {
        let view = view(&folder.join("in"), look);
        for path in [
            "nothing",
            "../secret.txt",
            "out.txt",
            "up/secret.txt",
            "up",
            "absolute",
            "magic/etc/passwd",
            "/etc/passwd",
            "sub/../../secret.txt",
            "a.txt/x",
            "socket",
            "pipe",
            &long,
        ] {
            let kind = |found: io::Result<()>| found.unwrap_err().kind();
            assert_eq!(kind(read_all(&view, path).map(drop)), io::ErrorKind::NotFound, "{path} by {look:?}");
            assert_eq!(kind(view.stamp(Path::new(path)).map(drop)), io::ErrorKind::NotFound, "{path} by {look:?}");
        }
    }
}

#[test]
fn a_link_that_stays_inside_is_followed_where_the_kernel_sees_to_it() {
    let folder = TempDir::with([("real/a.txt", "a")]);
    folder.link("real", "link");
    for (look, found) in [(Look::Cached, true), (Look::Beneath, true), (Look::Walk, false)] {
        assert_eq!(read_all(&view(folder.path(), look), "link/a.txt").is_ok(), found, "{look:?}");
    }
}

#[test]
fn a_listing_keeps_what_is_asked_for() {
    let folder = TempDir::with([("out.txt", "x"), ("in/a", "123"), ("in/sub/b", "x"), ("in/.hidden", "x")]);
    folder.link("../out.txt", "in/out");
    folder.link("a", "in/link");
    let view = view(&folder.join("in"), Look::Beneath);
    let listed = view.list(Path::new(""), |name| !name.starts_with(b".")).unwrap();
    let mut names: Vec<_> = listed.entries.iter().map(|entry| (entry.name.as_os_str(), entry.stamp.length)).collect();
    names.sort();
    let sub = fs::metadata(folder.join("in/sub")).unwrap().len();
    assert_eq!(names, [("a", 3), ("link", 3), ("sub", sub)].map(|(name, length)| (OsStr::new(name), length)));
    assert!(!listed.truncated);
    assert_eq!(view.list(Path::new("a"), |_| true).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn what_is_in_memory_is_found_at_once() {
    let folder = TempDir::with([("a.txt", "a")]);
    let root = Root::open(folder.path()).unwrap();
    let look = |patience| {
        let view = View { patience, ..root.view() };
        read_all(&view, "a.txt").map_err(|error| error.kind())
    };
    if root.view().directory.look != Look::Cached {
        return skip("file::tests::what_is_in_memory_is_found_at_once", "a kernel with RESOLVE_CACHED, 5.12 or later");
    }
    assert_eq!(look(Patience::Disk).unwrap(), "a");
    assert_eq!(look(Patience::None).unwrap(), "a", "it was looked up just now");
    assert_eq!(root.look(|view| read_all(view, "a.txt")).await.unwrap(), "a");
    let listed = root.look(|view| view.list(Path::new(""), |_| true)).await;
    assert_eq!(listed.unwrap().entries.len(), 1, "what may wait is done on the pool");
}

/// How often a file is told to leave memory.
const EVICTIONS_MAX: usize = 100;

/// A file whose pages are not in memory, where the folder for temporary files is on a disk; if it is not, the
/// test `name` is skipped.
fn cold(name: &str, folder: &TempDir, length: usize) -> Option<(PathBuf, OpenFile)> {
    let path = folder.join("cold");
    fs::write(&path, vec![b'x'; length]).unwrap();
    let file = fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    let file = OpenFile::new(file);
    // The kernel takes it as advice: pages somebody else is busy with stay for now.
    for _ in 0..EVICTIONS_MAX {
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        // Not asked by reading, which would fetch what comes next.
        let cached = resident::cached_pages(file.as_fd(), 0, length as u64);
        if file.storage == Storage::Local && cached.is_ok_and(|cached| cached == 0) {
            return Some((path, file));
        }
    }
    skip(name, "a folder for temporary files whose files leave memory when they are told to");
    None
}

#[tokio::test]
async fn a_cold_file_is_read_on_the_pool_and_then_is_warm() {
    let folder = TempDir::new();
    let Some((_, file)) = cold("file::tests::a_cold_file_is_read_on_the_pool_and_then_is_warm", &folder, 100_000)
    else {
        return;
    };
    let file = Arc::new(file);
    // Asking fetches what comes next, and the machine has other programs: not every try finds it cold.
    let is_cold = |file: &OpenFile| file.read_now(0, 100_000).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
    let evict = |file: &OpenFile| fadvise(&file.file, 0, None, Advice::DontNeed).unwrap();
    assert!((0..EVICTIONS_MAX).any(|_| is_cold(&file) || (evict(&file), false).1));
    let mut offset = 0;
    while offset < 100_000 {
        let bytes = file.clone().read_at(offset, READ_BYTES_MAX).await.unwrap();
        assert!(!bytes.is_empty() && bytes.iter().all(|&byte| byte == b'x'));
        offset += bytes.len() as u64;
    }
    assert!(file.is_resident(0, 100_000));
    assert_eq!(file.clone().read_at(100_000, 10).await.unwrap(), "", "its end");
    assert_eq!(file.read_now(99_990, 100).unwrap().len(), 10);
}

#[test]
fn every_way_of_asking_what_is_in_memory_agrees() {
    let folder = TempDir::new();
    let Some((_, file)) = cold("file::tests::every_way_of_asking_what_is_in_memory_agrees", &folder, 1_000_000) else {
        return;
    };
    let ways = |offset, length| {
        let fd = file.as_fd();
        let cached = resident::cached_pages(fd, offset, length).map(|cached| cached >= resident::pages(offset, length));
        let mapped = resident::all_mapped_pages(fd, offset, length);
        [cached.ok(), resident::probe(fd, offset, length, 4096).ok(), mapped.ok()]
    };
    // What other programs do to memory between two questions may tell them apart, but not always.
    let agree = |expected: bool, offset, length| {
        let as_expected = || ways(offset, length).into_iter().flatten().all(|way| way == expected);
        assert!((0..EVICTIONS_MAX).any(|_| as_expected()), "{offset}, {length}: {:?}", ways(offset, length));
    };
    agree(false, 0, 1_000_000);
    let mut first = [0; 1000];
    file.file.read_exact_at(&mut first, 0).unwrap();
    agree(true, 0, 1000);
    let mut whole = vec![0; 1_000_000];
    file.file.read_exact_at(&mut whole, 0).unwrap();
    for (offset, length) in [(0, 1_000_000), (999_999, 1), (4095, 2), (500_000, 4096)] {
        agree(true, offset, length);
        assert!(file.is_resident(offset, usize::try_from(length).unwrap()));
    }
}

#[tokio::test]
async fn what_answers_in_its_own_time_is_never_taken_for_memory() {
    let file = Arc::new(OpenFile::new(fs::File::open("/proc/version").unwrap()));
    assert!(!file.is_resident(0, 10));
    assert_eq!(file.stamp_now().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    let read = file.read_at(0, 5).await.unwrap();
    assert_eq!(read, "Linux", "it is read on the pool");
}

#[test]
fn no_file_is_so_large_that_asking_takes_long() {
    let folder = TempDir::new();
    let file = fs::File::create_new(folder.join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    let file = OpenFile::new(fs::File::open(folder.join("sparse")).unwrap());
    if file.storage != Storage::Local {
        let name = "file::tests::no_file_is_so_large_that_asking_takes_long";
        return skip(name, "a folder for temporary files on a disk of this machine");
    }
    assert!(!file.is_resident(0, 1 << 40));
    assert!(!file.is_resident(1 << 30, 4096));
    assert!(!file.is_resident(u64::MAX - 10, 100), "nor does a range beyond all ends do harm");
}

#[test]
fn a_warm_file_is_not_looked_at_each_time() {
    let folder = TempDir::new();
    let Some((path, file)) = cold("file::tests::a_warm_file_is_not_looked_at_each_time", &folder, 3_000_000) else {
        return;
    };
    fs::read(&path).unwrap();
    assert!(file.is_resident(2_500_000, 500_000));
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    assert!(file.is_resident(2_600_000, 1000), "that part was seen just now");
    assert!(!file.is_resident(0, 1000), "this one was not");
}

#[tokio::test(start_paused = true)]
async fn a_root_is_followed_when_it_is_due() {
    let folder = TempDir::with([("one/a", "1"), ("two/a", "2")]);
    folder.link("one", "current");
    let root = Root::open(folder.join("current")).unwrap();
    let first = root.generation();
    folder.link("two", "current");
    root.refresh(tokio::time::Instant::now()).await;
    assert_eq!(root.generation(), first, "it was looked at just now");
    tokio::time::advance(Duration::from_millis(ROOT_CHECK_MS)).await;
    assert!(root.is_due(tokio::time::Instant::now()));
    root.refresh(tokio::time::Instant::now()).await;
    assert_eq!(root.generation(), first + 1);
    assert_eq!(read_all(&root.view(), "a").unwrap(), "2");
    tokio::time::advance(Duration::from_millis(ROOT_CHECK_MS)).await;
    root.refresh(tokio::time::Instant::now()).await;
    assert_eq!(root.generation(), first + 1, "it is where it was");
}

#[test]
fn a_root_has_to_be_a_folder() {
    let folder = TempDir::with([("file", "x")]);
    assert_eq!(Root::open(folder.join("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(Root::open(folder.join("file")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
}

#[test]
fn a_root_has_to_be_one_that_may_be_entered() {
    let folder = TempDir::with([("locked/a", "x"), ("open/a", "x")]);
    fs::set_permissions(folder.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    let open = |name: &str| {
        let path = folder.join(name);
        let opening = move || {
            // The superuser may enter everything, so nobody asks.
            // SAFETY: no pointers; of all threads it changes this one, which asks and ends.
            unsafe { libc::setfsuid(65534) };
            Root::open(path).map(drop).map_err(|error| error.kind())
        };
        std::thread::spawn(opening).join().unwrap()
    };
    assert_eq!(open("open"), Ok(()));
    assert_eq!(open("locked"), Err(io::ErrorKind::PermissionDenied));
}
