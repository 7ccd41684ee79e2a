//! One program, started by whoever starts programs: it finds out by whom.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Output, Stdio};
use std::thread;

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process};
use unary_gateway::fastcgi::host::{self, Reply, put_body, put_body_end, put_request};
use unary_gateway::fastcgi::record::{Role, Then};
use unary_gateway::scgi::head;
use unary_testkit::{TempDir, free_port};

use crate::program::{STUCK, check, command, connect};

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// One call by CGI.
fn call(example: &str, arguments: &[&str], variables: Pairs<'_>, body: &str) -> Output {
    let mut command = command(example, arguments);
    command.env_clear().env("GATEWAY_INTERFACE", "CGI/1.1").envs(variables.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = body.to_owned();
    // A program that reads no body has ended by now.
    let writer = thread::spawn(move || stdin.write_all(body.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

#[track_caller]
fn check_call((example, arguments): (&str, &[&str]), variables: Pairs<'_>, body: &str, expected: &str) {
    let output = call(example, arguments, variables, body);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let said = String::from_utf8(output.stdout).unwrap();
    let (head, seen) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("Status: 200 OK\r\n"), "{said}");
    assert_eq!((seen, output.status.code()), (expected, Some(0)));
}

const GET: Pairs<'_> = &[("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/")];

#[test]
fn a_call_by_cgi_is_answered() {
    check_call(("hello", &[]), GET, "", "Hello, World!");
    let long = "0123456789".repeat(100_000);
    let post = |length| [("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/"), ("CONTENT_LENGTH", length)];
    check_call(("measure", &[]), &post("1000000"), &long, "1000000 bytes\n");
    check_call(("measure", &[]), &post("7"), &long, "7 bytes\n");
    check_call(("hello", &[]), &post("1000000"), &long, "Hello, World!");
}

#[test]
fn a_call_starts_no_threads() {
    let mut command = command("measure", [""; 0]);
    command.env_clear().env("GATEWAY_INTERFACE", "CGI/1.1").envs(GET.iter().copied()).env("CONTENT_LENGTH", "4");
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, mut stdout) = (program.stdin.take().unwrap(), program.stdout.take().unwrap());
    stdin.write_all(b"fo").unwrap();
    // It has an event loop, and sleeps: all is there that it ever has.
    let process = std::path::PathBuf::from(format!("/proc/{}", program.id()));
    let sleeps = || std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| stat.contains(") S "));
    let has_loop = || {
        let links = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        links.flat_map(|link| std::fs::read_link(link.path())).any(|it| it.to_string_lossy().contains("eventpoll"))
    };
    let waits = || has_loop() && sleeps();
    let began = std::time::Instant::now();
    while !waits() {
        assert!(began.elapsed() < STUCK, "it does not wait");
        thread::yield_now();
    }
    let threads = std::fs::read_dir(process.join("task")).unwrap().count();
    assert_eq!(threads, 1);
    stdin.write_all(b"ur").unwrap();
    let mut said = String::new();
    stdout.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("4 bytes\n"), "{said}");
    assert!(program.wait().unwrap().success());
}

#[test]
fn words_of_a_query_are_no_arguments() {
    for words in [&["--help"][..], &["--listen", "127.0.0.1:0"], &["--nonsense"]] {
        check_call(("hello", words), GET, "", "Hello, World!");
    }
}

#[test]
fn calls_at_the_same_time_count_each_hit() {
    let folder = TempDir::new();
    let hits = folder.join("hits").display().to_string();
    let variables = [GET, &[("HIT_COUNTER", hits.as_str())]].concat();
    let count = || {
        let output = call("hit_counter", &[], &variables, "");
        let said = String::from_utf8(output.stdout).unwrap();
        said.split_once("\r\n\r\n").unwrap().1.trim().parse::<u32>().unwrap()
    };
    let mut seen: Vec<u32> = thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|_| scope.spawn(|| [count(), count(), count()])).collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=24).collect::<Vec<_>>());
}

#[test]
fn a_failed_call_says_why_on_standard_error() {
    let folder = TempDir::with([("hits", "many")]);
    let hits = folder.join("hits").display().to_string();
    let output = call("hit_counter", &[], &[GET, &[("HIT_COUNTER", hits.as_str())]].concat(), "");
    assert!(output.stdout.starts_with(b"Status: 500 "), "{}", output.stdout.escape_ascii());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "GET /: failed while counting: invalid digit found in string\n");
}

/// A listening socket, and one for whoever is to accept from it.
fn listening() -> (SocketAddr, OwnedFd) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    (listener.local_addr().unwrap(), listener.into())
}

/// Asks by FastCGI for the reply to a body, keeping the connection.
fn ask_fastcgi(stream: &mut TcpStream, body: &str) -> String {
    let length = body.len().to_string();
    let pairs = [("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/"), ("CONTENT_LENGTH", length.as_str())];
    let mut wire = BytesMut::new();
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    put_request(Role::Responder, Then::Keep, pairs, &mut wire);
    put_body(body.as_bytes(), &mut wire);
    put_body_end(&mut wire);
    stream.write_all(&wire).unwrap();
    let (mut reply, mut input, mut output) = (Reply::default(), BytesMut::new(), String::new());
    loop {
        match reply.decode(&mut input).unwrap() {
            Some(host::Said::Output(bytes)) => output.push_str(str::from_utf8(&bytes).unwrap()),
            Some(host::Said::Log(bytes)) => panic!("it says {}", bytes.escape_ascii()),
            Some(host::Said::End { .. }) => return output,
            None => {
                let mut byte = [0]; // Of a read that is interrupted, this knows what to do.
                stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {output}"));
                input.extend_from_slice(&byte);
            }
        }
    }
}

#[test]
fn a_listening_standard_input_is_that_of_fastcgi() {
    let (address, socket) = listening();
    // A host may have been started by another.
    let mut command = command("measure", ["--threads", "2"]);
    command.env("GATEWAY_INTERFACE", "CGI/1.1").env("REQUEST_METHOD", "GET").stdin(socket);
    let mut program = command.spawn().unwrap();
    drop(command); // It holds the socket, too.
    let mut streams: Vec<_> = (0..4).map(|_| connect(address)).collect();
    for round in 0..3 {
        for stream in &mut streams {
            let reply = ask_fastcgi(stream, &"x".repeat(round * 100_000));
            assert!(reply.ends_with(&format!("\r\n\r\n{} bytes\n", round * 100_000)), "{reply}");
        }
    }
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert_eq!(streams.pop().unwrap().read_to_end(&mut Vec::new()).unwrap(), 0, "an idle connection is closed");
    drop(streams);
    assert_eq!(program.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "its host knows where it listens");
    assert!(TcpStream::connect(address).is_err(), "nobody holds the socket any more");
}

#[test]
fn hosts_that_are_not_named_are_turned_away() {
    for (named, is_let_in) in [("192.0.2.1", false), ("192.0.2.1,127.0.0.1", true)] {
        let (address, socket) = listening();
        let mut command = command("measure", ["--threads", "1"]);
        let mut program = command.env("FCGI_WEB_SERVER_ADDRS", named).stdin(socket).spawn().unwrap();
        let mut stream = connect(address);
        match is_let_in {
            true => assert!(ask_fastcgi(&mut stream, "four").ends_with("4 bytes\n")),
            false => assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0),
        }
        drop(stream);
        kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
        assert_eq!(program.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn scgi_is_spoken_where_that_is_said() {
    let folder = TempDir::new();
    let path = folder.join("scgi.sock");
    let mut program = crate::program::Program::start("measure", ["--scgi", &format!("unix:{}", path.display())]);
    program.hear_address();
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(STUCK)).unwrap();
    let mut wire = BytesMut::new();
    let variables = vec![("REQUEST_METHOD".into(), "POST".into()), ("REQUEST_URI".into(), "/".into())];
    head::encode(&head::Head { content_length: 4, variables }, &mut wire);
    wire.extend_from_slice(b"four");
    stream.write_all(&wire).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("Status: 200 OK\r\n") && said.ends_with("\r\n\r\n4 bytes\n"), "{said}");
    program.stop_well();
}

/// Starts it and ends it, with what `check` does in between.
fn while_it_runs(command: &mut Command, check: impl FnOnce()) {
    let mut program = command.stderr(Stdio::null()).spawn().unwrap();
    check();
    kill_process(Pid::from_child(&program), Signal::TERM).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

#[test]
fn sockets_of_a_service_manager_are_served() {
    let (address, socket) = listening();
    let example = command("hello", [""; 0]).get_program().to_owned();
    let mut command = Command::new("sh");
    // As a service manager does it: the socket is descriptor 3, and who it is for is said by number.
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" 3<&0 </dev/null"]).arg(example).stdin(socket);
    while_it_runs(&mut command, || check(address, ("GET", "/", ""), (200, "Hello, World!")));
}

#[test]
fn a_port_of_the_environment_is_served() {
    let port = free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    while_it_runs(command("hello", [""; 0]).env("PORT", port.to_string()), || {
        let began = std::time::Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < STUCK, "it does not listen");
            thread::yield_now();
        }
        check(address, ("GET", "/", ""), (200, "Hello, World!"));
    });
}

#[test]
fn help_is_for_people() {
    for (example, has) in [("hello", true), ("lines", false)] {
        let output = command(example, ["--help"]).stdout(Stdio::piped()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{said}");
        assert!(said.starts_with(&format!("Usage: {example} [--listen ADDR")), "{said}");
        assert_eq!(said.contains("--fastcgi"), has, "{said}");
    }
}
