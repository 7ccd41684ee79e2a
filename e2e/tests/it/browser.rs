//! The pages in a real browser.

use std::process::Command;

use unary_e2e::{Server, has, run, serve};
use unary_testkit::TempDir;

use crate::example_site;

/// What a browser makes of a page, once its scripts have run.
#[track_caller]
fn dom(server: &Server, path: &str) -> String {
    dom_with(&[], server, path)
}

/// The same of a browser that is told more.
#[track_caller]
fn dom_with(arguments: &[&str], server: &Server, path: &str) -> String {
    let profile = TempDir::new();
    let mut command = Command::new("chromium");
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    command.args(arguments).args(["--virtual-time-budget=2000", "--dump-dom"]).arg(server.url(path));
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

/// A page that shows a listing as wide as a phone, and says of it how wide it is, how wide it would have to be
/// not to be scrolled sideways, how many links are not all on the screen, and its colours. No other page may
/// frame a listing, which so is a copy.
const PHONE: &str = r#"<!doctype html><meta name="color-scheme" content="light dark"><title>a phone</title>
<iframe id="phone" style="width:360px;height:640px;border:0"></iframe><pre id="said"></pre>
<script>
phone.onload = () => {
    const page = phone.contentDocument, root = page.documentElement
    const colours = getComputedStyle(page.body), links = [...page.querySelectorAll("a")]
    const outside = links.filter(link => link.getBoundingClientRect().right > root.clientWidth)
    if (links.length)
        said.textContent = [root.clientWidth, root.scrollWidth, outside.length, colours.backgroundColor, colours.color].join(";")
}
fetch("folder/", { headers: { accept: "text/html" } }).then(reply => reply.text()).then(page => phone.srcdoc = page)
</script>
"#;

/// What is said of a listing on a phone: its width, how wide it would like to be, links that are not all on the
/// screen, and how bright background and text are, from 0 to 255.
#[track_caller]
fn on_a_phone(arguments: &[&str], server: &Server) -> (u32, u32, u32, u32, u32) {
    let dom = dom_with(arguments, server, "/phone.html");
    let said = dom.split_once("<pre id=\"said\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (said, _) = said.unwrap_or_else(|| panic!("it says nothing: {dom}"));
    let number = |text: &str| text.trim().parse::<u32>().unwrap_or_else(|_| panic!("{text} of {said}"));
    let brightness = |colour: &str| {
        let parts = colour.strip_prefix("rgb(").and_then(|parts| parts.strip_suffix(')'));
        parts.unwrap_or_else(|| panic!("{colour} is no colour")).split(',').map(number).sum::<u32>() / 3
    };
    let [width, wanted, outside, back, text] = said.split(';').collect::<Vec<_>>()[..] else { panic!("{said}") };
    (number(width), number(wanted), number(outside), brightness(back), brightness(text))
}

#[test]
fn a_folder_fits_on_a_phone_and_is_dark_for_those_who_like_that() {
    if !has("browser::a_folder_fits_on_a_phone_and_is_dark_for_those_who_like_that", "chromium") {
        return;
    }
    let _alone = unary_e2e::alone();
    let folder = TempDir::with([("phone.html", PHONE), ("folder/a.txt", "a"), ("folder/deep/b.txt", "b")]);
    folder.write(format!("folder/{}.tar.gz", "a-long-name-without-a-space".repeat(8)), vec![0; 1 << 20]);
    folder.write(format!("folder/{}.txt", "words between spaces ".repeat(9)), "words");
    let server = serve(folder.path()).start();
    for (arguments, is_dark) in [(&[][..], false), (&["--force-dark-mode"][..], true)] {
        let (width, wanted, outside, back, text) = on_a_phone(arguments, &server);
        // Of 360 pixels a scroll bar may take some.
        assert!((320..=360).contains(&width), "{arguments:?}: {width} wide");
        assert_eq!((wanted, outside), (width, 0), "{arguments:?}: needed, links off the screen");
        assert_eq!((back < 64, text > 192), (is_dark, is_dark), "{arguments:?}: {text} on {back}");
        assert!(back.abs_diff(text) > 128, "{arguments:?}: {text} on {back}");
    }
}
