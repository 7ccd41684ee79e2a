//! Folders: redirects to them, pages of them, JSON of them.

use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn a_folder_without_its_slash_leads_to_itself() {
    let folder = TempDir::with([("docs/index.html", "docs"), ("a b/c.txt", "x"), ("evil.example/x", "x")]);
    let files = files(&folder);
    for (path, location) in [
        ("/docs", "./docs/"),
        ("/docs?a=1&b=//x", "./docs/?a=1&b=//x"),
        ("/a%20b", "./a%20b/"),
        ("//evil.example", "./evil.example/"),
        ("/docs/../docs", ""),
    ] {
        let got = get(&files, path, &[]).await;
        assert_eq!(got.header("location"), location, "{path}");
        assert_eq!(got.status, if location.is_empty() { 404 } else { 301 }, "{path}");
    }
    assert_eq!(get(&files, "/docs/", &[]).await.body, "docs");
}

#[tokio::test]
async fn listing_is_as_it_was_set() {
    let plain = TempDir::with([("sub/a.txt", "x")]);
    let site = TempDir::with([("sub/a.txt", "x"), ("index.html", "home")]);
    for (folder, listing, status) in [
        (&plain, Listing::Auto, 200),
        (&plain, Listing::On, 200),
        (&plain, Listing::Off, 404),
        (&site, Listing::Auto, 404),
        (&site, Listing::On, 200),
        (&site, Listing::Off, 404),
    ] {
        let files = files(folder).listing(listing);
        assert_eq!(get(&files, "/sub/", &[]).await.status, status, "{listing:?}");
    }
}

#[tokio::test]
async fn a_page_shows_what_is_served_and_no_more() {
    let around = TempDir::with([("secret.txt", "x"), ("in/a.txt", "x"), ("in/.env", "x"), ("in/sub/b", "x")]);
    around.link("../secret.txt", "in/leads-out");
    around.link("a.txt", "in/leads-to-a");
    let files = Files::new(around.join("in")).unwrap();
    let got = get(&files, "/", &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!((got.status, got.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((got.header("cache-control"), got.header("vary")), ("no-cache", "accept"));
    let page = String::from_utf8(got.body.to_vec()).unwrap();
    for shown in ["href=\"a.txt\"", "href=\"leads-to-a\"", "href=\"sub/\"", "1 folder", "2 files"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    for hidden in [".env", "leads-out", "secret"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
}

#[tokio::test]
async fn programs_get_json() {
    let folder = TempDir::with([("b.txt", "12345"), ("a/x", "x")]);
    let files = files(&folder);
    let asked = get(&files, "/?format=json", &[]).await;
    let accepted = get(&files, "/", &[("accept", "application/json")]).await;
    assert_eq!(asked.body, accepted.body);
    assert_eq!(asked.header("content-type"), "application/json; charset=utf-8");
    let told: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(told["truncated"], false);
    assert_eq!(
        (told["entries"][0]["href"].as_str(), told["entries"][0]["type"].as_str()),
        (Some("a/"), Some("directory"))
    );
    assert_eq!((told["entries"][1]["name"].as_str(), told["entries"][1]["size"].as_u64()), (Some("b.txt"), Some(5)));
}

#[tokio::test]
async fn the_query_sorts() {
    let folder = TempDir::with([("b.txt", "1"), ("a.txt", "333"), ("c.txt", "22"), ("z/x", "x")]);
    let files = files(&folder);
    for (query, expected) in [
        ("", ["z", "a.txt", "b.txt", "c.txt"]),
        ("&sort=name&order=desc", ["z", "c.txt", "b.txt", "a.txt"]),
        ("&sort=size&order=asc", ["z", "b.txt", "c.txt", "a.txt"]),
        ("&sort=size&order=desc", ["z", "a.txt", "c.txt", "b.txt"]),
        ("&sort=nonsense&order=&&=", ["z", "a.txt", "b.txt", "c.txt"]),
    ] {
        let got = get(&files, &format!("/?format=json{query}"), &[]).await;
        let told: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
        let names: Vec<_> =
            told["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
    }
}

#[tokio::test]
async fn an_enormous_folder_is_shown_in_part() {
    let folder = TempDir::new();
    for number in 0..=unary_net::file::ENTRIES_MAX {
        std::fs::File::create(folder.join(number.to_string())).unwrap();
    }
    let got = get(&files(&folder), "/?format=json", &[]).await;
    let told: serde_json::Value = serde_json::from_slice(&got.body).unwrap();
    assert_eq!(told["entries"].as_array().unwrap().len(), unary_net::file::ENTRIES_MAX);
    assert_eq!(told["truncated"], true);
}

/// Files of which one listing is drawn at once, with room for so many bytes of them.
fn files_with(folder: &TempDir, turns: &Arc<Semaphore>, room_bytes: usize) -> Files {
    Files { shelf: Shelf::of(turns.clone(), Arc::new(Semaphore::new(room_bytes))), ..files(folder) }
}

#[tokio::test(start_paused = true)]
async fn a_listing_waits_for_its_turn_and_not_for_long() {
    let folder = TempDir::with([("a.txt", "x"), ("sub/b.txt", "x")]);
    let turns = Arc::new(Semaphore::new(1));
    let files = files_with(&folder, &turns, 100_000);
    let turn = turns.try_acquire().unwrap();
    assert_eq!(get(&files, "/", &[]).await.status, 503);
    drop(turn);
    assert_eq!(get(&files, "/", &[]).await.status, 200);
    let _turn = turns.try_acquire().unwrap();
    assert_eq!(get(&files, "/?sort=size", &[]).await.status, 503);
    assert_eq!(get(&files, "/sub/", &[]).await.status, 503);
    assert_eq!(get(&files, "/a.txt", &[]).await.body, "x", "files wait for nobody");
    let files = files.listing(Listing::Off);
    assert_eq!(get(&files, "/sub/", &[]).await.status, 404, "nor does what is not shown");
}

#[tokio::test]
async fn a_listing_that_is_not_read_holds_its_room() {
    let folder = TempDir::with([("a.txt", "x"), ("sub/b.txt", "x")]);
    let turns = Arc::new(Semaphore::new(1));
    let page_bytes = get(&files_with(&folder, &turns, 100_000), "/", &[]).await.body.len();
    let files = files_with(&folder, &turns, page_bytes * 3 / 2);
    let request = http::Request::builder().uri("/").body(Body::empty()).unwrap();
    let unread = files.call(request).await.unwrap();
    assert_eq!(get(&files, "/sub/", &[]).await.status, 503);
    drop(unread);
    assert_eq!(get(&files, "/sub/", &[]).await.status, 200);
}
