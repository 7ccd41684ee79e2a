//! How long files are believed in, and how many are kept.

use std::path::PathBuf;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderMap;
use unary_net::file::{NodeKind, Stamp};

use super::*;
use crate::handler::files::entry::{Content, Form};
use crate::handler::files::survey::FileSurvey;

fn entry(length: usize, is_settled: bool) -> Arc<Entry> {
    let time = SystemTime::UNIX_EPOCH;
    let stamp = Stamp { kind: NodeKind::File, device: 1, inode: 1, length: 1, modified: time, changed: time };
    let plain = Form {
        headers: HeaderMap::new(),
        content: Content::Memory(Bytes::from(vec![0; length])),
        length: length as u64,
        tag: None,
        modified: time,
    };
    let survey = Box::new(FileSurvey { path: PathBuf::new(), stamp, siblings: [None; 3] });
    Arc::new(Entry { survey, is_settled, plain, compressed: Vec::new() })
}

fn now() -> Seen {
    Seen { at: Instant::now(), generation: 1 }
}

fn is_fresh(cache: &Cache, key: &str) -> bool {
    matches!(cache.get(key.as_bytes(), now()), Known::Fresh(_))
}

fn is_stale(cache: &Cache, key: &str) -> bool {
    matches!(cache.get(key.as_bytes(), now()), Known::Stale(_))
}

async fn pass(milliseconds: u64) {
    tokio::time::advance(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_is_believed_for_half_a_second() {
    let cache = Cache::new();
    cache.put(b"a", entry(1, true), now());
    pass(499).await;
    assert!(is_fresh(&cache, "a"));
    pass(1).await;
    assert!(is_stale(&cache, "a"), "one request looks again");
    assert!(is_fresh(&cache, "a"), "the others go on");
    pass(399).await;
    assert!(is_fresh(&cache, "a"));
    pass(1).await;
    assert!(is_stale(&cache, "a") && is_stale(&cache, "a"), "but not for ever");
    cache.put(b"a", entry(1, true), now());
    assert!(is_fresh(&cache, "a"));
}

#[tokio::test(start_paused = true)]
async fn a_file_changed_just_now_is_looked_at_soon() {
    let cache = Cache::new();
    cache.put(b"a", entry(1, false), now());
    assert!(is_fresh(&cache, "a"));
    pass(20).await;
    assert!(is_stale(&cache, "a"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_believed_of_another_root() {
    let cache = Cache::new();
    cache.put(b"a", entry(1, true), now());
    cache.remove(b"b", Some(now()));
    let switched = Seen { generation: 2, ..now() };
    assert!(matches!(cache.get(b"a", switched), Known::Stale(_)));
    assert!(matches!(cache.get(b"b", switched), Known::Nothing));
}

#[tokio::test(start_paused = true)]
async fn names_of_nothing_are_remembered_briefly() {
    let cache = Cache::new();
    cache.remove(b"a", Some(now()));
    assert!(matches!(cache.get(b"a", now()), Known::Missing));
    pass(500).await;
    assert!(matches!(cache.get(b"a", now()), Known::Nothing));
    for number in 0..1000 {
        cache.remove(format!("{number}").as_bytes(), Some(now()));
    }
    assert!(cache.shard().missing.len() <= MISSING_MAX);
}

#[tokio::test]
async fn neither_files_nor_bytes_exceed_their_bounds() {
    for length in [0, MEMORY] {
        let cache = Cache::new();
        for number in 0..20_000 {
            cache.put(format!("{number}").as_bytes(), entry(length, true), now());
        }
        let (shard, limits) = (cache.shard(), cache.limits);
        for held in [&shard.young, &shard.old] {
            assert!(held.slots.len() * 2 <= limits.entries);
            assert!(held.bytes * 2 <= limits.bytes);
            assert_eq!(held.bytes, held.slots.values().map(|slot| slot.entry.bytes()).sum::<usize>());
        }
        assert!(shard.young.slots.len() + shard.old.slots.len() > 100, "but they are used");
    }
}

const MEMORY: usize = 16 * 1024;

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_often_is_kept() {
    let cache = Cache::new();
    cache.put(b"often", entry(MEMORY, true), now());
    for number in 0..20_000 {
        cache.put(format!("{number}").as_bytes(), entry(MEMORY, true), now());
        if number % 10 == 0 {
            assert!(is_fresh(&cache, "often"), "after {number} others");
        }
    }
}

#[tokio::test]
async fn a_long_name_is_not_remembered() {
    let (cache, name) = (Cache::new(), "x".repeat(KEY_BYTES_MAX + 1));
    cache.put(name.as_bytes(), entry(1, true), now());
    cache.remove(name.as_bytes(), Some(now()));
    assert!(matches!(cache.get(name.as_bytes(), now()), Known::Nothing));
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_is_forgotten() {
    let cache = Cache::new();
    let idle = entry(1, true);
    let held = Arc::downgrade(&idle);
    cache.put(b"idle", idle, now());
    tokio::time::sleep(IDLE * 2 + Duration::from_millis(1)).await;
    assert!(held.upgrade().is_none(), "a deleted file gives its space back");
    assert!(cache.shard().is_empty());
    cache.put(b"again", entry(1, true), now());
    tokio::time::sleep(IDLE * 2 + Duration::from_millis(1)).await;
    assert!(cache.shard().is_empty(), "and so it goes on");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_gone_leaves_nothing_behind() {
    let cache = Cache::new();
    let file = entry(1, true);
    let held = Arc::downgrade(&file);
    cache.put(b"a", file, now());
    drop(cache);
    assert!(held.upgrade().is_none());
    tokio::time::sleep(IDLE * 2).await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}
