//! What every web server does, asked for with curl.

use std::process::Command;
use std::time::{Duration, SystemTime};

use unary_e2e::server::Signal;
use unary_e2e::wait::pause;
use unary_e2e::{Client, PATIENCE, Ran, Server, eventually, has, run, serve, skip};
use unary_testkit::TempDir;

use crate::example_site;

fn curl(arguments: &[&str]) -> Ran {
    run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments))
}

/// Asks for a path and checks what `--write-out` makes of `format`, and then the body.
#[track_caller]
fn check(server: &Server, arguments: &[&str], path: &str, format: &str, expected: &str) -> String {
    let url = server.url(path);
    let format = format!("\n{format}");
    let mut all = vec!["--write-out", &format, "--path-as-is", &url];
    all.extend(arguments);
    let ran = curl(&all);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let (body, seen) = ran.stdout.rsplit_once('\n').expect("the format begins with a line end");
    assert_eq!(seen, expected, "{path} {arguments:?}");
    body.to_owned()
}

const STATUS: &str = "%{http_code}";

#[test]
fn curl_gets_the_index_and_a_file() {
    if !has("basics::curl_gets_the_index_and_a_file", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    let file = |name: &str| std::fs::read_to_string(example_site().join(name)).expect("the site is there");
    let index = check(&server, &[], "/", "%{http_code} %{content_type}", "200 text/html; charset=utf-8");
    assert_eq!(index, file("index.html"));
    let script =
        check(&server, &[], "/script.js", "%{http_code} %{content_type}", "200 text/javascript; charset=utf-8");
    assert_eq!(script, file("script.js"));
    check(&server, &[], "/files", "%{http_code} %{redirect_url}", &format!("301 {}", server.url("/files/")));
    check(&server, &[], "/no/such", STATUS, "404");
}

/// What a reply's `Date` may be off, with a machine that is busy.
const DATE_OFF_MAX: Duration = Duration::from_secs(2);

#[test]
fn the_date_is_that_of_now_on_every_reply() {
    let server = serve(example_site()).argument("--threads").argument("1").start();
    let mut client = Client::connect(&server);
    let mut date_of_now = || {
        let before = SystemTime::now();
        let reply = client.get("/");
        let text = reply.head.field("date").expect("each reply has a date").to_owned();
        let date = httpdate::parse_http_date(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(httpdate::fmt_http_date(date), text, "as RFC 9110 §5.6.7 has it");
        assert!(date + DATE_OFF_MAX >= before && date <= SystemTime::now() + DATE_OFF_MAX, "{text} at {before:?}");
        date
    };
    let first = date_of_now();
    pause(Duration::from_secs(2));
    assert!(date_of_now() > first, "the thread's date stands still");
}

#[test]
fn two_requests_share_a_connection() {
    if !has("basics::two_requests_share_a_connection", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    let (first, second) = (server.url("/"), server.url("/style.css"));
    let ran =
        curl(&["--output", "/dev/null", &first, "--output", "/dev/null", &second, "--write-out", "%{num_connects}"]);
    assert_eq!(ran.stdout, "10");
}

#[test]
fn head_says_the_length_and_sends_no_body() {
    if !has("basics::head_says_the_length_and_sends_no_body", "curl") {
        return;
    }
    let folder = TempDir::with([("a.txt", "twelve bytes")]);
    let server = serve(folder.path()).start();
    let head = check(&server, &["--head"], "/a.txt", "%{http_code} %{size_download}", "200 0");
    assert!(head.contains("content-length: 12\r\n"), "{head}");
}

#[test]
fn other_methods_are_refused_with_those_allowed() {
    if !has("basics::other_methods_are_refused_with_those_allowed", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    check(&server, &["--data", "x"], "/", "%{http_code} %header{allow}", "405 GET, HEAD, OPTIONS");
    check(&server, &["--request", "OPTIONS"], "/", "%{http_code} %header{allow}", "204 GET, HEAD, OPTIONS");
}

#[test]
fn ranges_are_parts() {
    if !has("basics::ranges_are_parts", "curl") {
        return;
    }
    let folder = TempDir::with([("a.txt", "0123456789")]);
    let server = serve(folder.path()).start();
    let part = |range: &str, expected: &str| check(&server, &["--range", range], "/a.txt", STATUS, expected);
    assert_eq!(part("2-4", "206"), "234");
    assert_eq!(part("-3", "206"), "789");
    assert_eq!(part("8-", "206"), "89");
    part("10-", "416");
    folder.write("long", "0123456789".repeat(1000));
    let two = check(&server, &["--range", "0-1,9998-"], "/long", STATUS, "206");
    assert!(two.contains("bytes 0-1/10000\r\n") && two.contains("bytes 9998-9999/10000\r\n"), "{two}");
    // A download that broke off goes on.
    folder.write("half", "01234");
    let half = folder.join("half");
    let ran = curl(&["--continue-at", "-", "--output", &half.display().to_string(), &server.url("/a.txt")]);
    assert_eq!((ran.code, std::fs::read_to_string(half).unwrap().as_str()), (Some(0), "0123456789"));
}

#[test]
fn what_is_known_is_not_sent_again() {
    if !has("basics::what_is_known_is_not_sent_again", "curl") {
        return;
    }
    let folder = TempDir::with([("a.txt", "0123456789")]);
    // What was changed just now may change again within the same tick of a clock: it has no tag yet.
    let modified = std::fs::metadata(folder.join("a.txt")).and_then(|about| about.modified()).expect("it is there");
    eventually("the clock has ticked", || modified.elapsed().is_ok_and(|age| age > Duration::from_millis(200)));
    let server = serve(folder.path()).start();
    let tag = folder.join("tag").display().to_string();
    check(&server, &["--etag-save", &tag], "/a.txt", STATUS, "200");
    check(&server, &["--etag-compare", &tag], "/a.txt", "%{http_code} %{size_download}", "304 0");
    check(&server, &["--time-cond", &folder.join("a.txt").display().to_string()], "/a.txt", STATUS, "304");
    check(&server, &["--time-cond", "2001-01-01"], "/a.txt", STATUS, "200");
    check(&server, &["--header", "If-Match: \"other\""], "/a.txt", STATUS, "412");
    folder.write("a.txt", "changed, and longer");
    eventually("the changed file has another tag", || {
        let ran = curl(&["--etag-compare", &tag, &server.url("/a.txt")]);
        ran.stdout == "changed, and longer"
    });
}

#[test]
fn compressed_siblings_are_sent_to_those_who_take_them() {
    if !has("basics::compressed_siblings_are_sent_to_those_who_take_them", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    let plain = std::fs::read_to_string(example_site().join("style.css")).expect("the site is there");
    let format = "%header{content-encoding} %header{vary} %{size_download}";
    let length = std::fs::metadata(example_site().join("style.css.gz")).expect("the site is there").len();
    let compressed = check(&server, &["--compressed"], "/style.css", format, &format!("gzip accept-encoding {length}"));
    assert_eq!(compressed, plain);
    check(&server, &[], "/style.css", format, &format!(" accept-encoding {}", plain.len()));
}

#[test]
fn a_folder_without_an_index_is_listed() {
    if !has("basics::a_folder_without_an_index_is_listed", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    let page = check(&server, &[], "/files/", "%{http_code} %{content_type}", "200 text/html; charset=utf-8");
    assert!(page.contains("<a href=\"a%20name%20with%20spaces.txt\">a name with spaces.txt</a>"), "{page}");
    let accept = ["--header", "Accept: application/json"];
    let told =
        check(&server, &accept, "/files/", "%{http_code} %{content_type}", "200 application/json; charset=utf-8");
    let told: serde_json::Value = serde_json::from_str(&told).expect("it is JSON");
    let names: Vec<_> =
        told["entries"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["letters", "a name with spaces.txt", "about-this-folder.txt", "planets.csv"]);
}

#[test]
fn a_path_that_leads_nowhere_is_no_application() {
    if !has("basics::a_path_that_leads_nowhere_is_no_application", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    check(&server, &["--header", "Accept: text/html"], "/settings/profile", STATUS, "404");
}

#[test]
fn listens_on_ipv6() {
    let name = "basics::listens_on_ipv6";
    if !has(name, "curl") {
        return;
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return skip(name, "this machine has no IPv6");
    }
    let server = serve(example_site()).listen("[::1]:0").start();
    assert!(server.addresses()[0].starts_with("http://[::1]:"), "{:?}", server.addresses());
    check(&server, &["--globoff"], "/logo.svg", "%{http_code} %{content_type}", "200 image/svg+xml; charset=utf-8");
}

#[test]
fn listens_on_a_unix_socket_and_removes_it() {
    if !has("basics::listens_on_a_unix_socket_and_removes_it", "curl") {
        return;
    }
    let folder = TempDir::new();
    let path = folder.join("a.sock");
    let socket = path.display().to_string();
    let mut server = serve(example_site()).listen(format!("unix:{socket}")).start();
    assert_eq!(server.addresses(), [format!("unix:{socket}")]);
    let ran = curl(&["--unix-socket", &socket, "--write-out", STATUS, "--output", "/dev/null", "http://a/style.css"]);
    assert_eq!(ran.stdout, "200");
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).success());
    assert!(!path.exists());
}
