//! Orders, sizes, and names that want to be more than names.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::time::SystemTime;

use unary_net::file::Stamp;

use super::*;

fn entry(name: &[u8], kind: NodeKind, length: u64) -> Entry {
    let time = SystemTime::UNIX_EPOCH;
    let stamp = Stamp { kind, device: 1, inode: 1, length, modified: time, changed: time };
    Entry { name: OsString::from_vec(name.to_vec()), stamp }
}

fn wish(query: &str) -> Wish {
    Wish::of(Some(query), &HeaderMap::new())
}

#[test]
fn names_are_ordered_as_people_do() {
    let names = ["b", "A", "file10", "file9", "File1", "file010b", "a", "Z", "_", "10", "9", "file"];
    let mut entries: Vec<_> = names.iter().map(|name| entry(name.as_bytes(), NodeKind::File, 1)).collect();
    sort(&mut entries, wish(""));
    let sorted: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
    assert_eq!(sorted, ["9", "10", "_", "A", "a", "b", "file", "File1", "file9", "file10", "file010b", "Z"]);
}

#[test]
fn folders_come_first_whatever_the_order() {
    for query in ["sort=name&order=desc", "sort=size&order=desc", "sort=date&order=asc", ""] {
        let mut entries = vec![
            entry(b"z", NodeKind::File, 9),
            entry(b"m", NodeKind::Directory, 4096),
            entry(b"a", NodeKind::File, 1),
        ];
        sort(&mut entries, wish(query));
        assert_eq!(entries[0].name, "m", "{query}");
    }
}

#[test]
fn sizes_are_told_as_people_do() {
    for (bytes, expected) in [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (12_345_678, "12 MB"),
        (u64::MAX, "18 EB"),
    ] {
        assert_eq!(page::size(bytes), expected, "{bytes}");
    }
}

/// A page of one file with this name: the link to it, and what is shown.
#[track_caller]
fn check_name(name: &[u8], href: &str, shown: &str) {
    let names = vec![b"above".as_slice(), name];
    let folder = Folder { names, entries: vec![entry(name, NodeKind::File, 1)], is_truncated: false };
    let page = page::draw(&folder, wish("")).content;
    assert!(page.contains(&format!("<a href=\"{href}\">{shown}</a>")), "{page}");
    assert!(page.contains(&format!("<title>{shown}</title>")), "{page}");
    let told: serde_json::Value = serde_json::from_str(&json::draw(&folder).unwrap().content).unwrap();
    assert_eq!(told["entries"][0]["href"], href);
}

#[test]
fn a_name_is_never_markup() {
    check_name(b"\"><script>", "%22%3E%3Cscript%3E", "&quot;&gt;&lt;script&gt;");
    check_name(b"'onclick='x", "%27onclick%3D%27x", "&#39;onclick=&#39;x");
    check_name(b"</title>&amp;", "%3C%2Ftitle%3E%26amp%3B", "&lt;/title&gt;&amp;amp;");
}

#[test]
fn a_name_is_never_another_address() {
    check_name(b"javascript:alert(1)", "javascript%3Aalert%281%29", "javascript:alert(1)");
    check_name(b"a?b#c%20d", "a%3Fb%23c%2520d", "a?b#c%20d");
    check_name(b"back\\slash", "back%5Cslash", "back\\slash");
}

#[test]
fn a_name_never_looks_like_another() {
    check_name("photo\u{202e}gpj.exe".as_bytes(), "photo%E2%80%AEgpj.exe", "photo\u{fffd}gpj.exe");
    check_name(b"two\nlines", "two%0Alines", "two\u{fffd}lines");
    check_name(b"\xff\xfe", "%FF%FE", "\u{fffd}\u{fffd}");
}

#[test]
fn a_page_allows_nothing_but_its_own_style() {
    let folder = Folder { names: Vec::new(), entries: Vec::new(), is_truncated: true };
    let drawn = page::draw(&folder, wish(""));
    let nonce = drawn.policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    assert!(drawn.content.contains(&format!("<style nonce={nonce}>")));
    assert!(drawn.policy.starts_with("default-src 'none'; "));
    assert!(drawn.content.contains("This folder is empty") && drawn.content.contains("There is more"));
    assert!(!drawn.content.contains("<script"));
}

#[test]
fn the_format_is_what_was_asked_for() {
    let format = |query: &str, accept: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        Wish::of(Some(query), &headers).format
    };
    assert_eq!(format("", "text/html,application/json"), Format::Page);
    assert_eq!(format("", "Application/JSON"), Format::Json);
    assert_eq!(format("", "*/*"), Format::Page);
    assert_eq!(format("format=html", "application/json"), Format::Page);
    assert_eq!(format("format=json", "text/html"), Format::Json);
}
