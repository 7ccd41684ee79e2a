//! Programs that speak FastCGI or SCGI by libraries that others wrote.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
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

/// An authorizer of libfcgi: whoever knows the word may come, and is `ann`.
const AUTHORIZER: &str = r#"
#include <string.h>
#include <stdlib.h>
#include <fcgi_stdio.h>
int main(void) {
    while (FCGI_Accept() >= 0) {
        const char *role = getenv("FCGI_ROLE"), *said = getenv("HTTP_X_WORD");
        if (role && !strcmp(role, "AUTHORIZER") && said && !strcmp(said, "sesame"))
            printf("Status: 200 OK\r\nVariable-WHO: ann\r\n\r\n");
        else
            printf("Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nnot you");
    }
    return 0;
}
"#;

/// An SCGI program of a few lines, at a socket that it was given as its descriptor 0.
const SCGI: &str = r#"
import os, socket
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    stream = connection.makefile("rwb")
    length = b""
    while (byte := stream.read(1)) != b":": length += byte
    words = stream.read(int(length) + 1).split(b"\0")
    told = dict(zip(words[0::2], words[1::2]))
    body = stream.read(int(told[b"CONTENT_LENGTH"]))
    said = b"%s %s %d bytes %s" % (told[b"SCRIPT_NAME"], told[b"PATH_INFO"], len(body), os.environb[b"COLOUR"])
    stream.write(b"Status: 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
    stream.close()
    connection.close()
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
    server_of(folder, &format!("{word} \"127.0.0.1:{port}\" mount=\"/app\""))
}

/// A server of which this is the service beneath `/app`.
fn server_of(folder: &TempDir, service: &str) -> Server {
    let at = folder.path().display();
    folder.write(
        "unary.kdl",
        format!(
            "server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\"; }}\n\
             site \"*\" {{ tls off; route \"/app/*\" {{ {service}; }}; }}\n"
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

/// The program of libfcgi, built in this folder; `None` where it cannot be: then the test `name` is skipped.
fn build_echo(name: &str, folder: &TempDir) -> Option<()> {
    build(name, folder, ECHO)
}

fn build(name: &str, folder: &TempDir, source: &str) -> Option<()> {
    if !Path::new("/usr/include/fcgi_stdio.h").is_file() {
        skip(name, "libfcgi-dev is not installed");
        return None;
    }
    if !has(name, "cc") || !has(name, "curl") {
        return None;
    }
    folder.write("echo.c", source);
    let mut cc = Command::new("cc");
    let ran = run(cc.arg(folder.join("echo.c")).arg("-o").arg(folder.join("echo")).arg("-lfcgi"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    Some(())
}

/// Stops it in order, and with it the workers that it has.
fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    server.ended(unary_e2e::PATIENCE);
}

#[test]
fn a_program_of_libfcgi_is_run_while_it_is_asked_for() {
    let folder = TempDir::new();
    if build_echo("fastcgi::a_program_of_libfcgi_is_run_while_it_is_asked_for", &folder).is_none() {
        return;
    }
    let server = server_of(&folder, "fastcgi \"./echo\" workers=\"0..2\" idle=\"1s\" mount=\"/app\"");
    check(&server, &folder);
    let call = || {
        let reply = Client::connect(&server).get("/app/");
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        let calls = said.rsplit_once("call ").and_then(|(_, calls)| calls.trim().parse::<u32>().ok());
        calls.unwrap_or_else(|| panic!("{said}"))
    };
    assert!(call() > 0, "the worker is the one that answered before");
    eventually("an idle worker is gone, and the next counts anew", || {
        unary_e2e::wait::pause(std::time::Duration::from_millis(1100));
        call() == 0
    });
    stop(server);
}

#[test]
fn a_program_that_speaks_scgi_is_run_while_it_is_asked_for() {
    let name = "fastcgi::a_program_that_speaks_scgi_is_run_while_it_is_asked_for";
    if !has(name, "python3") || !has(name, "curl") {
        return;
    }
    let folder = TempDir::new();
    folder.write("app.py", SCGI);
    let words = "scgi \"python3\" \"app.py\" workers=\"0..2\" mount=\"/app\" { env COLOUR=\"blue\"; }";
    let server = server_of(&folder, words);
    check(&server, &folder);
    let reply = Client::connect(&server).get("/app/");
    assert!(reply.body.ends_with(b" blue"), "{:?}", reply.body);
    stop(server);
}

#[test]
fn a_program_of_libfcgi_answers() {
    let folder = TempDir::new();
    if build_echo("fastcgi::a_program_of_libfcgi_answers", &folder).is_none() {
        return;
    }
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

#[test]
fn an_authorizer_says_who_may_come() {
    let (folder, name) = (TempDir::new(), "fastcgi::an_authorizer_says_who_may_come");
    if !has(name, "python3") || build(name, &folder, AUTHORIZER).is_none() {
        return;
    }
    folder.write("app.py", SCGI.replace("os.environb[b\"COLOUR\"]", "told[b\"WHO\"]"));
    let port = free_port();
    let listening: OwnedFd = TcpListener::bind(("127.0.0.1", port)).expect("the port is free").into();
    let mut command = Command::new(folder.join("echo"));
    let authorizer = Running(command.stdin(Stdio::from(listening)).spawn().expect("it was built"));
    drop(command); // It holds the socket, too.
    let words =
        format!("fastcgi-auth \"127.0.0.1:{port}\"; scgi \"python3\" \"app.py\" workers=\"0..2\" mount=\"/app\"");
    let server = server_of(&folder, &words);
    let ask = |word: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "-w", " %{http_code}", "-d", "a body", "-H", &format!("X-Word: {word}")]);
        run(curl.arg(server.url("/app/x"))).stdout
    };
    assert_eq!(ask("sesame"), "/app /x 6 bytes ann 200");
    assert_eq!(ask("please"), "not you 403");
    drop(authorizer);
    assert!(["502", "503"].iter().any(|status| ask("sesame").ends_with(status)), "nobody comes past one that is gone");
    stop(server);
}
