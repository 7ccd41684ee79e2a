//! What a program makes of its connection: it streams, begins as HTTP does, takes it over for another protocol; and
//! clients that leave amid that.

use std::time::Duration;

use unary_e2e::{Client, eventually, has, run};
use unary_testkit::TempDir;

use super::{BOTH, Command, curl, program, site};

/// A reply like that of programs called `nph-`, whose status no server knows.
const BEGINS_AS_HTTP_DOES: &str = "#!/bin/sh
printf 'HTTP/1.1 299 Nearly Well\\r\\nContent-Type: text/plain\\r\\nConnection: keep-alive\\r\\nX-Own: yes\\r\\n\\r\\n'
printf 'of its own'
";

#[test]
fn a_program_may_begin_as_http_does() {
    let folder = TempDir::new();
    program(&folder, "cgi-bin/nph-own", BEGINS_AS_HTTP_DOES);
    let server = site(&folder, "route \"/*\" {\n cgi cgi-bin\n }");
    for version in BOTH {
        let ran = curl(&["-i", version], &server.url("/nph-own"));
        let (head, body) = ran.stdout.split_once("\r\n\r\n").expect("curl shows the head");
        let head = head.to_lowercase();
        let status = if version == BOTH[0] { "http/1.1 299" } else { "http/2 299" };
        assert!(head.starts_with(status), "{head}");
        assert!(head.contains("x-own: yes") && !head.contains("connection: keep-alive"), "{head}");
        assert_eq!(body, "of its own");
    }
    // The connection goes on after it: what the program said of its framing was read, and not passed on unseen.
    let mut client = Client::connect(&server);
    for _ in 0..2 {
        client.send("GET /nph-own HTTP/1.1\r\nHost: a\r\n\r\n").expect("it listens");
        assert_eq!(client.head().expect("it answers").status, 299);
        assert_eq!(
            client.take(b"a\r\nof its own\r\n0\r\n\r\n".len()).expect("so it does"),
            b"a\r\nof its own\r\n0\r\n\r\n"
        );
    }
}

#[test]
fn what_a_query_says_is_no_argument() {
    let folder = TempDir::new();
    program(&folder, "words", "#!/bin/sh\nprintf 'A: b\\n\\n%s' \"$#|$QUERY_STRING\"\n");
    let server = site(&folder, "route \"/*\" {\n cgi words\n }");
    for (query, expected) in [("-h", "0|-h"), ("-s", "0|-s"), ("-d+x%3d1", "0|-d+x%3d1"), ("", "0|")] {
        assert_eq!(curl(&[], &server.url(&format!("/?{query}"))).stdout, expected);
    }
}

#[test]
fn events_arrive_over_http_2() {
    let folder = TempDir::new();
    let text = "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\n\\ndata: 1\\n\\n'\nexec sleep 600\n";
    program(&folder, "events", text);
    let server = site(&folder, "route \"/*\" {\n cgi events\n }");
    // It is curl that gives up: the stream has no end.
    let curl = ["--silent", "--no-buffer", "--max-time", "2", BOTH[1]];
    let ran = run(Command::new("curl").args(curl).arg(server.url("/")));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(28), "data: 1\n\n"), "{}", ran.stderr);
}

/// Speaks WebSocket (RFC 6455) on its standard input and output: says each short text again, until told to close.
const WEBSOCKET: &str = "#!/usr/bin/python3
import base64, hashlib, os, sys
key = os.environ['HTTP_SEC_WEBSOCKET_KEY'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
source, sink = sys.stdin.buffer, sys.stdout.buffer
head = 'Status: 101\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept
sink.write((head + '\\r\\n\\r\\n').encode())
sink.flush()
while True:
    first, length = source.read(2)
    length &= 127
    mask, data = source.read(4), source.read(length)
    text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    sink.write(bytes([first, length]) + text)
    sink.flush()
    if first & 15 == 8:
        open('closed', 'w').close()
        break
";

#[test]
fn a_script_speaks_websocket_where_it_is_asked_to() {
    if !has("a_script_speaks_websocket_where_it_is_asked_to", "python3") {
        return;
    }
    let folder = TempDir::new();
    program(&folder, "socket", WEBSOCKET);
    let server = site(&folder, "route \"/*\" {\n cgi socket\n }");
    let stream = std::net::TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(unary_e2e::PATIENCE)).expect("it is open");
    let url = format!("ws://{}/chat", server.address());
    let (mut socket, reply) = tungstenite::client(url, stream).expect("both agree");
    assert_eq!(reply.status(), 101);
    for text in ["one", "and two"] {
        socket.send(tungstenite::Message::text(text)).expect("it is open");
        assert_eq!(socket.read().expect("it answers").to_text().ok(), Some(text));
    }
    socket.close(None).expect("it is open");
    while socket.read().is_ok() {}
    eventually("the program has ended by itself", || folder.join("closed").exists());
    // Who did not offer to leave HTTP gets no other protocol.
    program(&folder, "socket", "#!/bin/sh\nprintf 'Status: 101\\nUpgrade: websocket\\n\\n'\nexec sleep 600\n");
    let asked = curl(&["-o", "/dev/null", "-w", "%{http_code}"], &server.url("/chat"));
    assert_eq!(asked.stdout, "502");
}

#[test]
fn a_client_that_leaves_a_silent_reply_is_said_to_the_program() {
    let folder = TempDir::new();
    let text = "#!/bin/sh\ntrap 'echo told > told; kill $!; exit' INT\nprintf 'A: b\\n\\nword'\nsleep 600 & wait\n";
    program(&folder, "falls-silent", text);
    let server = site(&folder, "route \"/*\" {\n cgi falls-silent gone-signal=INT\n }");
    let mut client = Client::connect(&server);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it listens");
    client.head().expect("it has begun to answer");
    client.take(b"4\r\nword\r\n".len()).expect("with a word");
    drop(client);
    eventually("it was told", || folder.join("told").exists());

    std::fs::remove_file(folder.join("told")).expect("it is ours");
    let ran = run(Command::new("curl").args(["--silent", "--max-time", "1", BOTH[1]]).arg(server.url("/")));
    assert_eq!(ran.code, Some(28), "{}", ran.stderr);
    unary_e2e::eventually_within(Duration::from_secs(20), "it was told", || folder.join("told").exists());
}
