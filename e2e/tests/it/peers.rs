//! Peers that are slow, broken or hostile: the others are served meanwhile, and memory stays bounded.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use unary_e2e::wait::pause;
use unary_e2e::{Client, PATIENCE, Server, alone, eventually, may_open, serve};
use unary_testkit::TempDir;

/// What an honest client may have to wait: a busy machine's debug build, and no time-out of anybody's.
const PROMPT: Duration = Duration::from_secs(2);

/// More than any number of misbehaving peers below may cost.
const GROWTH_KIB_MAX: u64 = 32 * 1024;

/// A site with a small page and a huge file, which takes no room on the disk.
fn site() -> TempDir {
    let folder = TempDir::with([("index.html", "a page")]);
    let huge = std::fs::File::create(folder.join("huge")).expect("files can be made");
    huge.set_len(4 << 30).expect("files can have holes");
    folder
}

/// Everybody else gets a page, on a new connection, at once.
#[track_caller]
fn others_are_served(server: &Server) {
    for _ in 0..10 {
        let asked = Instant::now();
        assert_eq!(Client::connect(server).get("/").text(), "a page");
        assert!(asked.elapsed() < PROMPT, "a page took {:?}", asked.elapsed());
    }
}

#[track_caller]
fn stays_small(server: &Server, before_kib: u64) {
    let growth = server.rss_kib().saturating_sub(before_kib);
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB more than {before_kib}");
}

#[test]
fn a_peer_that_sends_a_byte_a_second_is_cut_while_others_are_served() {
    let folder = site();
    let server = serve(folder.path()).start();
    let mut slow: Vec<Client> = (0..50).map(|_| Client::connect(&server)).collect();
    let began = Instant::now();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: 0123456789".iter();
    // A head has ten seconds from its first byte on. Each reply is awaited where the next byte would
    // have been sent.
    let told = loop {
        let byte = bytes.next().expect("it is told before all bytes are sent");
        for client in &mut slow {
            // Whoever is cut meanwhile may not take it any more.
            let _ = client.send([*byte]);
        }
        others_are_served(&server);
        let first = slow[0].stream();
        first.set_read_timeout(Some(Duration::from_secs(1))).expect("time-outs can be set");
        if first.peek(&mut [0]).is_ok() {
            break began.elapsed();
        }
    };
    assert!((8..15).contains(&told.as_secs()), "{told:?}");
    for mut client in slow {
        client.stream().set_read_timeout(Some(PATIENCE)).expect("time-outs can be set");
        let reply = String::from_utf8_lossy(&client.rest().expect("it is cut")).into_owned();
        assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 408 "), "{reply}");
    }
    others_are_served(&server);
}

#[test]
fn peers_that_stop_reading_hold_nothing() {
    let _alone = alone();
    let folder = site();
    let server = serve(folder.path()).start();
    others_are_served(&server);
    let before = server.rss_kib();
    let stopped: Vec<Client> = (0..200)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("sockets can be made");
            socket.set_recv_buffer_size(4096).expect("buffers can be small");
            socket.connect(&server.address().into()).expect("it listens");
            let mut client = Client::over(socket.into()).expect("time-outs can be set");
            client.send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
            assert_eq!(client.head().expect("it answers").status, 200);
            client
        })
        .collect();
    others_are_served(&server);
    stays_small(&server, before);
    // Those that read on get on.
    for mut client in stopped {
        client.take(100_000).expect("it sends");
    }
    others_are_served(&server);
}

#[test]
fn peers_that_ask_and_never_read_the_replies_hold_nothing() {
    let folder = site();
    let server = serve(folder.path()).start();
    others_are_served(&server);
    let before = server.rss_kib();
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let mut peers: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    for peer in &mut peers {
        peer.stream().set_write_timeout(Some(Duration::from_millis(50))).expect("time-outs can be set");
        // Until it takes no more requests, for nobody takes its replies.
        let pushed_back = (0..1000).any(|_| peer.send(&requests).is_err());
        assert!(pushed_back, "it takes requests without end");
    }
    others_are_served(&server);
    stays_small(&server, before);
}

#[test]
fn garbage_is_answered_or_cut_and_harms_nobody() {
    let folder = site();
    let server = serve(folder.path()).start();
    others_are_served(&server);
    let before = server.rss_kib();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = |length: usize| -> Vec<u8> {
        let next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random.to_le_bytes()[3]
        };
        std::iter::repeat_with(next).take(length).collect()
    };
    let mut garbage: Vec<Vec<u8>> = (0..100).map(|n| noise(1 + n * n)).collect();
    garbage.extend([
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM!\r\n\r\n".to_vec(),
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &b"frames that are none "[..]].concat(),
        b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
        b"EHLO example.com\r\n".to_vec(),
        b"\r\n".repeat(5000),
        b"GET / HTTP/1.1\nHost: a\n\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        [b"GET /", &b"a".repeat(1 << 20)[..]].concat(),
        [b"GET / HTTP/1.1\r\n", &b"a: b\r\n".repeat(1 << 17)[..]].concat(),
    ]);
    for bytes in garbage {
        let mut client = Client::connect(&server);
        // It may be cut before all of it is sent.
        let _ = client.send(&bytes);
        let _ = client.stream().shutdown(std::net::Shutdown::Write);
        let reply = client.rest().expect("it is answered or cut");
        let text = String::from_utf8_lossy(&reply);
        let shown = bytes[..bytes.len().min(40)].escape_ascii();
        // HTTP/2 says what it thinks of it in frames: SETTINGS and GOAWAY.
        let is_h2 = bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\n") && reply.get(3) == Some(&4);
        let is_refused = text.starts_with("HTTP/1.1 4") || text.starts_with("HTTP/1.1 5");
        assert!(text.is_empty() || is_refused || is_h2, "{shown}: {text}");
    }
    others_are_served(&server);
    stays_small(&server, before);
}

#[test]
fn resets_amid_bodies_leave_nothing_behind() {
    let folder = site();
    let server = serve(folder.path()).start();
    others_are_served(&server);
    eventually("the pages' connections are gone", || server.descriptors() < 40);
    let (before, descriptors) = (server.rss_kib(), server.descriptors());
    let reset = |mut client: Client, request: &str, read: usize| {
        client.send(request).expect("it reads");
        client.take(read).expect("it answers");
        SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).expect("a socket can be reset");
    };
    for n in 0..300 {
        let client = Client::connect(&server);
        match n % 3 {
            0 => reset(client, "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n", 4096),
            1 => reset(client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nonly the begin", 0),
            _ => reset(client, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nx", 0),
        }
    }
    others_are_served(&server);
    eventually("all connections are closed", || server.descriptors() <= descriptors + 2);
    stays_small(&server, before);
}

#[test]
fn thousands_of_open_connections_keep_nobody_out() {
    const OPEN: usize = 2_000;
    // Half of the descriptors are for connections, and half of those for one client.
    if !may_open("peers::thousands_of_open_connections_keep_nobody_out", 4 * OPEN + 500) {
        return;
    }
    let _alone = alone();
    let folder = site();
    let server = serve(folder.path()).start();
    others_are_served(&server);
    let before = server.rss_kib();
    let mut open: Vec<Client> = (0..OPEN).map(|_| Client::connect(&server)).collect();
    for client in &mut open {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it reads");
    }
    for client in &mut open {
        assert_eq!(client.reply().expect("it answers").text(), "a page");
    }
    assert!(server.descriptors() > OPEN);
    stays_small(&server, before);
    others_are_served(&server);
    // None of them was given up for the others.
    for client in &mut open {
        assert_eq!(client.get("/").text(), "a page");
    }
    drop(open);
    eventually("all connections are closed", || server.descriptors() < 100);
}

#[test]
fn a_peer_that_only_connects_costs_nothing() {
    let folder = site();
    let server = serve(folder.path()).start();
    let silent: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(server.address()).expect("it listens")).collect();
    others_are_served(&server);
    pause(Duration::from_millis(100));
    for mut peer in silent {
        peer.set_nonblocking(true).expect("sockets can be");
        let nothing = peer.read(&mut [0]).expect_err("nobody is told anything, or cut, so soon");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
}
