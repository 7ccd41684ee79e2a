//! The proxy between a client and servers that behave, or do not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tungstenite::{Message, client};
use unary_testkit::{TempDir, free_port};

use crate::program::{Program, STUCK, ask, check, connect, start_http};

/// A proxy to this server.
fn proxy(to: &str) -> (Program, SocketAddr) {
    let mut program = Program::start("proxy", ["--listen", "127.0.0.1:0", "--threads", "2", "--to", to]);
    let address = program.hear_address();
    (program, address.parse().unwrap())
}

/// A proxy to a server that does this with its one connection, whose request has been read.
fn proxy_to<T: Send + 'static>(
    serve: impl FnOnce(&mut TcpStream) -> T + Send + 'static,
) -> (Program, SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (program, address) = proxy(&listener.local_addr().unwrap().to_string());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(STUCK)).unwrap();
        read_head(&mut stream);
        serve(&mut stream)
    });
    (program, address, server)
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// All that comes until the connection ends, one way or another.
fn read_rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(rest).unwrap(),
    }
}

#[test]
fn bodies_come_back_over_tcp_and_unix_sockets() {
    let long = "0123456789".repeat(200_000);
    let folder = TempDir::new();
    let path = format!("unix:{}", folder.join("echo.sock").display());
    let mut over_unix = Program::start("echo", ["--listen", &path, "--threads", "1"]);
    over_unix.hear_address();
    let (over_tcp, address) = start_http("echo");
    for to in [format!("http://{address}"), path] {
        let (program, address) = proxy(&to);
        for body in ["what is said", "", &long] {
            check(address, ("POST", "/", body), (200, body));
        }
        check(address, ("GET", "/", ""), (200, ""));
        program.stop_well();
    }
    over_tcp.stop_well();
    over_unix.stop_well();
}

#[test]
fn each_piece_comes_back_at_once() {
    let (server, to) = start_http("echo");
    let (program, address) = proxy(&to.to_string());
    let mut stream = connect(address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").unwrap();
    let head = read_head(&mut stream);
    assert!(head.contains("\r\ntransfer-encoding: chunked\r\n"), "{head}");
    let expect = |stream: &mut TcpStream, expected: &str| {
        let mut piece = vec![0; expected.len()];
        stream.read_exact(&mut piece).unwrap();
        assert_eq!(String::from_utf8_lossy(&piece), expected);
    };
    expect(&mut stream, "5\r\nfirst\r\n");
    stream.write_all(b"6\r\nsecond\r\n").unwrap();
    expect(&mut stream, "6\r\nsecond\r\n");
    stream.write_all(b"0\r\n\r\n").unwrap();
    expect(&mut stream, "0\r\n\r\n");
    drop(stream);
    program.stop_well();
    server.stop_well();
}

#[test]
fn a_websocket_passes() {
    let (server, to) = start_http("echo");
    let (program, address) = proxy(&to.to_string());
    let mut socket = client(format!("ws://{address}/"), connect(address)).unwrap().0;
    for message in [Message::text("hello"), Message::binary(vec![7; 1024 * 1024])] {
        socket.send(message.clone()).unwrap();
        assert!(socket.read().unwrap() == message);
    }
    socket.close(None).unwrap();
    assert!(socket.read().unwrap().is_close());
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    drop(socket);
    program.stop_well();
    server.stop_well();
}

#[test]
fn early_hints_pass_where_they_are_understood() {
    let serve = |stream: &mut TcpStream| {
        stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX: y\r\n\r\n").unwrap();
        stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n").unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi").unwrap();
    };
    let asked = |version: &str| {
        let (_program, address, server) = proxy_to(serve);
        let mut stream = connect(address);
        stream.write_all(format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n").as_bytes()).unwrap();
        let head = read_head(&mut stream);
        server.join().unwrap();
        (head, stream)
    };
    let (head, mut stream) = asked("1.1");
    assert_eq!(head, "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n");
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
    let (head, _stream) = asked("1.0");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
}

#[test]
fn a_server_that_is_killed_amid_its_reply_cuts_it() {
    let (program, address, server) = proxy_to(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").unwrap();
    });
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(read_rest(&mut stream).ends_with("\r\n\r\nhello"));
    server.join().unwrap();
    program.tell_to_stop();
}

#[test]
fn failures_have_their_own_status() {
    let status = |address| ask(address, "GET", "/", "")[9..12].to_owned();
    let (_program, address) = proxy(&format!("127.0.0.1:{}", free_port()));
    assert_eq!(status(address), "503");
    let answers: [&[u8]; 4] = [
        b"",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
    ];
    for answer in answers {
        let (_program, address, server) = proxy_to(move |stream| stream.write_all(answer).unwrap());
        assert_eq!(status(address), "502", "{}", answer.escape_ascii());
        server.join().unwrap();
    }
}

#[test]
fn a_client_that_goes_away_takes_the_servers_connection_along() {
    let (_program, address, server) = proxy_to(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nhello").unwrap();
        let piece = vec![b'x'; 64 * 1024];
        while stream.write_all(&piece).is_ok() {}
    });
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    read_head(&mut stream);
    drop(stream);
    server.join().unwrap(); // It could not go on.
}

/// A server that says when it was asked, waits to hear more or the end, and replies if it is told to.
fn proxy_to_waiting() -> (Program, SocketAddr, JoinHandle<String>, mpsc::Receiver<()>, mpsc::SyncSender<()>) {
    let ((asks, asked), (go_on, told)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
    let (program, address, server) = proxy_to(move |stream| {
        asks.send(()).unwrap();
        if told.recv().is_ok() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        }
        read_rest(stream)
    });
    (program, address, server, asked, go_on)
}

#[test]
fn a_client_that_goes_away_before_its_reply_frees_the_server() {
    for leave in [|stream: TcpStream| drop(stream), reset] {
        let (_program, address, server, asked, go_on) = proxy_to_waiting();
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
        asked.recv().unwrap();
        leave(stream);
        drop(go_on); // It says nothing, and hears the end.
        assert_eq!(server.join().unwrap(), "");
    }
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_client_that_ends_its_half_after_its_last_request_gets_its_reply() {
    let (program, address, server, asked, go_on) = proxy_to_waiting();
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    asked.recv().unwrap();
    go_on.send(()).unwrap();
    assert!(read_rest(&mut stream).ends_with("\r\n\r\nhi"));
    drop(program);
    server.join().unwrap();
}

#[test]
fn a_client_that_goes_away_amid_its_body_leaves_no_half_a_request() {
    let (_program, address, server) = proxy_to(read_rest);
    let mut stream = connect(address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").unwrap();
    drop(stream);
    let body = server.join().unwrap();
    assert!(!body.contains("0\r\n\r\n"), "the server takes it for whole: {body}");
}

#[test]
fn a_slow_reader_slows_the_server_down() {
    const LENGTH: usize = 256 * 1024 * 1024;
    let (_program, address, server) = proxy_to(|stream| {
        stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        while sent < LENGTH
            && let Ok(length) = stream.write(&piece)
        {
            sent += length;
        }
        sent
    });
    let mut stream = connect(address);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let sent = server.join().unwrap();
    // What the kernel holds for two connections, and a little.
    assert!(sent < LENGTH / 4, "{sent} bytes were taken for a client that reads nothing");
}

#[test]
fn a_server_says_whether_the_body_may_come() {
    let (_program, address, server) = proxy_to(|stream| {
        stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno").unwrap();
        read_rest(stream)
    });
    let mut stream = connect(address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let answer = read_rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 417 ") && answer.ends_with("\r\n\r\nno"), "{answer}");
    assert_eq!(server.join().unwrap(), "");

    let (_program, address, server) = proxy_to(|stream| {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let mut body = [0; 5];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").unwrap();
        body
    });
    let mut stream = connect(address);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut stream), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert!(read_head(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(&server.join().unwrap(), b"hello");
}

#[test]
fn requests_that_two_could_read_differently_reach_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_program, address) = proxy(&listener.local_addr().unwrap().to_string());
    listener.set_nonblocking(true).unwrap();
    let smuggling = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "Content-Length: +4\r\n\r\nabcd",
        "Content-Length : 4\r\n\r\nabcd",
        "X: y\nContent-Length: 4\r\n\r\nabcd",
        "Host: other\r\n\r\n",
    ];
    for fields in smuggling {
        let mut stream = connect(address);
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: test\r\n{fields}").as_bytes()).unwrap();
        let answer = read_rest(&mut stream);
        let status = &answer[9..12];
        assert!(matches!(status, "400" | "501"), "{fields:?}: {answer}");
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{fields:?}");
    }
}
