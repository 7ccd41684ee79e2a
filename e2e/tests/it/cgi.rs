//! CGI programs that nobody here wrote for us: a shell script, Perl with CGI.pm, git and gitweb; over HTTP/1.1 and HTTP/2.

mod connections;
mod faults;
mod floods;
mod git;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use unary_e2e::server::{Server, run_config};
use unary_e2e::{Ran, run, serve, skip};
use unary_testkit::TempDir;

/// What curl is told to speak.
const BOTH: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// A program in this folder.
fn program(folder: &TempDir, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("it is in a folder")).expect("the folder can be written");
    fs::write(&path, text).expect("the folder can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// A server of a site with these routes.
fn site(folder: &TempDir, routes: &str) -> Server {
    let listen = "server {\n listen \"127.0.0.1:0\"\n admin \"off\"\n threads 1\n}\n";
    folder.write("unary.kdl", format!("{listen}site \"*\" {{\n{routes}\n}}\n"));
    run_config(folder.join("unary.kdl"), 1).start()
}

fn curl(arguments: &[&str], url: &str) -> Ran {
    let ran = run(Command::new("curl").args(["--silent", "--show-error", "--max-time", "30"]).args(arguments).arg(url));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran
}

/// Whether Debian's package has put this there; if not, the test is skipped by name.
fn is_there(test: &str, file: &str, package: &str) -> bool {
    let is_there = Path::new(file).exists();
    if !is_there {
        skip(test, &format!("{package} is not installed"));
    }
    is_there
}

const TELLS: &str = "#!/bin/sh
echo 'Content-Type: text/plain'
echo \"X-Words: $#\"
echo
echo \"$REQUEST_METHOD $SCRIPT_NAME $PATH_INFO $QUERY_STRING $SERVER_PROTOCOL $CONTENT_LENGTH\"
echo \"$HTTP_COOKIE|$HTTP_PROXY|$HTTP_AUTHORIZATION|$GREETING|$HOME\"
cat
echo 'this is for the log' >&2
";

#[test]
fn a_shell_script_is_told_and_answers() {
    let folder = TempDir::new();
    program(&folder, "cgi-bin/tells", TELLS);
    let server = site(&folder, "route \"/cgi-bin/*\" {\n cgi cgi-bin {\n env GREETING=hello\n }\n }");
    for (version, protocol) in BOTH.into_iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
        let told =
            ["-H", "Cookie: a=1; b=2", "-H", "Proxy: evil", "-u", "user:secret", "--data", "body", "-i", version];
        let ran = curl(&told, &server.url("/cgi-bin/tells/a%20b?two+words"));
        assert!(ran.stdout.to_lowercase().contains("x-words: 0"), "{}", ran.stdout);
        let body = format!("POST /cgi-bin/tells /a b two+words {protocol} 4\na=1; b=2|||hello|\nbody");
        assert!(ran.stdout.ends_with(&body), "{}", ran.stdout);
    }
    let said = server.stderr().wait_for(unary_e2e::PATIENCE, |line| line.contains("this is for the log"));
    assert!(said.is_some(), "{:?}", server.stderr().lines());
}

#[test]
fn a_body_without_a_length_gets_one() {
    let folder = TempDir::new();
    program(&folder, "tells", TELLS);
    let server = site(&folder, "route \"/*\" {\n cgi tells\n }");
    let long = "x".repeat(1_000_000);
    folder.write("long", &long);
    for body in ["short", &long] {
        folder.write("body", body);
        let file = format!("@{}", folder.join("body").display());
        let ran = curl(&["-H", "Transfer-Encoding: chunked", "--data-binary", &file], &server.url("/x"));
        assert!(ran.stdout.starts_with(&format!("POST  /x  HTTP/1.1 {}\n", body.len())), "{:.80}", ran.stdout);
        assert!(ran.stdout.ends_with(body));
    }
}

const ANSWERS: &str = "#!/bin/sh
case $QUERY_STRING in
document) printf 'Status: 404 Not Here\\r\\nContent-Type: text/plain\\r\\n\\r\\nnothing' ;;
client) printf 'Location: https://b.example/\\n\\n' ;;
local) printf 'Location: /answers?document\\n\\nlost' ;;
circle) printf 'Location: /answers?circle\\n\\n' ;;
round) printf 'Location: /answers?trip\\n\\n' ;;
trip) printf 'Location: /answers?round\\n\\n' ;;
nph) printf 'HTTP/1.1 202 Taken\\r\\nSet-Cookie: a=1\\r\\nSet-Cookie: b=2\\r\\n\\r\\nbody' ;;
none) echo '<html>' ;;
chunked) printf 'Transfer-Encoding: chunked\\n\\n0\\r\\n\\r\\n' ;;
file) printf 'X-Sendfile: %s\\nContent-Type: text/css\\n\\n' \"$(dirname \"$0\")/files/style.css\" ;;
secret) printf 'X-Sendfile: /etc/passwd\\n\\n' ;;
esac
";

#[test]
fn what_it_writes_becomes_the_reply() {
    let folder = TempDir::new();
    program(&folder, "answers", ANSWERS);
    folder.folder("files");
    folder.write("files/style.css", "p {}");
    let server = site(&folder, "route \"/answers\" {\n cgi answers {\n send-file files\n }\n }");
    for version in BOTH {
        for (query, expected) in [
            ("document", "404 nothing"),
            ("client", "302 "),
            ("local", "404 nothing"),
            ("circle", "502 502 Bad Gateway\n"),
            ("round", "502 502 Bad Gateway\n"),
            ("nph", "202 body"),
            ("none", "502 502 Bad Gateway\n"),
            ("chunked", "502 502 Bad Gateway\n"),
            ("file", "200 p {}"),
            ("secret", "502 502 Bad Gateway\n"),
        ] {
            let url = server.url(&format!("/answers?{query}"));
            let ran = curl(&["-w", "\n%{http_code}", version], &url);
            let (body, status) = ran.stdout.rsplit_once('\n').expect("curl says the status");
            assert_eq!(format!("{status} {body}"), expected, "{query}, {version}");
        }
        let head = curl(&["-I", version], &server.url("/answers?nph")).stdout.to_lowercase();
        assert!(head.contains("set-cookie: a=1\r\n") && head.contains("set-cookie: b=2\r\n"), "{head}");
    }
}

const UPLOAD: &str = "#!/usr/bin/perl
use strict; use warnings; use CGI; use Digest::SHA;
my $query = CGI->new;
my $file = $query->upload('file');
binmode $file;
my $name = $query->param('name');
print $query->header('text/plain'), $name, ' ', Digest::SHA->new(256)->addfile($file)->hexdigest;
";

#[test]
fn perls_cgi_takes_an_upload() {
    let test = "perls_cgi_takes_an_upload";
    if !is_there(test, "/usr/share/perl5/CGI.pm", "libcgi-pm-perl") {
        return;
    }
    let folder = TempDir::new();
    program(&folder, "upload.pl", UPLOAD);
    folder.write("file", (0..3_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>());
    let sum = run(Command::new("sha256sum").arg(folder.join("file"))).stdout;
    let server = site(&folder, "route \"/*\" {\n cgi upload.pl\n }");
    let file = format!("file=@{}", folder.join("file").display());
    for version in BOTH {
        let ran = curl(&["-F", "name=me", "-F", &file, version], &server.url("/"));
        assert_eq!(ran.stdout, format!("me {}", &sum[..64]));
    }
}

#[test]
fn events_arrive_as_they_are_written() {
    let folder = TempDir::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\n\\ndata: 1\\n\\n'\nsleep 600\n";
    program(&folder, "events", text);
    let server = site(&folder, "route \"/*\" {\n cgi events\n }");
    let mut client = unary_e2e::Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it listens");
    let head = client.head().expect("the head comes at once");
    assert_eq!(head.status, 200);
    let event = client.take("9\r\ndata: 1\n\n".len()).expect("so does the event");
    assert_eq!(event, b"9\r\ndata: 1\n\n");
}

#[test]
fn serve_runs_a_program_and_a_folder_with_cgi_bin() {
    let folder = TempDir::new();
    program(&folder, "site/cgi-bin/tells", TELLS);
    folder.write("site/index.html", "home");
    let server = serve(folder.join("site/cgi-bin/tells")).start();
    let ran = curl(&[], &server.url("/some/where?x"));
    assert!(ran.stdout.starts_with("GET  /some/where x HTTP/1.1 \n"), "{}", ran.stdout);
    drop(server);
    let server = serve(folder.join("site")).start();
    assert_eq!(curl(&[], &server.url("/")).stdout, "home");
    let ran = curl(&[], &server.url("/cgi-bin/tells/x"));
    assert!(ran.stdout.starts_with("GET /cgi-bin/tells /x  HTTP/1.1 \n"), "{}", ran.stdout);
}
