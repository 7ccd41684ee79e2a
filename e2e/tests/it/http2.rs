//! HTTP/2 by prior knowledge, on the port that speaks 1.1 too: curl, nghttp, h2load, and the public test
//! suite of RFC 9113.

mod conformance;
mod websockets;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use unary_e2e::said::Said;
use unary_e2e::server::Signal;
use unary_e2e::{PATIENCE, Ran, eventually, has, run, serve};
use unary_testkit::TempDir;

use crate::example_site;

/// An example of the library, which ends with the value that holds it.
struct Example {
    child: Child,
    address: String,
}

impl Example {
    /// Builds and starts one, on a free port.
    fn start(name: &str) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--quiet", "--package", "unary", "--example", name]).status();
        assert!(built.is_ok_and(|status| status.success()), "the example cannot be built");
        let mut command = Command::new(folder().join("examples").join(name));
        command.args(["--listen", "127.0.0.1:0", "--threads", "1"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it was built");
        let said = Said::on(child.stderr.take().expect("it is piped"));
        let line = said.wait_for(PATIENCE, |line| line.starts_with("listening on ")).expect("it listens");
        Self { child, address: line.replace("listening on http://", "") }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where this build puts its programs.
fn folder() -> PathBuf {
    let this = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/it-0123 and target/debug/examples/measure.
    this.ancestors().nth(2).expect("tests are built into a folder of the target folder").to_owned()
}

fn curl(arguments: &[&str]) -> Ran {
    let ran = run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

const KNOWING: &str = "--http2-prior-knowledge";

#[test]
fn curl_gets_the_same_by_either_version() {
    if !has("http2::curl_gets_the_same_by_either_version", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    for (path, arguments, status) in [
        ("/", &[][..], "200"),
        ("/style.css", &["--head"], "200"),
        ("/style.css", &["--range", "5-20"], "206"),
        ("/no/such", &[], "404"),
        ("/", &["--data", "form"], "405"),
        ("/", &["--header", "Host: elsewhere"], "200"),
    ] {
        let url = server.url(path);
        let ask = |version: &str| {
            let format = "\n%{http_code} %{http_version} %{content_type}";
            let ran = curl(&[&[version, "--write-out", format, &url], arguments].concat());
            let (body, seen) =
                ran.stdout.rsplit_once('\n').map(|(body, seen)| (body.to_owned(), seen.to_owned())).unwrap();
            assert!(seen.starts_with(status), "{path} {arguments:?}: {seen}");
            (body.replace("HTTP/1.1 200 OK\r", "HTTP/2 200 \r").to_lowercase(), seen)
        };
        let (two, seen_two) = ask(KNOWING);
        let (one, seen_one) = ask("--http1.1");
        assert_eq!(seen_two.replace(" 2 ", " 1.1 "), seen_one);
        // Their heads are in the order of each version.
        let sorted = |text: &str| {
            let mut lines =
                text.lines().filter(|line| !line.starts_with("date:")).map(str::to_owned).collect::<Vec<_>>();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&two), sorted(&one), "{path} {arguments:?}");
    }
}

#[test]
fn an_offer_to_upgrade_is_answered_by_http_1_1() {
    if !has("http2::an_offer_to_upgrade_is_answered_by_http_1_1", "curl") {
        return;
    }
    let server = serve(example_site()).start();
    let ran =
        curl(&["--http2", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}", &server.url("/")]);
    assert_eq!(ran.stdout, "200 1.1");
}

#[test]
fn a_large_upload_is_read_to_its_end() {
    if !has("http2::a_large_upload_is_read_to_its_end", "curl") {
        return;
    }
    let example = Example::start("measure");
    let folder = TempDir::new();
    folder.write("body", vec![b'b'; 20 << 20]);
    let (url, body) = (format!("http://{}/", example.address), format!("@{}", folder.join("body").display()));
    for version in [KNOWING, "--http1.1"] {
        assert_eq!(curl(&[version, "--data-binary", &body, &url]).stdout, "20971520 bytes\n");
    }
}

#[test]
fn nghttp_gets_many_at_once() {
    if !has("http2::nghttp_gets_many_at_once", "nghttp") {
        return;
    }
    let folder = TempDir::new();
    let files = (0..50).map(|number| format!("file {number}\n").repeat(2000)).collect::<Vec<_>>();
    for (number, file) in files.iter().enumerate() {
        folder.write(format!("{number}.txt"), file);
    }
    let server = serve(folder.path()).start();
    let mut command = Command::new("nghttp");
    let ran = run(command
        .args(["--timeout=20", "--no-dep"])
        .args((0..50).map(|number| server.url(&format!("/{number}.txt")))));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // In whatever order their pieces came.
    let bytes = |text: &str| {
        let mut bytes = text.bytes().collect::<Vec<_>>();
        bytes.sort_unstable();
        bytes
    };
    assert!(bytes(&ran.stdout) == bytes(&files.concat()), "{} bytes came", ran.stdout.len());
}

#[test]
fn h2load_is_answered_every_time() {
    if !has("http2::h2load_is_answered_every_time", "h2load") {
        return;
    }
    let server = serve(example_site()).start();
    let mut command = Command::new("h2load");
    let ran = run(command.args(["-n", "20000", "-c", "8", "-m", "100", &server.url("/style.css")]));
    assert!(ran.stdout.contains(" 20000 succeeded, 0 failed, 0 errored, 0 timeout"), "{}", ran.stdout);
}

#[test]
fn a_download_is_finished_before_the_server_is() {
    if !has("http2::a_download_is_finished_before_the_server_is", "curl") {
        return;
    }
    let folder = TempDir::new();
    folder.write("big", vec![b'b'; 8 << 20]);
    let mut server = serve(folder.path()).start();
    let output = folder.join("got");
    let mut download = Command::new("curl")
        .args(["--silent", "--max-time", "20", KNOWING, "--limit-rate", "4M", "--output"])
        .args([output.as_os_str(), server.url("/big").as_ref()])
        .spawn()
        .expect("it is there");
    eventually("the download has begun", || output.metadata().is_ok_and(|file| file.len() > 0));
    server.signal(Signal::TERM);
    assert!(download.wait().expect("it can be waited for").success());
    assert_eq!(output.metadata().expect("it was written").len(), 8 << 20);
    assert_eq!(server.ended(PATIENCE).code(), Some(0));
}
