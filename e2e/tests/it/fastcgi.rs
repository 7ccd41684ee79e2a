//! Programs that speak FastCGI or SCGI by libraries that others wrote.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use unary_e2e::{Client, Server, eventually, has, run, run_config, skip};
use unary_testkit::{TempDir, free_port};

/// What libfcgi's documentation shows as the first program, and a little more: it says who asks for what, counts its
/// calls, and says the length of a body.
const ECHO: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <fcgi_stdio.h>
int main(void) {
    int calls = 0;
    while (FCGI_Accept() >= 0) {
        long length = 0; int c;
        while ((c = getchar()) != EOF) length++;
        fprintf(stderr, "call %d\n", calls);
        printf("Content-Type: text/plain\r\n\r\n%s %s %ld bytes, call %d\n", getenv("SCRIPT_NAME"), getenv("PATH_INFO"),
            length, calls++);
    }
    return 0;
}
"#;

/// A WSGI program, by whichever of flup's servers.
const WSGI: &str = r#"
import sys
from flup.server.SPEECH import WSGIServer
def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    said = "%s %s %d bytes" % (environ["SCRIPT_NAME"], environ["PATH_INFO"], len(body))
    return [said.encode()]
WSGIServer(app, bindAddress=("127.0.0.1", int(sys.argv[1]))).run()
"#;

/// Ends with the value that holds it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that sends what is beneath `/app` on to this port.
fn server(folder: &TempDir, word: &str, port: u16) -> Server {
    let at = folder.path().display();
    folder.write(
        "unary.kdl",
        format!(
            "server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\"; }}\n\
             site \"*\" {{ tls off; route \"/app/*\" {{ {word} \"127.0.0.1:{port}\" mount=\"/app\"; }}; }}\n"
        ),
    );
    run_config(folder.join("unary.kdl"), 1).start()
}

/// The program is told its name and path, and gets bodies whole; over both versions of HTTP.
#[track_caller]
fn check(server: &Server, folder: &TempDir) {
    let reply = Client::connect(server).get("/app/a%20b");
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(reply.head.status == 200 && said.starts_with("/app /a b 0 bytes"), "{}: {said}", reply.head.status);
    folder.write("body", vec![b'x'; 1_000_000]);
    let body = format!("@{}", folder.join("body").display());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for chunked in [&[][..], &["-H", "Transfer-Encoding: chunked"]] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", "--max-time", "30", version, "--data-binary", &body]).args(chunked);
            let ran = run(curl.arg(server.url("/app/x")));
            assert!(ran.stdout.starts_with("/app /x 1000000 bytes"), "{version}: {} {}", ran.stdout, ran.stderr);
        }
    }
}

#[test]
fn a_program_of_libfcgi_answers() {
    let name = "fastcgi::a_program_of_libfcgi_answers";
    if !Path::new("/usr/include/fcgi_stdio.h").is_file() {
        return skip(name, "libfcgi-dev is not installed");
    }
    if !has(name, "cc") || !has(name, "curl") {
        return;
    }
    let folder = TempDir::new();
    folder.write("echo.c", ECHO);
    let mut cc = Command::new("cc");
    let ran = run(cc.arg(folder.join("echo.c")).arg("-o").arg(folder.join("echo")).arg("-lfcgi"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let port = free_port();
    let listening: OwnedFd = TcpListener::bind(("127.0.0.1", port)).expect("the port is free").into();
    let mut echo = Command::new(folder.join("echo"));
    let _echo = Running(echo.stdin(Stdio::from(listening)).spawn().expect("it was built"));
    let server = server(&folder, "fastcgi", port);
    check(&server, &folder);
    // One connection, kept: the program serves one at a time, and nobody waited for it.
    for call in 5..50 {
        let reply = Client::connect(&server).get("/app/");
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(said.ends_with(&format!("call {call}\n")), "{said}");
    }
    let logged = |line: &str| line.contains("id=") && line.contains("call 49");
    assert!(server.stderr().wait_for(unary_e2e::PATIENCE, logged).is_some(), "{:?}", server.stderr().lines());
}

/// flup, from PyPI; `None` where that cannot be reached.
fn flup(folder: &TempDir) -> Option<PathBuf> {
    let packages = folder.join("packages");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"]);
    let ran = run(pip.arg(&packages).arg("flup==1.0.3"));
    (ran.code == Some(0)).then_some(packages)
}

#[test]
fn python_by_flup_answers_in_fastcgi_and_scgi() {
    let name = "fastcgi::python_by_flup_answers_in_fastcgi_and_scgi";
    if !has(name, "python3") || !has(name, "curl") {
        return;
    }
    let folder = TempDir::new();
    let Some(packages) = flup(&folder) else { return skip(name, "flup cannot be had from PyPI") };
    for (word, speech) in [("fastcgi", "fcgi"), ("scgi", "scgi")] {
        let program = folder.join(format!("{speech}.app.py"));
        folder.write(&program, WSGI.replace("SPEECH", speech));
        let port = free_port();
        let mut python = Command::new("python3");
        python.arg(&program).arg(port.to_string()).env("PYTHONPATH", &packages).stdin(Stdio::null());
        let _python = Running(python.spawn().expect("it is there"));
        eventually("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        check(&server(&folder, word, port), &folder);
    }
}
