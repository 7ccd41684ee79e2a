//! Conditions, ranges, codings and the other things a client may ask of a file.

use std::fs;

use super::*;

/// Longer than what is kept in memory, or shorter: both must behave alike.
const LENGTHS: [usize; 2] = [1000, 100_000];

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn a_client_that_has_it_is_told_so() {
    for length in LENGTHS {
        let folder = TempDir::new();
        folder.write("a.txt", content(length));
        let files = files(&folder);
        let first = get(&files, "/a.txt", &[]).await;
        let (tag, modified) = (first.header("etag"), first.header("last-modified"));
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
        for condition in [("if-none-match", tag), ("if-modified-since", modified), ("if-none-match", "*")] {
            let got = get(&files, "/a.txt", &[condition]).await;
            assert_eq!((got.status, got.body.len()), (304, 0), "{condition:?}");
            assert_eq!((got.header("etag"), got.header("cache-control")), (tag, "no-cache"));
            assert_eq!(got.header("content-type"), "", "a 304 says only what may have changed");
        }
        for condition in [("if-match", "\"other\""), ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT")] {
            assert_eq!(get(&files, "/a.txt", &[condition]).await.status, 412, "{condition:?}");
        }
        assert_eq!(get(&files, "/a.txt", &[("if-match", tag)]).await.status, 200);
    }
}

#[tokio::test]
async fn a_file_changed_just_now_cannot_be_recognised() {
    let folder = TempDir::with([("a.txt", "new")]);
    let files = Files { clock: || SystemTime::UNIX_EPOCH, ..files(&folder) };
    let got = get(&files, "/a.txt", &[("if-none-match", "\"x\"")]).await;
    assert_eq!((got.status, got.header("etag"), got.header("last-modified")), (200, "", ""));
}

#[tokio::test]
async fn a_change_changes_the_tag() {
    let folder = TempDir::with([("a.txt", "one")]);
    let tag = async || get(&files(&folder), "/a.txt", &[]).await.header("etag").to_owned();
    let first = tag().await;
    assert_eq!(tag().await, first, "the same file has the same tag, whoever serves it");
    let modified = fs::metadata(folder.join("a.txt")).unwrap().modified().unwrap();
    folder.write("b.txt", "two");
    fs::rename(folder.join("b.txt"), folder.join("a.txt")).unwrap();
    let file = fs::File::options().write(true).open(folder.join("a.txt")).unwrap();
    file.set_modified(modified).unwrap();
    assert_ne!(tag().await, first, "even with its length and its time made the same");
}

#[tokio::test]
async fn a_time_in_the_future_is_not_told() {
    let folder = TempDir::with([("a.txt", "x")]);
    let file = fs::File::options().write(true).open(folder.join("a.txt")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
    let got = get(&files(&folder), "/a.txt", &[]).await;
    let told = httpdate::parse_http_date(got.header("last-modified")).unwrap();
    assert!(told <= SystemTime::now() + Duration::from_secs(3600), "the clock of the test is ahead by an hour");
}

#[tokio::test]
async fn a_part_is_served() {
    for length in LENGTHS {
        let (folder, content) = (TempDir::new(), content(length));
        folder.write("a.bin", &content);
        let files = files(&folder);
        for (range, start, end) in [
            ("bytes=0-9".to_owned(), 0, 10),
            (format!("bytes={}-", length - 10), length - 10, length),
            ("bytes=-7".to_owned(), length - 7, length),
            ("bytes=0-".to_owned(), 0, length),
        ] {
            let got = get(&files, "/a.bin", &[("range", &range)]).await;
            assert_eq!(got.status, 206, "{range}");
            assert_eq!(got.header("content-range"), format!("bytes {start}-{}/{length}", end - 1));
            assert_eq!(got.body, content[start..end]);
        }
        let got = get(&files, "/a.bin", &[("range", "bytes=200000-")]).await;
        assert_eq!((got.status, got.header("content-range")), (416, &*format!("bytes */{length}")));
    }
}

#[tokio::test]
async fn several_parts_are_served_in_one_body() {
    for length in LENGTHS {
        let (folder, content) = (TempDir::new(), content(length));
        folder.write("a.bin", &content);
        let got = get(&files(&folder), "/a.bin", &[("range", "bytes=500-509,0-4")]).await;
        assert_eq!(got.status, 206);
        assert_eq!(got.header("content-range"), "");
        let boundary = got.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
        let mut expected = Vec::new();
        for (before, range, bytes) in [("", "500-509", &content[500..510]), ("\r\n", "0-4", &content[..5])] {
            expected.extend(format!("{before}--{boundary}\r\nContent-Type: application/octet-stream\r\n").bytes());
            expected.extend(format!("Content-Range: bytes {range}/{length}\r\n\r\n").bytes());
            expected.extend(bytes);
        }
        expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
        assert_eq!(got.body, expected);
    }
}

#[tokio::test]
async fn a_part_of_something_else_is_not_served() {
    let folder = TempDir::with([("a.txt", "0123456789")]);
    let files = files(&folder);
    let first = get(&files, "/a.txt", &[]).await;
    let (tag, modified) = (first.header("etag"), first.header("last-modified"));
    let weak = format!("W/{tag}");
    for (if_range, status) in
        [(tag, 206), (modified, 206), (&weak, 200), ("\"other\"", 200), ("Sun, 06 Nov 1994 08:49:37 GMT", 200)]
    {
        let got = get(&files, "/a.txt", &[("range", "bytes=0-1"), ("if-range", if_range)]).await;
        assert_eq!(got.status, status, "{if_range}");
    }
    let got = get(&files, "/a.txt", &[("range", "bytes=0-1"), ("if-none-match", tag)]).await;
    assert_eq!(got.status, 304, "conditions come before ranges");
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let folder = TempDir::with([("a.txt", "0123456789"), ("empty.txt", "")]);
    folder.write("large.txt", content(100_000));
    let files = files(&folder);
    for (path, length) in [("/a.txt", "10"), ("/empty.txt", "0"), ("/large.txt", "100000")] {
        let got = send(&files, "HEAD", path, &[("range", "bytes=0-1")]).await;
        assert_eq!((got.status, got.body.len()), (200, 0), "{path}");
        assert_eq!(got.header("content-length"), length, "{path}");
        let mut told = got.headers;
        told.remove(header::CONTENT_LENGTH);
        assert_eq!(told, get(&files, path, &[]).await.headers, "{path}");
    }
}

#[tokio::test]
async fn a_compressed_sibling_is_sent_to_whoever_takes_it() {
    let folder = TempDir::with([
        ("app.js", "plain"),
        ("app.js.br", "brotli"),
        ("app.js.gz", "gzip"),
        ("app.js.zst", "zstandard"),
        ("alone.js", "alone"),
        ("a.png", "picture"),
        ("a.png.gz", "senseless"),
    ]);
    let files = files(&folder);
    let mut tags = Vec::new();
    for (accept, coding, body) in [
        ("gzip, deflate, br, zstd", "br", "brotli"),
        ("gzip, zstd", "zstd", "zstandard"),
        ("gzip", "gzip", "gzip"),
        ("br;q=0.1, gzip", "gzip", "gzip"),
        ("identity", "", "plain"),
        ("", "", "plain"),
    ] {
        let got = get(&files, "/app.js", &[("accept-encoding", accept)]).await;
        assert_eq!((got.header("content-encoding"), &got.body[..]), (coding, body.as_bytes()), "{accept}");
        assert_eq!(got.header("vary"), "accept-encoding", "{accept}");
        assert_eq!(got.header("content-type"), "text/javascript; charset=utf-8", "{accept}");
        let tag = got.header("etag").to_owned();
        let again = get(&files, "/app.js", &[("accept-encoding", accept), ("if-none-match", &tag)]).await;
        assert_eq!((again.status, again.header("vary")), (304, "accept-encoding"), "{accept}");
        tags.push(tag);
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "each representation has its own");
    for (path, body) in [("/alone.js", "alone"), ("/a.png", "picture")] {
        let got = get(&files, path, &[("accept-encoding", "br, gzip")]).await;
        assert_eq!((&got.body[..], got.header("vary")), (body.as_bytes(), ""), "{path}");
    }
    let range = [("accept-encoding", "br"), ("range", "bytes=0-2")];
    let got = get(&files, "/app.js", &range).await;
    assert_eq!((got.status, got.header("content-encoding"), &got.body[..]), (206, "br", &b"bro"[..]));
    let files = files.without_precompressed();
    assert_eq!(get(&files, "/app.js.gz", &[]).await.body, "gzip", "it is a file of its own, too");
}

#[tokio::test(start_paused = true)]
async fn a_sibling_older_than_its_file_is_not_sent() {
    let folder = TempDir::with([("app.js", "plain"), ("app.js.gz", "gzip")]);
    let sibling = fs::File::options().write(true).open(folder.join("app.js.gz")).unwrap();
    let files = files(&folder);
    let accept = [("accept-encoding", "gzip")];
    assert_eq!(get(&files, "/app.js", &accept).await.body, "gzip");
    sibling.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let got = get(&files, "/app.js", &accept).await;
    assert_eq!((&got.body[..], got.header("vary")), (&b"plain"[..], "accept-encoding"));
}

#[tokio::test]
async fn caches_are_told_by_pattern() {
    let folder = TempDir::with([("index.html", "x"), ("assets/a.js", "x"), ("logo.svg", "x")]);
    let forever = HeaderValue::from_static("max-age=31536000, immutable");
    let files = files(&folder)
        .cache_control("/assets/**", forever)
        .cache_control("*.svg", HeaderValue::from_static("max-age=60"))
        .cache_control("*.js", HeaderValue::from_static("never reached"))
        .cache_control_default(None);
    for (path, expected) in [("/assets/a.js", "max-age=31536000, immutable"), ("/logo.svg", "max-age=60"), ("/", "")] {
        assert_eq!(get(&files, path, &[]).await.header("cache-control"), expected, "{path}");
    }
}

#[tokio::test]
async fn an_application_of_one_page_answers_navigations() {
    let folder = TempDir::with([("index.html", "app"), ("app.js", "code")]);
    let files = files(&folder).single_page("index.html");
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    for path in ["/users/7", "/users/", "/deep/er/still?x=1.2"] {
        let got = get(&files, path, &[browser]).await;
        assert_eq!((got.status, &got.body[..], got.header("vary")), (200, &b"app"[..], "accept"), "{path}");
        let got = get(&files, path, &[("accept", "*/*")]).await;
        assert_eq!((got.status, got.header("vary")), (404, "accept"), "{path} for a program");
    }
    for path in ["/missing.js", "/users/photo.png", "/.env", "/../x"] {
        let got = get(&files, path, &[browser]).await;
        assert_eq!((got.status, got.header("vary")), (404, ""), "{path} for everybody");
    }
    assert_eq!(get(&files, "/app.js", &[browser]).await.body, "code");
}

#[tokio::test]
async fn a_page_of_ones_own_for_what_is_not_found() {
    let folder = TempDir::with([("404.html", "lost?")]);
    let files = files(&folder).not_found_page("/404.html");
    for path in ["/nothing", "/.env", "/a/b/c.js"] {
        let got = get(&files, path, &[("if-none-match", "*"), ("range", "bytes=0-1")]).await;
        assert_eq!((got.status, &got.body[..]), (404, &b"lost?"[..]), "{path}");
        assert_eq!((got.header("content-type"), got.header("etag")), ("text/html; charset=utf-8", ""));
    }
    let files = files.not_found_page("gone.html");
    assert_eq!(get(&files, "/nothing", &[]).await.body, "404 Not Found\n", "a page that is missing is not needed");
}

#[tokio::test]
async fn the_index_is_the_first_that_is_there() {
    let folder = TempDir::with([("a/index.htm", "htm"), ("b/index.htm", "htm"), ("b/index.html", "html")]);
    let files = files(&folder).index(["index.html", "index.htm"]);
    assert_eq!(get(&files, "/a/", &[]).await.body, "htm");
    assert_eq!(get(&files, "/b/", &[]).await.body, "html");
}
