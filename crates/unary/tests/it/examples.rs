//! Each example does what it says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use unary_testkit::TempDir;

use crate::program::{Program, ask, check, connect, start, start_http};

#[test]
fn hello_greets_at_every_address() {
    let folder = TempDir::new();
    let path = format!("unix:{}", folder.join("hello.sock").display());
    let mut program = Program::start("hello", ["--listen=127.0.0.1:0", "--listen", &path, "--threads=1"]);
    let link = program.hear_address();
    check(link.strip_prefix("http://").unwrap().parse().unwrap(), ("GET", "/", ""), (200, "Hello, World!"));
    assert_eq!(program.hear_address(), path);
    let mut stream = UnixStream::connect(folder.join("hello.sock")).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\nHello, World!"), "{answer}");
    program.stop_well();
    assert!(!folder.join("hello.sock").exists());
}

#[test]
fn echo_gives_bodies_back() {
    let (program, address) = start_http("echo");
    for method in ["POST", "PUT", "PATCH", "DELETE", "ANY"] {
        check(address, (method, "/", "what is said"), (200, "what is said"));
    }
    check(address, ("GET", "/", ""), (200, ""));
    let long = "0123456789".repeat(200_000);
    check(address, ("POST", "/", &long), (200, &long));
    program.stop_well();
}

/// Reads until `end` has come.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).unwrap();
        assert!(length > 0, "it ended after {:?}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8(said).unwrap()
}

#[test]
fn echo_gives_each_piece_back_at_once() {
    let (program, address) = start_http("echo");
    let mut stream = connect(address);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Type: text/x-test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    stream.write_all(b"5\r\nfirst\r\n").unwrap();
    let head = read_until(&mut stream, "first\r\n");
    assert!(head.contains("content-type: text/x-test\r\n"), "{head}");
    stream.write_all(b"6\r\nsecond\r\n").unwrap();
    read_until(&mut stream, "second\r\n");
    stream.write_all(b"0\r\n\r\n").unwrap();
    read_until(&mut stream, "0\r\n\r\n");
    drop(stream);
    program.stop_well();
}

#[test]
fn counter_counts_on_all_loops() {
    let (program, address) = start_http("counter");
    for hit in 1..=20 {
        check(address, ("GET", "/", ""), (200, &format!("{hit}\n")));
    }
    program.stop_well();
}

#[test]
fn udp_echo_sends_datagrams_back() {
    let (program, address) = start("udp_echo");
    let address: SocketAddr = address.parse().unwrap();
    for port in 0..8 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.connect(address).unwrap();
        let sent = format!("datagram {port}");
        socket.send(sent.as_bytes()).unwrap();
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], sent.as_bytes());
    }
    program.stop_well();
}

#[test]
fn lines_are_added_up() {
    let (program, address) = start("lines");
    let mut stream = connect(address.parse().unwrap());
    stream.write_all(b"1 2 3\n\n40\t2\r\n1 one\n9223372036854775807 1\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut sums = String::new();
    stream.read_to_string(&mut sums).unwrap();
    assert_eq!(sums, "6\n0\n42\none cannot be added\n1 cannot be added\n");
    program.stop_well();
}

#[test]
fn the_actor_is_a_turnstile() {
    let (program, address) = start_http("actor");
    let act = |what: &str, status: u16, says: &str| check(address, ("POST", "/", what), (status, says));
    act("push", 403, "403 Forbidden\n");
    act("coin", 200, "unlocked\n");
    act("coin", 200, "thank you\n");
    act("push", 200, "you are number 1\n");
    act("push", 403, "403 Forbidden\n");
    act("coin", 200, "unlocked\n");
    act("push", 200, "you are number 2\n");
    act("kick", 400, "400 Bad Request\n");
    program.stop_well();
}

#[test]
fn stages_deny_and_mark() {
    let (program, address) = start_http("stage");
    let answer = ask(address, "GET", "/path", "");
    assert!(answer.contains("\r\nserver: stage\r\n") && answer.ends_with("\r\n\r\n/path\n"), "{answer}");
    // The same from another of this machine's addresses.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut denied = TcpStream::from(socket);
    denied.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(denied.read(&mut [0; 1]).unwrap(), 0);
    program.stop_well();
}

#[test]
fn fanning_out_takes_as_long_as_the_slowest_is_worth() {
    let (program, address) = start_http("fan_out");
    let begun = Instant::now();
    let advice = "Lisbon: sunny\nLisbon: climb the hills\nLisbon: eat a custard tart\n\
        (timed out while waiting)\n(unavailable while asking a guide)\n";
    check(address, ("GET", "/Lisbon", ""), (200, advice));
    assert!(begun.elapsed() >= Duration::from_millis(200));
    program.stop_well();
}

#[test]
fn an_axum_app_is_mounted() {
    let (program, address) = start_http("axum");
    check(address, ("GET", "/", ""), (200, "an axum app\n"));
    check(address, ("POST", "/length", "four"), (200, "4\n"));
    check(address, ("GET", "/ours/here", ""), (200, "ours, at /here\n"));
    check(address, ("GET", "/nowhere", ""), (404, ""));
    let answer = ask(address, "GET", "/hello/you", "");
    assert!(answer.contains("\r\nx-layer: tower-http\r\n") && answer.ends_with("\r\n\r\nhello you\n"), "{answer}");
    program.stop_well();
}
