//! The pages in a real browser.

use std::process::Command;

use unary_e2e::{Server, has, run, serve};
use unary_testkit::TempDir;

use crate::example_site;

/// What a browser makes of a page, once its scripts have run.
#[track_caller]
fn dom(server: &Server, path: &str) -> String {
    let profile = TempDir::new();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(["--virtual-time-budget=2000", "--dump-dom"]).arg(server.url(path));
    let ran = run(&mut command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.stdout
}

/// The names in a listing, from top to bottom.
fn names(dom: &str) -> Vec<&str> {
    let rows = dom.split("<tr class=\"").skip(1).filter(|row| !row.starts_with('u'));
    rows.filter_map(|row| row.split_once("\">")?.1.split_once("<a href=\"")?.1.split_once("\">")?.1.split('<').next())
        .collect()
}

/// Where the heading of a column leads.
fn sorting<'a>(dom: &'a str, column: &str) -> &'a str {
    let links = dom.split("<a href=\"?").skip(1).filter_map(|link| link.split_once('"'));
    let (link, _) = links.into_iter().find(|(_, rest)| rest.contains(&format!(">{column}"))).expect("a column");
    link
}

#[test]
fn a_browser_shows_the_site_and_sorts_a_folder() {
    if !has("browser::a_browser_shows_the_site_and_sorts_a_folder", "chromium") {
        return;
    }
    let _alone = unary_e2e::alone();
    let server = serve(example_site()).start();
    let index = dom(&server, "/");
    assert!(index.contains("<h1"), "{index}");

    let listing = dom(&server, "/files/");
    let by_name = ["letters/", "a name with spaces.txt", "about-this-folder.txt", "planets.csv"];
    assert_eq!(names(&listing), by_name, "{listing}");
    let link = sorting(&listing, "Size").replace("&amp;", "&");
    let by_size = ["letters/", "about-this-folder.txt", "planets.csv", "a name with spaces.txt"];
    let listing = dom(&server, &format!("/files/?{link}"));
    assert_eq!(names(&listing), by_size, "{listing}");
    assert!(listing.contains("aria-sort=\"descending\""), "{listing}");
}
