//! What a site's filters do, as those see it who come: curl, the tools that unpack, Apache's htpasswd, and Python.

use std::fs;
use std::process::{Command, Stdio};

use unary_e2e::{Ran, Server, has, run, run_config};
use unary_testkit::TempDir;

/// A server whose sites' routes are these.
struct Site {
    folder: TempDir,
    server: Server,
}

impl Site {
    fn start(folder: TempDir, routes: &str) -> Self {
        let at = folder.path().display();
        let server = format!(
            "server {{ listen \"127.0.0.1:0\"; threads 2; state \"{at}/state\"; admin \"unix:{at}/admin.sock\" }}"
        );
        folder.write("unary.kdl", format!("{server}\nsite \"*\" {{\n{routes}\n}}\n"));
        let server = run_config(folder.join("unary.kdl"), 1).start();
        Self { folder, server }
    }

    /// The reply's head as curl shows it, each line in lower case, and the body in a file.
    #[track_caller]
    fn curl(&self, path: &str, arguments: &[&str]) -> (String, Vec<u8>) {
        let [head, body] = ["head", "body"].map(|name| self.folder.join(name));
        let _ = fs::remove_file(&body);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", "--dump-header"])
            .arg(&head)
            .arg("--output")
            .arg(&body);
        let ran = run(curl.args(arguments).arg(self.server.url(path)));
        assert_eq!(ran.code, Some(0), "{path} {arguments:?}: {}", ran.stderr);
        let head = fs::read_to_string(head).expect("it is text").to_lowercase();
        (head, fs::read(body).unwrap_or_default())
    }

    /// The same, for what the head has to contain.
    #[track_caller]
    fn check(&self, path: &str, arguments: &[&str], expected: &[&str]) -> Vec<u8> {
        let (head, body) = self.curl(path, arguments);
        for line in expected {
            assert!(head.contains(line), "{path} {arguments:?} has no `{line}`: {head}");
        }
        body
    }
}

/// Text that gets shorter, and is longer than what is packed in one go.
fn text() -> String {
    (0..20_000).map(|number| format!("line {number} of {}\n", number * 7919 % 1000)).collect()
}

/// What a program makes of these bytes.
fn unpack(program: &str, arguments: &[&str], packed: &[u8], folder: &TempDir) -> Vec<u8> {
    folder.write("packed", packed);
    let packed = fs::File::open(folder.join("packed")).expect("it was written");
    let unpacked = Command::new(program).args(arguments).stdin(packed).stderr(Stdio::null()).output();
    unpacked.expect("it is there").stdout
}

const UNPACKING: [(&str, &str); 3] = [("gzip", "gzip"), ("br", "brotli"), ("zstd", "zstd")];

#[test]
fn what_is_compressed_is_what_others_unpack() {
    let name = "clients::what_is_compressed_is_what_others_unpack";
    if !has(name, "curl") || !UNPACKING.into_iter().all(|(_, program)| has(name, program)) {
        return;
    }
    let folder = TempDir::new();
    folder.write("public/text.txt", text());
    folder.write("public/short.txt", "short");
    let public = folder.join("public").display().to_string();
    let site = Site::start(folder, &format!("route {{ compress; files \"{public}\" }}"));
    for (coding, program) in UNPACKING {
        let accept = format!("Accept-Encoding: {coding}");
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let said = [format!("content-encoding: {coding}"), "vary: accept-encoding".to_owned()];
            let packed = site.check("/text.txt", &[version, "-H", &accept], &said.each_ref().map(String::as_str));
            assert!(packed.len() < text().len() / 2, "{coding}: {} bytes", packed.len());
            assert!(unpack(program, &["-d", "-c"], &packed, &site.folder) == text().into_bytes(), "{coding} {version}");
        }
        // Parts are parts of the file as it is.
        let (head, part) = site.curl("/text.txt", &["-H", &accept, "--range", "1000-1999"]);
        assert!(head.starts_with("http/1.1 206") && !head.contains("content-encoding"), "{head}");
        assert!(head.contains(&format!("content-range: bytes 1000-1999/{}", text().len())), "{head}");
        assert!(part == text().as_bytes()[1000..2000], "{coding}");
        let (head, body) = site.curl("/short.txt", &["-H", &accept]);
        assert!(!head.contains("content-encoding") && body == b"short", "{head}");
    }
    // A part is never put behind what was packed: the tags differ. A file has one once it was let be for a second.
    let mut head = String::new();
    unary_e2e::eventually("it has a tag", || {
        head = site.curl("/text.txt", &["-H", "Accept-Encoding: gzip"]).0;
        head.contains("etag: ")
    });
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("it has a tag");
    assert!(tag.starts_with("w/"), "{tag}");
    let if_range = format!("If-Range: {}", tag.replace("w/", "W/"));
    let (head, whole) = site.curl("/text.txt", &["-H", &if_range, "--range", "0-9"]);
    assert!(head.starts_with("http/1.1 200") && whole == text().into_bytes(), "{head}");
}

#[test]
fn passwords_are_those_of_apache() {
    let name = "clients::passwords_are_those_of_apache";
    if !has(name, "curl") || !has(name, "htpasswd") {
        return;
    }
    let folder = TempDir::new();
    let users = folder.join("users").display().to_string();
    let htpasswd = |arguments: &[&str]| {
        let ran = run(Command::new("htpasswd").args(arguments));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    htpasswd(&["-B", "-b", "-c", &users, "alice", "correct horse"]);
    htpasswd(&["-B", "-C", "8", "-b", &users, "bob", "pässwörd"]);
    let site =
        Site::start(folder, &format!("route {{ basic-auth users=\"{users}\" realm=\"Staff\"; respond \"in\" }}"));
    let asked = ["401 unauthorized", "www-authenticate: basic realm=\"staff\""];
    site.check("/", &[], &asked);
    for wrong in ["alice:wrong", "alice:", ":", "nobody:correct horse", "bob:correct horse"] {
        site.check("/", &["--user", wrong], &asked);
    }
    for right in ["alice:correct horse", "bob:pässwörd"] {
        assert_eq!(site.check("/", &["--user", right], &["200 ok"]), b"in");
    }
    // Who is put into the file is let in, and who is taken out is not.
    htpasswd(&["-B", "-b", &users, "carol", "new"]);
    htpasswd(&["-D", &users, "bob"]);
    unary_e2e::eventually("carol is let in", || site.curl("/", &["--user", "carol:new"]).1 == b"in");
    site.check("/", &["--user", "bob:pässwörd"], &asked);
}

#[test]
fn limits_are_told_in_fields_that_clients_know() {
    if !has("clients::limits_are_told_in_fields_that_clients_know", "curl") {
        return;
    }
    let routes = "route \"/few\" { rate-limit \"3/m\" burst=3; respond \"one of few\" }
        route \"/small\" { body-limit \"10B\"; respond \"read\" }
        route { request-id; headers { set X-Frame-Options=DENY; remove Server }; respond \"all\" }";
    let site = Site::start(TempDir::new(), routes);
    for left in ["2", "1", "0"] {
        let (head, body) = site.curl("/few", &[]);
        assert!(head.starts_with("http/1.1 200") && body == b"one of few", "{head}");
        let limit = head.lines().find(|line| line.starts_with("ratelimit:")).unwrap_or_else(|| panic!("{head}"));
        assert!(limit.contains(&format!("r={left}")), "{limit}");
    }
    let (head, _) = site.curl("/few", &[]);
    assert!(head.starts_with("http/1.1 429"), "{head}");
    let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: ")?.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=20).contains(&wait)), "{head}");
    site.check("/small", &["--data", "0123456789"], &["200 ok"]);
    site.check("/small", &["--data", "0123456789a"], &["413 "]);
    site.check("/", &[], &["x-frame-options: deny", "x-request-id: "]);
}

#[test]
fn browsers_are_told_who_may_ask() {
    if !has("clients::browsers_are_told_who_may_ask", "curl") {
        return;
    }
    let cors = "cors \"https://app.example\" credentials=#true max-age=\"1h\" { methods GET DELETE; headers X-Token }";
    let site = Site::start(TempDir::new(), &format!("route {{ {cors}; respond \"shared\" }}"));
    let ask = |origin: &str, method: &str| {
        let origin = format!("Origin: {origin}");
        let wanted = format!("Access-Control-Request-Method: {method}");
        site.curl(
            "/",
            &["--request", "OPTIONS", "-H", &origin, "-H", &wanted, "-H", "Access-Control-Request-Headers: x-token"],
        )
    };
    let (head, body) = ask("https://app.example", "DELETE");
    for line in [
        "access-control-allow-origin: https://app.example",
        "access-control-allow-credentials: true",
        "access-control-allow-headers: x-token",
        "access-control-max-age: 3600",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let methods = head.lines().find(|line| line.starts_with("access-control-allow-methods:")).expect("it says");
    assert!(methods.contains("delete") && body.is_empty(), "{head}");
    for (origin, method) in [("https://evil.example", "GET"), ("null", "GET")] {
        let (head, _) = ask(origin, method);
        assert!(!head.contains("access-control-allow-origin"), "{origin} {method}: {head}");
    }
    let (head, body) = site.curl("/", &["-H", "Origin: https://app.example"]);
    assert!(head.contains("access-control-allow-origin: https://app.example") && body == b"shared", "{head}");
    assert!(head.contains("vary: origin"), "{head}");
}

/// Debian's own: what it has installed is there for this one alone.
const PYTHON: &str = "/usr/bin/python3";

fn python(name: &str, module: &str, script: &str, arguments: &[&str]) -> Option<Ran> {
    let path = format!("/usr/lib/python3/dist-packages/{module}/__init__.py");
    has(name, &path).then(|| run(Command::new(PYTHON).args(["-c", script]).args(arguments)))
}

#[test]
fn requests_of_python_gets_along() {
    let script = r#"
import sys, time, requests
base, text = sys.argv[1], open(sys.argv[2]).read()
with requests.Session() as session:
    for _ in range(3):
        got = session.get(base + '/text.txt', timeout=20)
        assert got.status_code == 200 and got.text == text and got.headers['content-encoding'] in ('gzip', 'br', 'zstd'), got.headers
    began = time.monotonic()
    while 'etag' not in got.headers and time.monotonic() < began + 20: # It was let be for a second by then.
        got = session.get(base + '/text.txt', timeout=20)
    with session.get(base + '/text.txt', stream=True, timeout=20) as streamed:
        assert b''.join(streamed.iter_content(777)).decode() == text
    moved = session.get(base + '/old/x?y=1', timeout=20)
    assert moved.url == base + '/echo/old/x?y=1' and moved.history[0].status_code == 301, (moved.url, moved.history)
    assert requests.put(base + '/small', data=b'z' * 100_000, timeout=20).status_code == 413
    chunks = (b'q' for _ in range(5))
    assert session.post(base + '/small', data=chunks, timeout=20).status_code == 200
    assert session.get(base + '/text.txt', headers={'If-None-Match': got.headers['etag']}, timeout=20).status_code == 304
    private = session.get(base + '/private', auth=('alice', 'secret'), timeout=20)
    assert private.status_code == 200 and session.get(base + '/private', timeout=20).status_code == 401
print('well')
"#;
    let name = "clients::requests_of_python_gets_along";
    if !has(name, "htpasswd") {
        return;
    }
    let folder = TempDir::new();
    folder.write("public/text.txt", text());
    let [public, users] = ["public", "users"].map(|name| folder.join(name).display().to_string());
    assert_eq!(run(Command::new("htpasswd").args(["-B", "-b", "-c", &users, "alice", "secret"])).code, Some(0));
    let routes = format!(
        "route \"/old/*\" {{ redirect 301 \"/echo{{uri}}\" }}
        route \"/echo/*\" {{ respond \"here\" }}
        route \"/small\" {{ body-limit \"1KiB\"; respond \"read\" }}
        route \"/private\" {{ basic-auth users=\"{users}\"; respond \"in\" }}
        route {{ compress; files \"{public}\" }}"
    );
    let site = Site::start(folder, &routes);
    let text = site.folder.join("public/text.txt").display().to_string();
    let Some(ran) = python(name, "requests", script, &[site.server.url("").trim_end_matches('/'), &text]) else {
        return;
    };
    assert_eq!(ran.stdout.trim(), "well", "{}", ran.stderr);
}

#[test]
fn websockets_of_python_talk_through_the_proxy() {
    let script = r#"
import asyncio, sys, websockets
async def main():
    async with websockets.serve(lambda socket, path=None: repeat(socket), '127.0.0.1', 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(port, flush=True)
        url = sys.stdin.readline().strip()
        async with websockets.connect(url, max_size=None) as socket:
            for message in ['hello', 'x' * 100_000, b'\x00\x01' * 500_000, '']:
                await socket.send(message)
                assert await asyncio.wait_for(socket.recv(), 20) == message
            await (await socket.ping())
        assert socket.close_code == 1000, socket.close_code
async def repeat(socket):
    async for message in socket:
        await socket.send(message)
asyncio.run(main())
print('well')
"#;
    let name = "clients::websockets_of_python_talk_through_the_proxy";
    if !has(name, "/usr/lib/python3/dist-packages/websockets/__init__.py") {
        return;
    }
    let mut python = Command::new(PYTHON);
    let mut python =
        python.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is there");
    let said = unary_e2e::said::Said::on(python.stdout.take().expect("it is piped"));
    let port = said.wait_for(unary_e2e::PATIENCE, |_| true).expect("it listens");
    let site = Site::start(TempDir::new(), &format!("route \"/ws\" {{ proxy \"http://127.0.0.1:{port}\" }}"));
    let url = site.server.url("/ws").replace("http://", "ws://");
    let mut stdin = python.stdin.take().expect("it is piped");
    std::io::Write::write_all(&mut stdin, format!("{url}\n").as_bytes()).expect("it reads");
    assert!(said.wait_for(unary_e2e::PATIENCE * 2, |line| line == "well").is_some(), "{:?}", said.lines());
    let _ = python.wait();
}
