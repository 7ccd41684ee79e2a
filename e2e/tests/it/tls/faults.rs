//! Those who never come to speak TLS: each ends alone, in time, and is counted.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use unary_e2e::server::Signal;
use unary_e2e::{PATIENCE, admin, alone, eventually, has, run};

use super::Site;

/// From accepting a connection to the end of its handshake, as docs/limits.md has it, and what a busy machine
/// may add.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
const LATE_MAX: Duration = Duration::from_secs(15);

/// A ClientHello that says how long it will be, and is not all there.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and thirty-two bytes of nothing";

fn failures(site: &Site, reason: &str) -> f64 {
    let series = format!("unary_tls_failures_total{{reason=\"{reason}\"}}");
    admin::metric(&site.file("admin.sock"), &series).expect("every reason has a figure")
}

/// Waits until the figure of the reason is what it should be.
#[track_caller]
fn counts(site: &Site, reason: &str, expected: f64) {
    eventually(reason, || failures(site, reason) >= expected);
    assert!((failures(site, reason) - expected).abs() < 0.5, "{reason}: {}", failures(site, reason));
}

#[track_caller]
fn sends(site: &Site, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(site.server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn whatever_went_wrong_is_counted_by_its_reason() {
    if !has("tls::faults::whatever_went_wrong_is_counted_by_its_reason", "openssl") {
        return;
    }
    let site = Site::start();
    for _ in 0..20 {
        sends(&site, b"\0\0 no handshake \xff");
    }
    counts(&site, "garbage", 20.0);
    sends(&site, b"\x16\x03\x01\xff\xff"); // A record that is longer than records are.
    counts(&site, "garbage", 21.0);
    for _ in 0..20 {
        sends(&site, HALF_A_HELLO);
    }
    counts(&site, "gone", 20.0);
    assert!(sends(&site, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
    counts(&site, "plain", 1.0);
    let refused = site.openssl(&["-servername", "nobody.example"]);
    assert!(refused.contains("unrecognized name"), "{refused}");
    counts(&site, "unknown-name", 1.0);
    let [pem, key] = ["expired.pem", "expired.key"].map(|name| site.file(name).display().to_string());
    for (before, version) in [(0.0, "-tls1_2"), (2.0, "-tls1_3")] {
        site.openssl(&["-servername", "b.example", version]);
        counts(&site, "client-certificate", before + 1.0);
        let expired = site.openssl(&["-servername", "b.example", "-cert", &pem, "-key", &key, version]);
        // By TLS 1.3 a client is done before the server has judged, and this one may be gone before it is told.
        let is_told = version == "-tls1_2";
        assert!(!is_told || expired.contains("certificate expired"), "{version}: {expired}");
        counts(&site, "client-certificate", before + 2.0);
    }
    site.openssl(&["-servername", "a.example", "-tls1_2", "-cipher", "AES128-SHA"]);
    counts(&site, "protocol", 1.0);
    // OpenSSL does not trust whoever issued it, and says so.
    let mut distrusting = Command::new("openssl");
    let address = site.server.address().to_string();
    run(distrusting.args(["s_client", "-connect", &address, "-servername", "a.example", "-verify_return_error"]));
    counts(&site, "alert", 1.0);
    counts(&site, "late", 0.0);
    site.serves();
}

#[test]
fn half_a_handshake_has_ten_seconds() {
    let site = Site::start();
    let address = site.server.address();
    let began = Instant::now();
    let stops = |said: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(said).unwrap();
        stream
    };
    let mut stopped = vec![stops(b""), stops(b"\x16"), stops(HALF_A_HELLO)];
    // One that goes on, a byte at a time, gains nothing by it.
    let mut drips = stops(b"");
    let drip = std::thread::spawn(move || {
        drips.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        for byte in HALF_A_HELLO.iter().cycle().take(100) {
            match (drips.write_all(&[*byte]), drips.read(&mut [0])) {
                (Err(_), _) | (_, Ok(_)) => break,
                (Ok(()), Err(error)) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        began.elapsed()
    });
    for stream in &mut stopped {
        let _ = stream.read_to_end(&mut Vec::new());
        assert!((HANDSHAKE_MAX..LATE_MAX).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    let dripped = drip.join().unwrap();
    assert!((HANDSHAKE_MAX..LATE_MAX).contains(&dripped), "{dripped:?}");
    counts(&site, "late", 4.0);
    site.serves();
}

#[test]
fn thousands_who_stop_amid_a_handshake_keep_nobody_out() {
    /// As many as may be under way, and as many as one client may have of them once half are taken:
    /// docs/limits.md.
    const AT_ONCE_MAX: usize = 2048;
    const SHARE: usize = AT_ONCE_MAX / 64;
    const STOPPED: usize = 1000;
    let name = "tls::faults::thousands_who_stop_amid_a_handshake_keep_nobody_out";
    if !unary_e2e::may_open(name, AT_ONCE_MAX + 500) || !has(name, "curl") {
        return;
    }
    let _alone = alone();
    let site = Site::start();
    site.serves();
    let before = site.server.children_rss_kib();
    // Of one client, the `client`th.
    let stop = |client: u8, count: usize| -> Vec<TcpStream> {
        let begun = (0..count).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, client], 0)).into()).unwrap();
            socket.connect(&site.server.address().into()).unwrap();
            let mut stream = TcpStream::from(socket);
            stream.write_all(HALF_A_HELLO).unwrap();
            stream
        });
        begun.collect()
    };
    let open = || admin::metric(&site.file("admin.sock"), "unary_connections_open").unwrap();
    let stopped = stop(2, STOPPED);
    eventually("all are let in", || open() >= STOPPED as f64);
    let asked = Instant::now();
    site.serves();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let grown = site.server.children_rss_kib().saturating_sub(before);
    eprintln!("{STOPPED} half handshakes take {grown} KiB");
    assert!(grown < 64 * 1024, "{grown} KiB");
    // From half of the bound on a client has a share: it is turned away at once beyond that, and nobody else is.
    let beyond = stop(2, AT_ONCE_MAX / 2 - STOPPED + 100);
    eventually("some are turned away", || failures(&site, "client-share") >= 90.0);
    let others: Vec<_> = (3..6).flat_map(|client| stop(client, SHARE / 2)).collect();
    site.serves();
    drop((stopped, beyond, others));
    eventually("all are gone", || open() < 10.0);
    site.serves();
}

#[test]
fn a_session_of_a_server_that_was_killed_is_no_obstacle() {
    if !has("tls::faults::a_session_of_a_server_that_was_killed_is_no_obstacle", "openssl") {
        return;
    }
    let site = Site::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let session = site.file("session").display().to_string();
        let ask = |with: &str| {
            let mut openssl = Command::new("openssl");
            let address = site.server.address().to_string();
            openssl.args(["s_client", "-connect", &address, "-servername", "a.example", "-ign_eof", version]);
            openssl.arg("-CAfile").arg(site.file("ca.pem")).args([with, &session]).stdin(Stdio::piped());
            let mut child = openssl.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it is there");
            let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
            child.stdin.take().expect("it is piped").write_all(request).expect("it reads");
            String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned()
        };
        assert!(ask("-sess_out").contains("a page"));
        let before = site.server.children();
        for child in &before {
            let child = rustix::process::Pid::from_raw(*child).expect("a process has a number");
            rustix::process::kill_process(child, Signal::KILL).expect("it runs");
        }
        eventually("another server", || site.server.children().iter().any(|child| !before.contains(child)));
        let again = ask("-sess_in");
        assert!(again.contains("a page") && again.contains("New, TLSv1"), "{version}: {again}");
    }
}
