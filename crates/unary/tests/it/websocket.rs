//! The echo of WebSockets, against a client that nobody here wrote and bytes that no client sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Message, WebSocket, client};

use crate::program::{check, connect, start_http};

fn dial(address: SocketAddr) -> WebSocket<TcpStream> {
    client(format!("ws://{address}/"), connect(address)).unwrap().0
}

#[test]
fn messages_come_back() {
    let (program, address) = start_http("echo");
    let mut socket = dial(address);
    let messages = [
        Message::text("hello"),
        Message::text(""),
        Message::text("größer als 125 Bytes: ".repeat(20)),
        Message::binary(vec![0xff; 125]),
        Message::binary(vec![0; 126]),
        Message::binary(vec![1; 65_535]),
        Message::binary(vec![2; 65_536]),
        Message::binary(vec![3; 1024 * 1024]),
    ];
    for message in messages {
        socket.send(message.clone()).unwrap();
        assert!(socket.read().unwrap() == message, "{} bytes", message.len());
    }
    socket.send(Message::Ping("are you there?".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there?".into()));
    let goodbye = CloseFrame { code: CloseCode::Normal, reason: "that is all".into() };
    socket.close(Some(goodbye)).unwrap();
    let Message::Close(Some(echoed)) = socket.read().unwrap() else { panic!("it was not closed") };
    assert_eq!(echoed.code, CloseCode::Normal);
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    drop(socket);
    program.stop_well();
}

#[test]
fn fragments_come_back_whole() {
    let (program, address) = start_http("echo");
    let mut socket = dial(address);
    let frame = |text: &'static str, kind, last| Message::Frame(Frame::message(text, OpCode::Data(kind), last));
    socket.send(frame("one ", Data::Text, false)).unwrap();
    socket.send(frame("two ", Data::Continue, false)).unwrap();
    socket.send(Message::Ping("between".into())).unwrap();
    socket.send(frame("three", Data::Continue, true)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("between".into()));
    assert_eq!(socket.read().unwrap(), Message::text("one two three"));
    drop(socket);
    program.stop_well();
}

#[test]
fn a_server_that_stops_says_goodbye() {
    let (program, address) = start_http("echo");
    let mut socket = dial(address);
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    program.tell_to_stop();
    let Message::Close(Some(goodbye)) = socket.read().unwrap() else { panic!("it was not closed") };
    assert_eq!(goodbye.code, CloseCode::Away);
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    drop(socket);
    program.end_well();
}

/// Sends bytes as they are after the handshake; the server must close with this code.
#[track_caller]
fn check_refused(address: SocketAddr, bytes: &[u8], code: u16) {
    let mut stream = dial(address).into_inner();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).unwrap();
    let [high, low] = code.to_be_bytes();
    assert_eq!(said, [0x88, 2, high, low]);
}

/// A client's frame; all its masks are 0.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0], payload].concat()
}

#[test]
fn what_breaks_the_protocol_closes_the_connection() {
    let (program, address) = start_http("echo");
    check_refused(address, &[0x81, 5, b'h', b'e', b'l', b'l', b'o'], 1002); // Not masked.
    check_refused(address, &frame(0xc1, b"extension"), 1002);
    check_refused(address, &frame(0x83, b"opcode"), 1002);
    check_refused(address, &frame(0x09, b"fragmented ping"), 1002);
    check_refused(address, &frame(0x80, b"the rest of nothing"), 1002);
    check_refused(address, &[frame(0x01, b"one"), frame(0x81, b"another")].concat(), 1002);
    check_refused(address, &[0x82, 0x80 | 126, 0, 125, 0, 0, 0, 0], 1002); // A length too long for its size.
    check_refused(address, &[0x89, 0x80 | 126, 0, 126, 0, 0, 0, 0], 1002); // A ping too long.
    check_refused(address, &[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0x10, 0, 1], 1009);
    check_refused(address, &[0x82, 0x80 | 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009);
    check_refused(address, &frame(0x81, &[0xff, 0xfe]), 1007);
    check_refused(address, &frame(0x88, &[1]), 1002);
    check_refused(address, &frame(0x88, &1005_u16.to_be_bytes()), 1002);
    check_refused(address, &frame(0x88, &[3, 0xe8, 0xff]), 1007);
    program.stop_well();
}

#[test]
fn a_message_of_fragments_is_bounded_too() {
    let (program, address) = start_http("echo");
    let mut socket = dial(address);
    let piece = vec![0; 512 * 1024];
    for (kind, number) in [(Data::Binary, 0), (Data::Continue, 1), (Data::Continue, 2)] {
        let frame = Frame::message(piece.clone(), OpCode::Data(kind), false);
        socket.send(Message::Frame(frame)).unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    let Message::Close(Some(refused)) = socket.read().unwrap() else { panic!("it was not refused") };
    assert_eq!(refused.code, CloseCode::Size);
    drop(socket);
    program.stop_well();
}

#[test]
fn handshakes_that_are_none_are_refused() {
    let (program, address) = start_http("echo");
    let ask = |extra: &str| {
        let mut stream = connect(address);
        let head =
            format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n{extra}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let old = ask("Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert!(old.starts_with("HTTP/1.1 426 ") && old.contains("\r\nsec-websocket-version: 13\r\n"), "{old}");
    let keyless = ask("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n");
    assert!(keyless.starts_with("HTTP/1.1 400 "), "{keyless}");
    // Not an upgrade at all: an echo like any other.
    check(address, ("POST", "/", "plain"), (200, "plain"));
    program.stop_well();
}
