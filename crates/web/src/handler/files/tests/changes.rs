//! What changes on disk is served changed within a second.

use std::fs;

use super::*;

/// Two requests so far apart see every change in between.
const SECOND: Duration = Duration::from_secs(1);

fn large(letter: &str) -> String {
    letter.repeat(100_000)
}

type Change = fn(&TempDir);

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_served_changed() {
    let folder = TempDir::new();
    let steps: [(&str, Change); 6] = [
        ("written in place", |folder| folder.write("a.txt", "two")),
        ("written in place, as long", |folder| folder.write("a.txt", "2wo")),
        ("replaced by rename", |folder| {
            folder.write("b.txt", "three");
            fs::rename(folder.join("b.txt"), folder.join("a.txt")).unwrap();
        }),
        ("appended to", |folder| folder.write("a.txt", "three and four")),
        ("grown large", |folder| folder.write("a.txt", large("5"))),
        ("truncated", |folder| folder.write("a.txt", "6")),
    ];
    for first in ["one".to_owned(), large("1")] {
        folder.write("a.txt", first);
        let files = files(&folder);
        get(&files, "/a.txt", &[]).await;
        for (step, change) in &steps {
            change(&folder);
            tokio::time::advance(SECOND).await;
            let got = get(&files, "/a.txt", &[]).await;
            assert_eq!(got.body, fs::read(folder.join("a.txt")).unwrap(), "{step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_file_is_gone_and_a_new_one_found() {
    let folder = TempDir::with([("a.txt", "here")]);
    let files = files(&folder);
    assert_eq!(get(&files, "/a.txt", &[]).await.status, 200);
    fs::remove_file(folder.join("a.txt")).unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(get(&files, "/a.txt", &[]).await.status, 404);
    folder.write("a.txt", "again");
    tokio::time::advance(SECOND).await;
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "again");
}

#[tokio::test(start_paused = true)]
async fn a_switched_root_is_served() {
    let folder = TempDir::with([("v1/a.txt", "first"), ("v2/a.txt", "other")]);
    folder.link("v1", "current");
    let files = Files::new(folder.join("current")).unwrap();
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "first");
    folder.link("v2", "current");
    tokio::time::advance(SECOND).await;
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "other");
    fs::remove_file(folder.join("current")).unwrap();
    tokio::time::advance(SECOND).await;
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "other", "a root that is gone is the last that was there");
    folder.link("v1", "current");
    tokio::time::advance(SECOND).await;
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "first");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_looked_up_each_time() {
    let folder = TempDir::with([("a.txt", "one")]);
    let files = files(&folder);
    get(&files, "/a.txt", &[]).await;
    folder.write("a.txt", "two");
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "one", "it was seen at this very moment");
}
