//! What is served, and what never is.

use std::os::unix::fs::PermissionsExt;

use unary_testkit::permissions_hold;

use super::*;

#[tokio::test]
async fn a_file_is_served_with_its_type() {
    let folder = TempDir::with([("index.html", "<p>hello"), ("a/b.css", "p {}"), ("a b.txt", "spaced")]);
    let files = files(&folder);
    for (path, body, media_type) in [
        ("/", "<p>hello", "text/html; charset=utf-8"),
        ("/index.html?v=1", "<p>hello", "text/html; charset=utf-8"),
        ("/a/b.css", "p {}", "text/css; charset=utf-8"),
        ("/a%20b.txt", "spaced", "text/plain; charset=utf-8"),
        ("//a//b.css", "p {}", "text/css; charset=utf-8"),
    ] {
        for _again in 0..2 {
            let got = get(&files, path, &[]).await;
            assert_eq!((got.status, &got.body[..]), (200, body.as_bytes()), "{path}");
            assert_eq!(got.header("content-type"), media_type, "{path}");
            assert_eq!(got.header("x-content-type-options"), "nosniff");
            assert_eq!(got.header("cache-control"), "no-cache");
        }
    }
}

#[tokio::test]
async fn a_large_file_is_served_whole() {
    let folder = TempDir::new();
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    folder.write("large.bin", &content);
    let files = files(&folder);
    for _again in 0..2 {
        let got = get(&files, "/large.bin", &[]).await;
        assert_eq!(got.status, 200);
        assert!(got.body == content, "all bytes in their places");
    }
}

#[tokio::test]
async fn nothing_outside_the_root_is_served() {
    let around = TempDir::with([("secret.txt", "secret"), ("site/index.html", "home"), ("site/in/page.txt", "in")]);
    around.link("../secret.txt", "site/out.txt");
    around.link("..", "site/up");
    around.link("/etc", "site/etc");
    around.link("in", "site/within");
    around.link("loop", "site/loop");
    let files = Files::new(around.join("site")).unwrap();
    for path in [
        "/out.txt",
        "/up/secret.txt",
        "/up/site/index.html",
        "/etc/passwd",
        "/../secret.txt",
        "/in/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/%c0%ae%c0%ae%c0%afsecret.txt",
        "/secret.txt%00.html",
        "/loop",
        "//etc/passwd",
        "/./index.html",
        "/in/%2e%2e/index.html",
        "/index.html/",
        "/in/page.txt/x",
    ] {
        assert_eq!(get(&files, path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(get(&files, "/within/page.txt", &[]).await.body, "in", "a link that stays inside is followed");
}

#[tokio::test]
async fn hidden_files_are_not_there() {
    let folder = TempDir::with([(".env", "x"), (".git/config", "x"), (".well-known/security.txt", "write to us")]);
    let files = files(&folder);
    for path in ["/.env", "/.git/config", "/%2egit/config", "/.git/"] {
        assert_eq!(get(&files, path, &[]).await.status, 404, "{path}");
    }
    assert_eq!(get(&files, "/.well-known/security.txt", &[]).await.body, "write to us");
}

#[tokio::test]
async fn hidden_files_are_there_where_that_is_wanted() {
    let folder = TempDir::with([(".env", "x"), (".config/a", "b"), (".well-known/security.txt", "write to us")]);
    let files = files(&folder).hidden(Hidden::Served);
    assert_eq!(get(&files, "/.env", &[]).await.body, "x");
    assert_eq!(get(&files, "/%2econfig/a", &[]).await.body, "b");
    assert_eq!(get(&files, "/.well-known/security.txt", &[]).await.body, "write to us");
    let listing = get(&files, "/?format=json", &[]).await;
    assert!(String::from_utf8_lossy(&listing.body).contains("\".env\""), "{:?}", listing.body);
    for path in ["/..", "/.", "/.config/../.env", "/%2e%2e/x"] {
        assert_eq!(get(&files, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn pipes_and_sockets_are_not_served() {
    let folder = TempDir::new();
    let pipe = folder.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    let files = files(&folder);
    for path in ["/pipe", "/socket"] {
        assert_eq!(get(&files, path, &[]).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_file_we_may_not_read_is_forbidden() {
    if !permissions_hold!(a_file_we_may_not_read_is_forbidden) {
        return;
    }
    let folder = TempDir::with([("closed.txt", "x")]);
    std::fs::set_permissions(folder.join("closed.txt"), std::fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(get(&files(&folder), "/closed.txt", &[]).await.status, 403);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let folder = TempDir::with([("a.txt", "x")]);
    let files = files(&folder);
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let got = send(&files, method, "/a.txt", &[]).await;
        assert_eq!((got.status, got.header("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    let options = send(&files, "OPTIONS", "*", &[]).await;
    assert_eq!((options.status, options.header("allow")), (204, "GET, HEAD, OPTIONS"));
}

#[tokio::test]
async fn a_broken_path_is_a_bad_request() {
    let folder = TempDir::new();
    for path in ["/%", "/%zz", "/a%2"] {
        assert_eq!(get(&files(&folder), path, &[]).await.status, 400, "{path}");
    }
}

#[test]
fn a_root_that_is_not_there_is_said() {
    let error = Files::new("/no/such/folder").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[tokio::test]
async fn an_error_tells_a_path_in_one_line() {
    let folder = TempDir::with([("a\n\u{85}\u{202e}b/x", "x")]);
    let turns = Arc::new(tokio::sync::Semaphore::new(0));
    turns.close();
    let files = Files { shelf: Shelf::of(turns.clone(), turns), ..files(&folder) };
    let request = http::Request::builder().uri("/a%0a%C2%85%E2%80%AEb/").body(Body::empty()).unwrap();
    let error = files.call(request).await.unwrap_err();
    assert_eq!((error.kind(), error.step()), (Kind::Overloaded, r#"listing "a\n\u{85}\u{202e}b""#));
}
