//! Replies that break off behind the proxy: whoever gets one can tell it from a whole one.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use unary_e2e::{PATIENCE, run_config};
use unary_testkit::TempDir;

/// A server that begins every reply, and ends those for `/whole` alone.
fn begins() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 2048];
            let length = stream.read(&mut head).unwrap_or(0);
            let end = if head[..length].starts_with(b"GET /whole") { "0\r\n\r\n" } else { "" };
            let reply = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n{end}");
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    address
}

#[test]
fn one_that_lasts_until_the_connection_ends_is_reset() {
    let folder = TempDir::new();
    let (at, upstream) = (folder.path().display(), begins());
    let server = format!("server {{ listen \"127.0.0.1:0\"; state \"{at}/state\"; admin \"unix:{at}/admin.sock\" }}");
    folder.write("unary.kdl", format!("{server}\nsite \"*\" {{ route {{ proxy \"http://{upstream}\" }} }}\n"));
    let server = run_config(folder.join("unary.kdl"), 1).start();
    let ask = |line: &str| {
        let mut stream = TcpStream::connect(server.address()).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        stream.write_all(format!("GET {line}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).expect("it reads");
        let mut reply = Vec::new();
        let ended = stream.read_to_end(&mut reply).map_err(|error| error.kind());
        (ended.err(), String::from_utf8_lossy(&reply).into_owned())
    };
    // HTTP/1.0 knows no chunks, so the end of the connection is the end of the reply (RFC 9112 §8).
    let (ended, reply) = ask("/whole HTTP/1.0");
    assert!(ended.is_none() && reply.ends_with("\r\n\r\nbegin"), "{ended:?} {reply}");
    let (ended, _) = ask("/broken HTTP/1.0");
    assert_eq!(ended, Some(ErrorKind::ConnectionReset));
    // Others see that there is no last chunk.
    let (ended, reply) = ask("/whole HTTP/1.1");
    assert!(ended.is_none() && reply.ends_with("begin\r\n0\r\n\r\n"), "{ended:?} {reply}");
    let (ended, reply) = ask("/broken HTTP/1.1");
    assert!(ended.is_none() && reply.ends_with("begin\r\n"), "{ended:?} {reply}");
}
